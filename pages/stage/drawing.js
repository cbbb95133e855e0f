// The two charts of a stage, drawn on canvases: the plane (kept against forget accuracy) and both accuracies by step.

const NEAR = 14; // pixels within which a point is meant
const MARKER = 6; // pixels from the middle of a marker to its corner
const MARK = [34, 14]; // pixels of a mark in a legend
const LINE = 15; // pixels between two names

class Charts {
  constructor(root) {
    this.root = root;
    this.boxes = { plane: root.querySelector(".plane"), curves: root.querySelector(".curves") };
    this.drawn = { plane: [], curves: [] }; // the axes as they were drawn last, and what lies along them
  }

  lay(panels, height) {
    for (const [name, box] of Object.entries(this.boxes)) {
      box.hidden = !panels.includes(name);
      box.style.height = `${height}px`;
    }
  }

  label(said) {
    this.boxes.plane.firstElementChild.ariaLabel = `Kept accuracy against forget accuracy. ${said}.`;
    this.boxes.curves.firstElementChild.ariaLabel = `Forget accuracy and kept accuracy by step. ${said}.`;
  }

  draw(scene, cursor, last) {
    Object.assign(this, { scene, cursor, last });
    const style = getComputedStyle(this.root);
    this.ink = { text: style.color, font: style.fontFamily, ground: style.getPropertyValue("--st-background-color") || "transparent" };
    if (!this.boxes.plane.hidden) this.drawPlane();
    if (!this.boxes.curves.hidden) this.drawCurves();
  }

  drawPlane() {
    const { scene } = this, { grey } = scene.colours, [low, high] = scene.span;
    const chart = this.axes("plane", [-4, 106], [low, high], "Forget accuracy, % (left: forgotten)", scene.kept);
    if (!chart) return;
    const { pen, x, y } = chart;
    this.drawn.plane = [{ chart, across: "forget", up: "kept" }];
    if (scene.goal) {
      const [left, right, bottom, top] = scene.goal;
      pen.fillStyle = `${grey}33`;
      pen.fillRect(x(left), y(Math.min(top, high)), x(right) - x(left), y(Math.max(bottom, low)) - y(Math.min(top, high)));
    }
    const named = [];
    for (const line of scene.lines) {
      const end = this.trail(pen, line, line.forget.map(x), line.kept.map(y));
      if (end) named.push({ text: line.name, colour: line.colour, x: end[0], y: end[1] });
    }
    if (scene.original) {
      const [forget, kept] = scene.original;
      shape(pen, x(forget), y(kept), [], 7, grey, true);
      named.push({ text: "original", colour: grey, x: x(forget), y: y(kept), left: true });
    }
    if (scene.retrained) {
      const [forget, kept] = scene.retrained;
      shape(pen, x(forget), y(kept), STAR, 10, this.ink.text, false);
      named.push({ text: "retrained", colour: this.ink.text, x: x(forget), y: y(kept) });
    }
    this.names(pen, named, chart);
  }

  drawCurves() {
    const { scene } = this, steps = [0, Math.max(1, this.last)];
    this.drawn.curves = [];
    const rows = [["forget", [-4, 106], "Forget accuracy, %"], ["kept", scene.span, scene.kept]];
    const far = Math.max(0, ...scene.lines.flatMap((line) => line.apart ?? []));
    if (far) rows.push(["apart", [0, 1.06 * far], "Distance to the retrained network's parameters"]);
    for (const [row, [name, span, title]] of rows.entries()) {
      const chart = this.axes("curves", steps, span, row + 1 === rows.length ? "Step" : "", title, row, rows.length);
      if (!chart) return;
      const { pen, x, y } = chart, level = scene.retrained?.[row];
      this.drawn.curves.push({ chart, across: "steps", up: name });
      if (level !== undefined) stroke(pen, [[x(steps[0]), y(level)], [x(steps[1]), y(level)]], this.ink.text, [6, 4], 1.2);
      for (const line of scene.lines.filter((one) => one[name]?.length)) this.trail(pen, line, line.steps.map(x), line[name].map(y));
      if (name === "apart") this.start(chart, scene.lines);
      const at = x(this.cursor);
      stroke(pen, [[at, chart.top], [at, chart.bottom]], scene.colours.grey, [], 1);
    }
  }

  // Where the distance began: a run above this line is further from the retrained network than the original was.
  start({ pen, y, left, right }, lines) {
    const began = lines.find((line) => line.apart?.length)?.apart[0];
    if (began !== undefined) stroke(pen, [[left, y(began)], [right, y(began)]], this.scene.colours.grey, [2, 3], 1.2);
  }

  // One run up to the cursor, drawn through `xs`, `ys`; returns where its tip is.
  trail(pen, line, xs, ys) {
    if (!line.steps.length) return null;
    const place = placeOf(line.steps, this.cursor), points = xs.slice(0, place + 1).map((x, n) => [x, ys[n]]);
    const next = line.steps[place + 1];
    if (next !== undefined && this.cursor > line.steps[place]) {
      const share = (this.cursor - line.steps[place]) / (next - line.steps[place]);
      points.push([xs[place] + share * (xs[place + 1] - xs[place]), ys[place] + share * (ys[place + 1] - ys[place])]);
    }
    stroke(pen, points, line.colour, line.dash, 2);
    const gap = Math.max(1, Math.ceil(line.steps.length / 12));
    for (let n = 0; n <= place; n += gap) shape(pen, xs[n], ys[n], line.corners, 4, line.colour, line.hollow);
    const tip = points.at(-1);
    shape(pen, ...tip, line.corners, MARKER, line.colour, line.hollow);
    return tip;
  }

  // Names beside the tips, moved apart where they would lie on one another.
  names(pen, named, chart) {
    pen.font = `600 13px ${this.ink.font}`;
    pen.textBaseline = "middle";
    const sorted = named.sort((a, b) => a.y - b.y);
    const taken = [];
    for (const name of sorted) {
      const width = pen.measureText(name.text).width;
      const fits = name.x + 14 + width < chart.right && !name.left;
      const at = { x: fits ? name.x + 14 : name.x - 14 - width, y: name.y, width };
      while (taken.some((t) => Math.abs(t.y - at.y) < LINE && at.x < t.x + t.width + 4 && t.x < at.x + at.width + 4)) at.y += 3;
      at.y = Math.min(at.y, chart.bottom - 8);
      taken.push(at);
      pen.lineWidth = 4;
      pen.lineJoin = "round";
      pen.strokeStyle = this.ink.ground; // a rim, so that a name can be read on a line
      pen.strokeText(name.text, at.x, at.y);
      pen.fillStyle = name.colour;
      pen.fillText(name.text, at.x, at.y);
    }
  }

  // The axes of chart `row` of `rows` that stand below each other in a canvas, which the first one clears; (x, y) map values to pixels.
  axes(name, across, up, below, beside, row = 0, rows = 1) {
    const canvas = this.boxes[name].firstElementChild, scale = window.devicePixelRatio || 1;
    const width = canvas.clientWidth, whole = canvas.clientHeight, pen = canvas.getContext("2d");
    if (width < 80 || whole < 80) return null;
    if (row === 0) {
      const size = [Math.round(width * scale), Math.round(whole * scale)];
      if (canvas.width !== size[0] || canvas.height !== size[1]) [canvas.width, canvas.height] = size;
      pen.setTransform(scale, 0, 0, scale, 0, 0);
      pen.clearRect(0, 0, width, whole);
    }
    const height = (whole - 40) / rows; // 40: the ticks and the title below
    const [left, right, top, bottom] = [40, width - 10, row * height + 22, (row + 1) * height - (row + 1 < rows ? 10 : 0)];
    const x = (value) => left + ((value - across[0]) / (across[1] - across[0] || 1)) * (right - left);
    const y = (value) => bottom - ((value - up[0]) / (up[1] - up[0] || 1)) * (bottom - top);
    pen.font = `12px ${this.ink.font}`;
    pen.fillStyle = this.ink.text;
    const write = (text, at, height, align, baseline) => {
      [pen.textAlign, pen.textBaseline] = [align, baseline];
      pen.fillText(text, at, height);
    };
    write(beside, 4, top - 9, "left", "alphabetic");
    if (below) write(below, (left + right) / 2, whole - 6, "center", "alphabetic");
    for (const value of ticks(...up, rows === 1 ? 5 : 4)) {
      stroke(pen, [[left, y(value)], [right, y(value)]], `${this.scene.colours.grey}40`, [], 1);
      write(String(value), left - 6, y(value), "right", "middle");
    }
    if (below) for (const value of ticks(...across, 5)) write(String(value), x(value), bottom + 6, "center", "top");
    pen.textAlign = "left";
    return { pen, x, y, left, right, top, bottom };
  }

  // The point of a run that is nearest to a place on a chart: {line, place}, or null where none is near.
  nearest(name, px, py) {
    let best = null, distance = NEAR;
    for (const { chart, across, up } of this.drawn[name]) {
      for (const line of this.scene.lines.filter((one) => one.steps.length)) {
        for (let place = placeOf(line.steps, this.cursor); place >= 0; place -= 1) {
          const gap = Math.hypot(chart.x(line[across][place]) - px, chart.y(line[up][place]) - py);
          if (gap < distance) [best, distance] = [{ line, place }, gap];
        }
      }
    }
    return best;
  }
}

const STAR = Array.from({ length: 10 }, (_, n) => {
  const radius = n % 2 ? 0.4 : 1, angle = (Math.PI * n) / 5;
  return [radius * Math.sin(angle), radius * Math.cos(angle)];
});

function ticks(low, high, count) {
  const rough = (high - low) / count, power = 10 ** Math.floor(Math.log10(rough));
  const gap = [1, 2, 5, 10].map((n) => n * power).find((n) => n >= rough) ?? rough;
  const made = [];
  for (let value = Math.ceil(low / gap) * gap; value <= high + 1e-9; value += gap) made.push(Number(value.toFixed(6)));
  return made;
}

function stroke(pen, points, colour, dash, width) {
  pen.strokeStyle = colour;
  pen.lineWidth = width;
  pen.setLineDash(dash);
  pen.beginPath();
  points.forEach(([x, y], n) => (n ? pen.lineTo(x, y) : pen.moveTo(x, y)));
  pen.stroke();
  pen.setLineDash([]);
}

function shape(pen, x, y, corners, size, colour, hollow) {
  pen.beginPath();
  if (corners.length) corners.forEach(([dx, dy], n) => (n ? pen.lineTo(x + size * dx, y - size * dy) : pen.moveTo(x + size * dx, y - size * dy)));
  else pen.arc(x, y, 0.8 * size, 0, 2 * Math.PI);
  pen.closePath();
  pen.lineWidth = 2;
  pen.strokeStyle = pen.fillStyle = colour;
  if (hollow) pen.stroke();
  else pen.fill();
}

// The mark of a run in the legend: a piece of its line with its marker.
function legend(canvas, line) {
  const [width, height] = MARK, pen = small(canvas);
  stroke(pen, [[1, height / 2], [width - 1, height / 2]], line.colour, line.dash, 2);
  shape(pen, width / 2, height / 2, line.corners, 5, line.colour, line.hollow);
}

// The pen of a canvas of the size of a mark.
function small(canvas) {
  const scale = window.devicePixelRatio || 1, [width, height] = MARK;
  canvas.width = width * scale;
  canvas.height = height * scale;
  canvas.style.width = `${width}px`;
  canvas.style.height = `${height}px`;
  const pen = canvas.getContext("2d");
  pen.scale(scale, scale);
  return pen;
}
