// The plane of a stage: what a network says everywhere, the boundary of the retrained one over it, and points that can be edited.

const POINT = 3.2, GROWS = 5; // radius of a point, and by how much the most influential one is larger, pixels
const REACH = 9; // pixels within which a point is meant
const BRUSH = 16; // pixels from the middle of a brush to its edge
const LEVELS = 64; // of sureness
const APART = 11; // pixels between two points that are drawn in one stroke
const MOST = 600; // points
const CORNERS = [[], box(0.85), [[0, 1.05], [0.95, -0.75], [-0.95, -0.75]], [[0, 1.15], [1.15, 0], [0, -1.15], [-1.15, 0]]];

class Ground {
  constructor(stage) {
    this.stage = stage;
    this.place = stage.root.querySelector(".ground");
    this.canvas = this.place.querySelector("canvas");
    this.sheet = document.createElement("canvas");
    this.tool = "look";
    this.listen();
  }

  get about() {
    return this.stage.scene.ground;
  }

  get points() {
    return this.edited ?? this.about.points;
  }

  // Everything that stays while it plays.
  lay(shown, data) {
    this.place.hidden = !shown;
    if (!shown) return;
    this.canvas.style.width = `${data.height}px`;
    this.sent = false;
    this.edited = null;
    this.place.classList.remove("waits");
    for (const line of this.about.films.keys()) this.unpack(this.about, line);
    this.layTools(data.edits);
  }

  // What else is drawn, for the legend: the boundaries that stay, the ring and the stroke.
  legend() {
    const { colours } = this.stage.scene, ink = getComputedStyle(this.stage.root).color;
    const lines = [["retrained", ink, [7, 5], 2], ["original", colours.grey, [], 1]].map(([name, colour, dash, width]) => [name, (pen) => stroke(pen, [[1, 7], [33, 7]], colour, dash, width)]);
    const marks = [["to forget", (pen) => shape(pen, 17, 7, [], 7, colours.forget, true)],
      ["answered wrongly", (pen) => {
        shape(pen, 17, 7, [], 5, colours.classes[0], true);
        stroke(pen, [[14, 4], [20, 10]], ink, [], 1);
      }]];
    return [...lines, ...marks].map(([name, draw]) => {
      const entry = make("span"), mark = make("canvas", { "aria-hidden": "true" });
      draw(small(mark));
      entry.append(mark, name);
      return entry;
    });
  }

  // The server has drawn the page and kept the points as they were: so does the plane.
  answered() {
    if (!this.sent) return;
    this.sent = false;
    this.edited = null;
    this.place.classList.remove("waits");
  }

  layTools(can) {
    const tools = this.place.querySelector(".tools"), { classes } = this.stage.scene.colours;
    tools.hidden = !can;
    if (!can || tools.childElementCount) return;
    const all = [["look", "Move", "Drag a point; point at one to read it"],
      ...classes.map((_, n) => [n, String.fromCharCode(65 + n), `Draw points of class ${String.fromCharCode(65 + n)}`]),
      ["erase", "Erase", "Erase points"], ["forget", "Forget", "Brush the points that must be forgotten"],
      ["keep", "Keep", "Brush points that may stay"]];
    tools.replaceChildren(...all.map(([tool, name, help]) => {
      const button = make("button", { type: "button", role: "radio", title: help, "aria-label": help, "aria-checked": tool === this.tool });
      button.tabIndex = tool === this.tool ? 0 : -1;
      if (typeof tool === "number") button.append(make("i", { style: `background:${classes[tool]}` }));
      button.append(name);
      button.onclick = () => this.take(tool, all.findIndex(([one]) => one === tool));
      return button;
    }));
    tools.onkeydown = (event) => {
      const by = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
      if (!by) return;
      const next = (all.findIndex(([tool]) => tool === this.tool) + by + all.length) % all.length;
      this.take(all[next][0], next);
      tools.children[next].focus();
      event.preventDefault();
      event.stopPropagation();
    };
  }

  take(tool, place) {
    this.tool = tool;
    [...this.place.querySelector(".tools").children].forEach((button, n) => {
      button.setAttribute("aria-checked", n === place);
      button.tabIndex = n === place ? 0 : -1;
    });
  }

  // The film of a run, from the changes that were sent; it is ready a moment later.
  async unpack(about, line) {
    about.ready ??= [];
    if (about.ready[line]) return;
    const packed = Uint8Array.from(atob(about.films[line]), (sign) => sign.charCodeAt(0));
    const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("deflate"));
    const cells = new Uint8Array(await new Response(stream).arrayBuffer()), size = about.side ** 2;
    for (let n = size; n < cells.length; n += 1) cells[n] += cells[n - size];
    about.ready[line] = cells;
    this.stage.draw();
  }

  // The cells of the run shown at the cursor: side² bytes, row by row from the top; null while they are not ready.
  cells() {
    const { about, stage } = this, all = about.ready?.[stage.who], line = stage.scene.lines[stage.who];
    if (!all || !line) return null;
    const place = placeOf(line.steps, stage.cursor), size = about.side ** 2;
    return all.subarray(size * place, size * (place + 1));
  }

  draw() {
    const { canvas } = this, scale = window.devicePixelRatio || 1, size = canvas.clientWidth;
    if (size < 80) return;
    if (canvas.width !== Math.round(size * scale)) canvas.width = canvas.height = Math.round(size * scale);
    const pen = canvas.getContext("2d"), style = getComputedStyle(this.stage.root), ink = style.color, cells = this.cells();
    const { colours, lines } = this.stage.scene;
    pen.setTransform(scale, 0, 0, scale, 0, 0);
    pen.clearRect(0, 0, size, size);
    this.size = size;
    if (cells) {
      this.paint(pen, cells, colours.classes);
      for (const path of outline(cells, this.about)) stroke(pen, path.map((spot) => this.pixel(spot)), lines[this.stage.who].colour, [], 2);
    }
    for (const path of this.about.original) stroke(pen, path.map((spot) => this.pixel(spot)), colours.grey, [], 1);
    for (const path of this.about.retrained) stroke(pen, path.map((spot) => this.pixel(spot)), ink, [7, 5], 2);
    this.points.forEach((point) => this.drawPoint(pen, point, cells, colours, ink));
    if (this.brush) {
      pen.beginPath();
      pen.arc(...this.brush, BRUSH, 0, 2 * Math.PI);
      pen.lineWidth = 1;
      pen.strokeStyle = ink;
      pen.stroke();
    }
  }

  paint(pen, cells, classes) {
    const { side } = this.about, { sheet } = this, tints = classes.map(parts);
    sheet.width = sheet.height = side;
    const image = new ImageData(side, side);
    cells.forEach((cell, n) => {
      const [red, green, blue] = tints[Math.floor(cell / LEVELS)];
      image.data.set([red, green, blue, 25 + (110 * (cell % LEVELS)) / (LEVELS - 1)], 4 * n);
    });
    sheet.getContext("2d").putImageData(image, 0, 0);
    pen.imageSmoothingEnabled = true;
    pen.imageSmoothingQuality = "high";
    pen.drawImage(sheet, 0, 0, this.size, this.size);
  }

  drawPoint(pen, point, cells, colours, ink) {
    const [across, up, label, forget, influence] = point, [x, y] = this.pixel([across, up]);
    const radius = POINT + GROWS * Math.sqrt(influence ?? 0), wrong = cells && this.says(cells, point) !== label;
    if (forget) shape(pen, x, y, [], (radius + 3) / 0.8, colours.forget, true);
    shape(pen, x, y, CORNERS[this.kind(label)], radius / 0.8, colours.classes[this.kind(label)], wrong);
    if (!wrong) return;
    pen.strokeStyle = ink; // an answer that is wrong, in grey print too
    pen.lineWidth = 1;
    pen.beginPath();
    pen.moveTo(x - 2, y - 2);
    pen.lineTo(x + 2, y + 2);
    pen.stroke();
  }

  // Which of the four classes a class of this problem is drawn as; a problem may lack B and have C.
  kind(label) {
    const name = this.edited ? null : this.about.names[label];
    return name?.length === 1 ? Math.max(0, name.charCodeAt(0) - 65) % CORNERS.length : label % CORNERS.length;
  }

  says(cells, [across, up]) {
    const { side } = this.about, cell = (value) => Math.max(0, Math.min(side - 1, Math.floor(((value + 1) / 2) * side)));
    return Math.floor(cells[side * cell(-up) + cell(across)] / LEVELS);
  }

  pixel([across, up]) {
    return [((across + 1) / 2) * this.size, ((1 - up) / 2) * this.size];
  }

  spot([x, y]) {
    const keep = (value) => Math.round(1000 * Math.max(-1, Math.min(1, value))) / 1000;
    return [keep((2 * x) / this.size - 1), keep(1 - (2 * y) / this.size)];
  }

  near(at, reach) {
    return this.points.map((point, n) => [Math.hypot(...this.pixel(point).map((value, axis) => value - at[axis])), n])
      .filter(([gap]) => gap <= reach).sort(([one], [other]) => one - other).map(([, n]) => n);
  }

  // Editing.
  listen() {
    const { canvas } = this, at = (event) => {
      const home = canvas.getBoundingClientRect();
      return [event.clientX - home.left, event.clientY - home.top];
    };
    canvas.onpointerdown = (event) => {
      if (!this.stage.data.edits || event.button) return;
      canvas.setPointerCapture(event.pointerId);
      this.held = { changed: false, point: this.tool === "look" ? this.near(at(event), REACH)[0] : undefined, last: null };
      this.stage.pause(false);
      this.edit(at(event));
      event.preventDefault();
    };
    canvas.onpointermove = (event) => {
      this.brush = this.stage.data.edits && ["erase", "forget", "keep"].includes(this.tool) ? at(event) : null;
      if (this.held) this.edit(at(event));
      else this.hover(at(event));
      if (this.brush && !this.held) this.stage.draw();
    };
    canvas.onpointerleave = () => {
      this.brush = null;
      this.stage.place(".tip").hidden = true;
      this.stage.draw();
    };
    canvas.onpointerup = canvas.onpointercancel = () => {
      const changed = this.held?.changed;
      this.held = null;
      if (changed) this.send();
    };
  }

  begin() {
    if (this.edited) return;
    const kinds = this.about.points.map((point) => this.kind(point[2]));
    this.edited = this.about.points.map(([across, up, , forget, influence], n) => [across, up, kinds[n], forget, influence]);
  }

  edit(at) {
    const { held, tool } = this;
    if (tool === "look") {
      if (held.point === undefined) return;
      this.begin();
      this.edited[held.point].splice(0, 2, ...this.spot(at));
    } else if (typeof tool === "number") {
      if (held.last && Math.hypot(at[0] - held.last[0], at[1] - held.last[1]) < APART) return;
      if (this.points.length >= MOST) return;
      this.begin();
      this.edited.push([...this.spot(at), tool, 0, 0]);
      held.last = at;
    } else {
      const near = this.near(at, BRUSH);
      if (!near.length) return;
      this.begin();
      if (tool === "erase") this.edited = this.edited.filter((_, n) => !near.includes(n));
      else for (const n of near) this.edited[n][3] = tool === "forget" ? 1 : 0;
    }
    held.changed = true;
    this.stage.draw();
  }

  send() {
    this.sent = true;
    this.place.classList.add("waits");
    this.stage.component.setTriggerValue("edited", this.edited.map((point) => point.slice(0, 4)));
  }

  hover(at) {
    const [n] = this.near(at, REACH), { stage } = this;
    if (n === undefined) return void (stage.place(".tip").hidden = true);
    const [, , label, forget, influence] = this.points[n], cells = this.cells(), { names } = this.about;
    const words = [`point ${n}, class ${this.edited ? String.fromCharCode(65 + label) : names[label]}`];
    if (forget) words.push("to be forgotten");
    if (influence !== undefined && !this.edited) words.push(`influence ${influence.toFixed(2)} of the largest`);
    if (cells) words.push(`${stage.scene.lines[stage.who].name} says ${names[this.says(cells, this.points[n])]}`);
    const home = stage.place(".screen").getBoundingClientRect(), box = this.canvas.getBoundingClientRect();
    stage.tell([words.join("; ")], box.left - home.left + at[0] + 12, box.top - home.top + at[1] + 12);
  }

  label(said) {
    const { points } = this.about, marked = points.filter((point) => point[3]).length;
    this.canvas.ariaLabel = `The plane: ${points.length} points, ${marked} of them to be forgotten; where the network's answer changes, and where the retrained one's does. ${said}.`;
  }
}

function box(half) {
  return [[-half, half], [half, half], [half, -half], [-half, -half]];
}

function parts(colour) {
  return [1, 3, 5].map((at) => parseInt(colour.slice(at, at + 2), 16));
}

// Where the answer changes, as pieces of lines between neighbouring cells' middles, placed by how sure each side is.
function outline(cells, { side, names }) {
  const pieces = [], middle = (n) => (2 * n + 1) / side - 1;
  for (let one = 0; one < (names.length > 2 ? names.length : 1); one += 1) {
    const value = (row, column) => {
      const cell = cells[side * row + column];
      return (Math.floor(cell / LEVELS) === one ? 1 : -1) * ((cell % LEVELS) + 0.5);
    };
    for (let row = 0; row + 1 < side; row += 1) {
      for (let column = 0; column + 1 < side; column += 1) {
        const around = [[row, column], [row, column + 1], [row + 1, column + 1], [row + 1, column]];
        const values = around.map((place) => value(...place));
        if (values.every((v) => v > 0) || values.every((v) => v < 0)) continue;
        const crossed = [];
        for (let n = 0; n < 4; n += 1) {
          const next = (n + 1) % 4;
          if (values[n] > 0 === values[next] > 0) continue;
          const share = values[n] / (values[n] - values[next]);
          const [r, c] = [0, 1].map((axis) => around[n][axis] + share * (around[next][axis] - around[n][axis]));
          crossed.push([middle(c), -middle(r)]);
        }
        for (let n = 0; n + 1 < crossed.length; n += 2) pieces.push([crossed[n], crossed[n + 1]]);
      }
    }
  }
  return pieces;
}
