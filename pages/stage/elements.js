// Small things that the stage is built of.

function make(tag, attributes = {}, text = "") {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  if (text) element.textContent = text;
  return element;
}

function row(cells, tag) {
  const line = make("tr");
  line.append(...cells.map((cell) => make(tag, {}, cell)));
  return line;
}

// Picture `n` of the sheet, `size` pixels wide.
function picture(wall, n, size) {
  const image = make("div", { class: "image", "aria-hidden": "true" });
  image.style.backgroundImage = `url(${wall.sheet})`;
  image.style.backgroundSize = `${size * wall.ids.length}px ${size}px`;
  image.style.backgroundPosition = `${-size * n}px 0`;
  return image;
}

function hex(share) {
  return Math.round(255 * share).toString(16).padStart(2, "0");
}

function percent(value) {
  return `${value.toFixed(1)} %`;
}

// The place of the last point at or before `step`.
function placeOf(steps, step) {
  let low = 0, high = steps.length - 1;
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if (steps[middle] <= step + 1e-9) low = middle;
    else high = middle - 1;
  }
  return low;
}

function classAt(flips, place) {
  let says = flips[0][1];
  for (const [from, name] of flips) if (from <= place) says = name;
  return says;
}

function sentenceAt(sentences, step) {
  let text = "";
  for (const [from, words] of sentences) if (from <= step) text = words;
  return text;
}
