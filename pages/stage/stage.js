// Plays the frames of runs in the browser. The server sends them once and hears only where the player came to rest.
//
// `data` is {id, scenes, chosen, picks, panels, height, columns, tile, tall, order: [number, "play" | "rest" | "follow", step],
// at, opens, edits}; `scenes` is null where this window holds the frames of `id` already. See stage.py.

const SECONDS = 7; // for a whole replay
const SLOWER = 3;
const TIRED = 20; // milliseconds between two pictures of a screen that is kept waiting
const HELD = 12; // sets of frames that a window keeps
const QUIET = 350; // milliseconds without another step before the server hears of it

export default function (component) {
  const { data, parentElement } = component;
  const held = (window.imuStages ??= { frames: new Map(), done: new Map(), drawn: 0 });
  if (data.scenes) {
    held.frames.delete(data.id);
    held.frames.set(data.id, data.scenes);
    while (held.frames.size > HELD) held.frames.delete(held.frames.keys().next().value);
  }
  if (!held.frames.has(data.id)) {
    component.setTriggerValue("missing", data.id); // the window was opened anew, and the server does not know
    return;
  }
  const stage = (parentElement.imuStage ??= new Stage(parentElement.querySelector(".stage"), held));
  stage.take(component, held.frames.get(data.id));
  return () => stage.leave();
}

class Stage {
  constructor(root, held) {
    this.root = root;
    this.held = held;
    this.cursor = 0; // the step shown; a fraction while it moves
    this.playing = this.following = false;
    this.slow = this.skips = false;
    this.gap = 0; // milliseconds between two pictures, lately
    this.who = 0;
    this.place = (name) => root.querySelector(name);
    this.charts = new Charts(root);
    this.ground = new Ground(this);
    this.listen();
    this.observer = new ResizeObserver(() => this.draw());
    this.observer.observe(root);
  }

  // What the server sends, again whenever the page is drawn.
  take(component, scenes) {
    const first = !this.scenes, other = this.id !== component.data.id;
    Object.assign(this, { component, data: component.data, id: component.data.id, scenes });
    const anew = first || other || this.data.chosen !== this.told;
    if (anew) this.chosen = this.told = this.data.chosen;
    if (anew && Number.isInteger(this.data.who)) this.who = this.data.who;
    this.reported ??= this.data.at;
    if (anew) this.lay();
    else if (this.hasGround) this.ground.answered();
    const [number, what, step] = this.data.order, key = this.data.key;
    if (this.held.done.get(key) !== number) {
      this.held.done.set(key, number);
      this.obey(what, step);
      if (!first && what !== "rest") this.root.scrollIntoView({ block: "nearest" }); // who pressed Run may have been far below
    } else if (first) {
      this.show(this.data.at);
    } else if (this.following || this.cursor > this.last) {
      this.show(this.last);
    } else {
      this.draw();
      if (!this.playing) this.table();
    }
  }

  obey(what, step) {
    this.following = what === "follow";
    if (what === "play" && !matchMedia("(prefers-reduced-motion: reduce)").matches) {
      this.show(0);
      this.play();
    } else {
      this.pause(false);
      this.show(what === "follow" ? this.last : what === "play" ? 0 : step);
    }
  }

  leave() {
    this.playing = false;
    this.observer.disconnect();
    clearTimeout(this.waiting);
  }

  get scene() {
    return this.scenes[this.chosen] ?? this.scenes[0];
  }

  get last() {
    return Math.max(0, ...this.scene.lines.map((line) => line.steps.at(-1) ?? 0));
  }

  // Everything that stays while it plays.
  lay() {
    const { data } = this;
    this.root.style.setProperty("--tile", `${data.tile}px`);
    this.root.style.setProperty("--columns", data.columns);
    this.root.style.setProperty("--warm", this.scene.colours.forget);
    this.root.style.setProperty("--changed", this.scene.colours.grey);
    this.charts.lay(data.panels, data.height);
    this.layPicks();
    this.layWho();
    this.layWall();
    this.ground.lay(this.hasGround, data);
  }

  layPicks() {
    const picks = this.place(".picks"), { data } = this;
    picks.hidden = !data.picks.length;
    picks.setAttribute("aria-label", data.asks);
    if (picks.childElementCount === data.picks.length) return this.markPicks();
    picks.replaceChildren(...data.picks.map((name, n) => {
      const button = make("button", { type: "button", role: "radio" });
      button.append(picture(this.scenes[n].wall, 0, 36), make("div", {}, name));
      button.onclick = () => this.pick(n);
      return button;
    }));
    this.markPicks();
  }

  markPicks() {
    [...this.place(".picks").children].forEach((button, n) => {
      button.setAttribute("aria-checked", n === this.chosen);
      button.tabIndex = n === this.chosen ? 0 : -1;
    });
  }

  pick(n) {
    this.chosen = this.told = n;
    this.lay();
    this.following = false;
    this.show(0);
    if (matchMedia("(prefers-reduced-motion: reduce)").matches) this.draw();
    else this.play();
    this.component.setTriggerValue("picked", n);
  }

  layWho() {
    const who = this.place(".who"), { lines } = this.scene;
    who.hidden = lines.length === 0;
    who.setAttribute("aria-label", this.hasGround ? "Whose answers the plane shows" : this.hasWall ? "Whose answers the pictures show" : "Who is who");
    this.who = Math.min(this.who, Math.max(0, lines.length - 1));
    if (!this.hasGround && !lines[this.who]?.flips.length) this.who = Math.max(0, lines.findIndex((line) => line.flips.length));
    const still = this.hasGround ? this.ground.legend() : [];
    who.replaceChildren(...lines.map((line, n) => {
      const can = this.hasGround || (this.hasWall && line.flips.length > 0);
      const entry = make(can ? "button" : "span", can ? { type: "button", "aria-pressed": n === this.who } : {});
      const mark = make("canvas", { "aria-hidden": "true" });
      entry.append(mark, line.name);
      legend(mark, line);
      if (can) entry.onclick = () => {
        this.who = n;
        [...who.children].forEach((other, m) => other.hasAttribute("aria-pressed") && other.setAttribute("aria-pressed", m === n));
        this.draw();
      };
      return entry;
    }), ...still);
  }

  get hasGround() {
    return this.data.panels.includes("ground") && Boolean(this.scene.ground);
  }

  get hasWall() {
    return this.data.panels.includes("wall") && Boolean(this.scene.wall) && this.scene.lines.some((line) => line.flips.length);
  }

  layWall() {
    const wall = this.place(".wall"), { scene, data } = this;
    wall.hidden = !this.hasWall;
    if (wall.hidden) return;
    wall.setAttribute("aria-label", "Images to forget");
    wall.replaceChildren(...scene.wall.ids.slice(0, data.pictures).map((id, n) => {
      const tile = make("figure", { class: "tile", role: "listitem" });
      const inside = data.opens ? make("button", { type: "button" }) : make("div", { role: "img" });
      const image = picture(scene.wall, n, data.tile - 6), glow = scene.wall.glow[n] ?? 0;
      if (glow) image.style.boxShadow = `0 0 ${2 + 10 * glow}px ${1 + 3 * glow}px ${scene.colours.forget}${hex(0.15 + 0.6 * glow)}`;
      inside.append(image, make("span", { class: "says" }));
      tile.append(inside);
      tile.onpointerenter = () => this.point(n, tile);
      tile.onpointerleave = () => this.point(null);
      if (data.opens) {
        inside.tabIndex = n ? -1 : 0; // one stop for the wall; the arrow keys go on from there
        inside.onclick = () => this.component.setTriggerValue("opened", id);
      }
      return tile;
    }));
  }

  // The player.
  listen() {
    this.place(".toggle").onclick = () => (this.playing ? this.pause() : this.play(true));
    this.place(".back").onclick = () => this.go(-1);
    this.place(".forward").onclick = () => this.go(1);
    this.place(".slow").onclick = () => {
      this.slow = !this.slow;
      this.place(".slow").setAttribute("aria-pressed", this.slow);
    };
    const slider = this.place(".step");
    slider.oninput = () => this.seek(Number(slider.value));
    this.root.onkeydown = (event) => this.key(event);
    for (const [name, chart] of Object.entries(this.charts.boxes)) {
      chart.onpointermove = (event) => this.hover(name, event);
      chart.onpointerleave = () => (this.place(".tip").hidden = true);
    }
  }

  key(event) {
    const range = event.target === this.place(".step"), button = event.target.tagName === "BUTTON";
    const arrow = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (event.altKey || event.ctrlKey || event.metaKey) return;
    if (event.target.role === "radio" && arrow) {
      const count = this.data.picks.length, next = (this.chosen + arrow + count) % count;
      this.place(".picks").children[next].focus();
      this.pick(next);
    } else if (arrow && button && event.target.closest(".tile")) {
      this.step(event.target.closest(".tile"), arrow);
    } else if (event.key === " " && !button) {
      this.place(".toggle").click();
    } else if (arrow && !range) {
      this.go(arrow);
    } else return;
    event.preventDefault();
  }

  // Move the focus from one picture of the wall to the next.
  step(tile, by) {
    const next = by > 0 ? tile.nextElementSibling : tile.previousElementSibling;
    if (!next) return;
    tile.firstChild.tabIndex = -1;
    next.firstChild.tabIndex = 0;
    next.firstChild.focus();
  }

  play(byHand = false) {
    if (this.cursor >= this.last) this.show(0);
    if (this.last === 0) return;
    this.playing = true;
    this.following = false;
    this.before = performance.now();
    this.place(".toggle").textContent = "Pause";
    this.place(".sentence").setAttribute("aria-live", "off");
    requestAnimationFrame((now) => this.tick(now));
  }

  pause(report = true) {
    this.playing = false;
    this.place(".toggle").textContent = "Play";
    this.place(".sentence").setAttribute("aria-live", "polite");
    this.cursor = Math.round(this.cursor);
    this.draw();
    this.table();
    if (report) this.report();
  }

  tick(now) {
    if (!this.playing || !this.root.isConnected) return;
    const gap = now - this.before, passed = Math.min(0.5, gap / 1000); // a window that slept goes on where it was
    this.before = now;
    this.cursor = Math.min(this.last, this.cursor + (passed * this.last) / (SECONDS * (this.slow ? SLOWER : 1)));
    if (this.cursor >= this.last) return this.pause();
    this.gap = 0.9 * this.gap + 0.1 * Math.min(gap, 100);
    this.skips = this.gap > TIRED && !this.skips; // a machine that cannot keep up draws every second picture
    if (!this.skips) this.draw();
    requestAnimationFrame((next) => this.tick(next));
  }

  go(by) {
    this.seek(Math.round(this.cursor) + by);
  }

  // Go to a step; a run that goes on is followed from its end alone. The step is known before anything is drawn: that sets the slider.
  seek(step) {
    this.pause(false);
    this.show(step);
    this.following = this.data.order[1] === "follow" && this.cursor === this.last;
    this.report();
  }

  show(step) {
    this.cursor = Math.max(0, Math.min(this.last, step));
    this.draw();
    this.table();
  }

  // Tell the server where the player rests, once nothing has moved for a moment.
  report() {
    clearTimeout(this.waiting);
    this.waiting = setTimeout(() => {
      const step = Math.round(this.cursor);
      if (this.playing || step === this.reported) return;
      this.reported = step;
      this.component.setStateValue("step", step);
    }, QUIET);
  }

  // What is drawn.
  draw() {
    if (!this.scenes || !this.root.isConnected) return;
    this.held.drawn += 1;
    const step = Math.floor(this.cursor + 1e-9), slider = this.place(".step");
    slider.max = this.last;
    slider.value = step;
    slider.disabled = this.last === 0;
    this.place(".at").textContent = `step ${step} of ${this.last}`;
    this.set(this.place(".sentence"), sentenceAt(this.scene.sentences, step));
    if (this.hasWall) this.drawWall(step);
    if (this.hasGround) this.ground.draw();
    this.charts.draw(this.scene, this.cursor, this.last);
  }

  set(element, text) {
    if (element.textContent !== text) element.textContent = text;
  }

  drawWall(step) {
    const { wall, lines } = this.scene, line = lines[this.who];
    if (!line?.flips.length) return;
    const place = placeOf(line.steps, step);
    [...this.place(".wall").children].forEach((tile, n) => {
      const says = classAt(line.flips[n], place), name = wall.names[says];
      tile.classList.toggle("changed", says !== wall.truth[n]);
      this.set(tile.firstChild.lastChild, name);
      const label = `${wall.names[wall.truth[n]]}, train sample ${wall.ids[n]}: ${line.name} says ${name}`;
      if (tile.firstChild.ariaLabel !== label) tile.firstChild.ariaLabel = label;
    });
  }

  // Words for who cannot see the charts, written when the player rests.
  table() {
    const step = Math.round(this.cursor), rows = this.scene.lines.filter((line) => line.steps.length).map((line) => {
      const place = placeOf(line.steps, step);
      return [line.name, String(line.steps[place]), percent(line.forget[place]), percent(line.kept[place])];
    });
    for (const [name, pair] of [["original", this.scene.original], ["retrained", this.scene.retrained]]) {
      if (pair) rows.push([name, "", percent(pair[0]), percent(pair[1])]);
    }
    const table = this.place("table"), head = ["Run", "Step", "Forget accuracy", this.scene.kept.replace(", %", "")];
    table.replaceChildren(
      make("caption", {}, `What the charts show at step ${step}`),
      row(head, "th"), ...rows.map((cells) => row(cells, "td")),
    );
    const said = rows.map(([name, , forget, kept]) => `${name}: forget ${forget}, kept ${kept}`).join("; ");
    this.charts.label(said);
    if (this.hasGround) this.ground.label(said);
  }

  // Pointing at something.
  point(n, tile) {
    const tip = this.place(".tip");
    if (n === null) return void (tip.hidden = true);
    const { wall } = this.scene, line = this.scene.lines[this.who], weight = wall.glow[n];
    const text = make("div", {}, tile.firstChild.ariaLabel + (weight === undefined ? "" : `. Weight: ${weight.toFixed(2)} of the largest`));
    this.tell([picture(wall, n, 112), text], tile.offsetLeft + tile.offsetWidth, tile.offsetTop);
  }

  hover(name, event) {
    const canvas = this.charts.boxes[name].firstElementChild, box = canvas.getBoundingClientRect();
    const [px, py] = [event.clientX - box.left, event.clientY - box.top], found = this.charts.nearest(name, px, py);
    if (!found) return void (this.place(".tip").hidden = true);
    const { line, place } = found, loss = line.losses[place];
    const words = `${line.name}, step ${line.steps[place]}: forget ${percent(line.forget[place])}, kept ${percent(line.kept[place])}`;
    const home = this.place(".screen").getBoundingClientRect();
    this.tell([words + (loss === null ? "" : `, loss ${loss}`)], event.clientX - home.left + 12, event.clientY - home.top + 12);
  }

  tell(content, left, top) {
    const tip = this.place(".tip"), room = this.place(".screen").clientWidth;
    tip.replaceChildren(...content);
    tip.hidden = false;
    tip.style.left = `${Math.max(0, Math.min(left, room - tip.offsetWidth - 4))}px`;
    tip.style.top = `${top}px`;
  }
}

