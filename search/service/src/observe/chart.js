"use strict";
// Elements and charts. Data become text nodes and attributes, never markup.

const SVG = "http://www.w3.org/2000/svg";

function element(name, properties, ...children) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
}

function shape(name, attributes, ...children) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

const isNumber = Number.isFinite;

function digits(value) {
  return value >= 100 || value === 0 ? value.toFixed(0) : value >= 10 ? value.toFixed(1) : value.toFixed(2);
}

function scaled(value, step, units) {
  if (!isNumber(value)) return "–";
  let at = 0;
  // Rounding must not show a thousand of a unit.
  while (at + 1 < units.length && value >= step * 0.9995) {
    value /= step;
    at += 1;
  }
  const text = at === 0 && Number.isInteger(value) ? String(value) : digits(value);
  return units[at] ? text + units[at] : text;
}

const asCount = (value) => scaled(value, 1000, ["", " k", " M", " G", " T"]);
const asBytes = (value) => scaled(value, 1024, [" B", " KiB", " MiB", " GiB", " TiB"]);
const asTime = (seconds) => {
  if (!isNumber(seconds)) return "–";
  if (seconds === 0) return "0 µs";
  return seconds < 0.9995 ? scaled(seconds * 1e6, 1000, [" µs", " ms"]) : digits(seconds) + " s";
};

// A round step so that about three of them reach `most`. `base` is 1024 for bytes.
function roundStep(most, least, base) {
  const rough = Math.max(most / 3, least);
  const unit = base ** Math.floor(Math.log(rough) / Math.log(base)), power = 10 ** Math.floor(Math.log10(rough / unit));
  return [1, 2, 2.5, 5, 10].find((factor) => factor * power * unit >= rough * 0.999) * power * unit;
}

const withoutZeros = (text) => text.replace(/(\.[0-9]*?)0+(?![0-9])/, "$1").replace(/\.(?![0-9])/, "");

// Parts of a whole, side by side.
function partsBar(parts, label) {
  const all = parts.reduce((sum, part) => sum + part.value, 0);
  const bar = shape("svg", { viewBox: "0 0 1000 10", preserveAspectRatio: "none", role: "img", "aria-label": label });
  let at = 0;
  for (const part of parts) {
    const width = all > 0 ? (1000 * part.value) / all : 0;
    bar.append(shape("rect", { x: at, y: 0, width, height: 10, class: part.style }));
    at += width;
  }
  return bar;
}

const HEIGHT = 132, LEFT = 52, RIGHT = 6, TOP = 8, BOTTOM = 22;

// A chart of numbers over time. `series`: {name, key}; `format` shows a number; `stacked` adds the series up; its axis
// has steps of at least `least`, round in powers of `base`.
class Chart {
  constructor({ title, series, format, stacked = false, least = 1, base = 1000 }) {
    Object.assign(this, { title, series, format, stacked, least, base, frames: [], span: 1, end: 0, chosen: null, width: 320 });
    this.when = element("span", { className: "when" });
    this.svg = shape("svg", { role: "img", tabindex: "0", "aria-label": title, preserveAspectRatio: "none" });
    this.legend = element("div", { className: "legend" });
    this.values = series.map(({ name }, at) => {
      const value = element("b", {}, "–");
      this.legend.append(element("span", {}, element("i", { className: `key s${at}` }), name, value));
      return value;
    });
    const head = element("div", { className: "head" }, element("h3", {}, title), this.when);
    this.box = element("div", { className: "chart" }, head, this.svg, this.legend);
    new ResizeObserver(([entry]) => {
      this.width = Math.max(160, Math.round(entry.contentRect.width));
      this.draw();
    }).observe(this.svg);
    this.svg.addEventListener("pointermove", (event) => this.point(event.offsetX));
    this.svg.addEventListener("pointerdown", (event) => this.point(event.offsetX));
    for (const end of ["pointerleave", "blur"]) this.svg.addEventListener(end, () => this.choose(null));
    this.svg.addEventListener("keydown", (event) => this.step(event));
  }

  // Shows frames, {time, ...numbers}, of the `span` seconds before `end`.
  show(frames, span, end) {
    Object.assign(this, { frames, span, end });
    this.draw();
  }

  x(time) {
    return LEFT + ((time - this.end + this.span) / this.span) * (this.width - LEFT - RIGHT);
  }

  point(offset) {
    const distances = this.frames.map((frame) => Math.abs(this.x(frame.time) - offset));
    this.choose(distances.length ? this.frames[distances.indexOf(Math.min(...distances))] : null);
  }

  step(event) {
    const move = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (event.key === "Escape") this.choose(null);
    if (!move || !this.frames.length) return;
    event.preventDefault();
    const at = this.chosen ? this.frames.indexOf(this.chosen) : this.frames.length;
    this.choose(this.frames[Math.min(Math.max(at + move, 0), this.frames.length - 1)]);
  }

  choose(frame) {
    this.chosen = frame;
    this.draw();
  }

  // Upper ends of the series at a frame: summed up if they are stacked.
  tops(frame) {
    let sum = 0;
    return this.series.map(({ key }) => {
      if (!this.stacked) return frame[key];
      sum += isNumber(frame[key]) ? frame[key] : 0;
      return isNumber(frame[key]) ? sum : NaN;
    });
  }

  draw() {
    const { svg, width } = this;
    if (this.chosen && !this.frames.includes(this.chosen)) this.chosen = null;
    const shown = this.chosen ?? this.frames.at(-1);
    this.series.forEach(({ key }, at) => {
      this.values[at].textContent = this.format(shown?.[key]);
    });
    this.when.textContent = this.chosen ? `${Math.round(this.end - this.chosen.time)} s ago` : "";
    const told = this.series.map(({ name }, at) => `${name} ${this.values[at].textContent}`).join(", ");
    svg.setAttribute("aria-label", `${this.title}${this.chosen ? ` ${this.when.textContent}` : ""}: ${told}`);

    const all = this.frames.map((frame) => this.tops(frame));
    const most = Math.max(0, ...all.flat().filter(isNumber));
    const step = roundStep(most, this.least, this.base), top = step * Math.max(1, Math.ceil((most / step) * 0.999));
    const y = (value) => TOP + (1 - value / top) * (HEIGHT - TOP - BOTTOM);
    svg.setAttribute("viewBox", `0 0 ${width} ${HEIGHT}`);
    const drawn = [];
    for (let at = 0; at <= Math.round(top / step); at += 1) {
      const [value, height] = [at * step, Math.round(y(at * step)) + 0.5];
      drawn.push(shape("line", { x1: LEFT, x2: width - RIGHT, y1: height, y2: height, class: "grid" }));
      drawn.push(shape("text", { x: LEFT - 6, y: height + 3.5, "text-anchor": "end" }, withoutZeros(this.format(value))));
    }
    const between = this.span / (this.span > 120 ? 5 : 4);
    for (let ago = 0; ago <= this.span; ago += between) {
      const text = ago === 0 ? "now" : ago % 60 ? `-${ago} s` : `-${ago / 60} min`;
      const place = { x: this.x(this.end - ago), y: HEIGHT - 4, "text-anchor": ago === 0 ? "end" : "middle" };
      drawn.push(shape("text", place, text));
    }
    // The last series first, so that the first is on top.
    for (let at = this.series.length - 1; at >= 0; at -= 1) drawn.push(...this.curve(all, at, y));
    if (this.chosen) {
      const x = Math.round(this.x(this.chosen.time)) + 0.5;
      drawn.push(shape("line", { x1: x, x2: x, y1: TOP, y2: HEIGHT - BOTTOM, class: "cross" }));
    }
    svg.replaceChildren(...drawn);
  }

  // One series; where it has no value it is interrupted.
  curve(all, at, y) {
    const runs = [[]];
    this.frames.forEach((frame, number) => {
      const value = all[number][at];
      if (!isNumber(value)) runs.push([]);
      else runs.at(-1).push([this.x(frame.time), y(value), y((this.stacked && at > 0 && all[number][at - 1]) || 0)]);
    });
    const at2 = (x, y) => `${x.toFixed(1)} ${y.toFixed(1)}`;
    const drawn = [];
    for (const run of runs.filter((run) => run.length)) {
      // A point alone is a short stroke.
      if (run.length === 1) run.push([run[0][0] + 0.1, run[0][1], run[0][2]]);
      const line = "M" + run.map(([x, y]) => at2(x, y)).join("L");
      const area = line + "L" + run.toReversed().map(([x, , base]) => at2(x, base)).join("L") + "Z";
      if (this.stacked) drawn.push(shape("path", { d: area, class: `area s${at}` }));
      else {
        if (at === 0) drawn.push(shape("path", { d: area, class: `under s${at}` }));
        drawn.push(shape("path", { d: line, class: `line s${at}` }));
      }
    }
    return drawn;
  }
}

