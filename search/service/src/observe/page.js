"use strict";
// Everything shown comes from /api/indexes and from the counters in /metrics; rates are differences of two readings.
const EVERY_MS = 2000;
const KEPT = 150;

const $ = (id) => document.getElementById(id);
const history = [];
let last = null;

/** "name{label="value"} number" lines as a map from name and labels to numbers. */
function parseMetrics(text) {
  const values = new Map();
  for (const line of text.split("\n")) {
    if (line === "" || line.startsWith("#")) continue;
    const at = line.lastIndexOf(" ");
    values.set(line.slice(0, at), Number(line.slice(at + 1)));
  }
  return values;
}

/** Sum of all series of a name whose labels hold the given text. */
function sum(values, name, label) {
  let total = 0;
  for (const [key, value] of values) {
    if ((key === name || key.startsWith(name + "{")) && (!label || key.includes(label))) total += value;
  }
  return total;
}

/** The quantile of what a histogram took in between two readings, in its unit; null for nothing. */
function quantile(now, before, name, labels, share) {
  const ends = [];
  for (const [key, value] of now) {
    if (!key.startsWith(name + "_bucket{") || !labels.every((label) => key.includes(label))) continue;
    const end = /le="([^"]+)"/.exec(key)[1];
    ends.push([end === "+Inf" ? Infinity : Number(end), value - (before.get(key) || 0)]);
  }
  ends.sort((a, b) => a[0] - b[0]);
  const count = ends.length ? ends[ends.length - 1][1] : 0;
  if (count <= 0) return null;
  let [low, below] = [0, 0];
  for (const [high, upTo] of ends) {
    if (upTo >= share * count) {
      if (high === Infinity) return low;
      return low + (high - low) * (share * count - below) / Math.max(upTo - below, 1e-9);
    }
    [low, below] = [high, upTo];
  }
  return low;
}

function digits(value) {
  if (value === null || !Number.isFinite(value)) return "–";
  const size = Math.abs(value);
  const places = size >= 100 || size === 0 ? 0 : size >= 10 ? 1 : 2;
  return value.toLocaleString("en", { maximumFractionDigits: places }).replaceAll(",", "\u202f");
}

function bytes(value) {
  for (const [unit, size] of [["TB", 1e12], ["GB", 1e9], ["MB", 1e6], ["kB", 1e3]]) {
    if (value >= size) return digits(value / size) + " " + unit;
  }
  return digits(value) + " B";
}

const CHARTS = {
  load: [
    ["queries", "a second", (p) => [p.qps]],
    ["refused, degraded", "a second", (p) => [p.refused, p.degraded]],
    ["latency p50, p99", "ms", (p) => [p.p50, p.p99]],
    ["queue p50, p99", "ms", (p) => [p.queue50, p.queue99]],
    ["in flight", "queries", (p) => [p.inFlight]],
    ["connections", "", (p) => [p.connections]],
  ],
  work: [
    ["lists", "a query", (p) => [p.lists]],
    ["codes", "a query", (p) => [p.codes]],
    ["compared exactly", "a query", (p) => [p.reranked]],
    ["reads", "a query", (p) => [p.reads]],
    ["pages", "a query", (p) => [p.pages]],
    ["read", "kB a query", (p) => [p.kilobytes]],
  ],
};

const SVG = "http://www.w3.org/2000/svg";

function element(name, attributes = {}, text = "") {
  const made = name === "svg" || name === "path" ? document.createElementNS(SVG, name) : document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  if (text !== "") made.textContent = text;
  return made;
}

function makeCharts() {
  for (const [place, charts] of Object.entries(CHARTS)) {
    for (const chart of charts) {
      const figure = element("figure");
      const caption = element("figcaption");
      caption.append(element("span", {}, chart[0] + (chart[1] ? ", " + chart[1] : "")), element("strong", {}, "–"));
      const svg = element("svg", { viewBox: "0 0 100 40", preserveAspectRatio: "none", role: "img", "aria-label": chart[0] });
      svg.append(element("path", { class: "base", d: "M0 40H100" }), element("path", { class: "curve" }), element("path", { class: "curve second" }));
      figure.append(caption, svg);
      $(place).append(figure);
      chart.push(figure);
    }
  }
}

function draw() {
  for (const charts of Object.values(CHARTS)) {
    for (const [name, , of, figure] of charts) {
      const series = history.map(of);
      const now = series.length ? series[series.length - 1] : [];
      const value = figure.querySelector("strong");
      value.textContent = now.length ? now.map(digits).join(" / ") : "–";
      figure.querySelector("svg").setAttribute("aria-label", name + ": " + value.textContent);
      const top = Math.max(1e-9, ...series.flat().filter((v) => v !== null && Number.isFinite(v)));
      figure.querySelectorAll(".curve").forEach((path, which) => {
        let d = "", pen = "M";
        series.forEach((values, at) => {
          const v = values[which];
          if (v === undefined || v === null || !Number.isFinite(v)) { pen = "M"; return; }
          d += pen + (100 - (series.length - 1 - at) * 100 / (KEPT - 1)).toFixed(2) + " " + (40 - 38 * v / top).toFixed(2);
          pen = "L";
        });
        path.setAttribute("d", d);
      });
    }
  }
}

function point(now, before, seconds, index) {
  const label = `index="${index}"`;
  const rate = (name) => (sum(now, name, label) - sum(before, name, label)) / seconds;
  const queries = rate("spandrel_queries_total");
  const each = (name, scale = 1) => (queries > 0 ? rate(name) / queries / scale : null);
  const time = (stage, share) => {
    const found = quantile(now, before, "spandrel_stage_seconds", [label, `stage="${stage}"`], share);
    return found === null ? null : found * 1e3;
  };
  return {
    qps: queries,
    refused: rate("spandrel_queries_refused_total"),
    degraded: rate("spandrel_queries_degraded_total"),
    p50: time("Search", 0.5), p99: time("Search", 0.99),
    queue50: time("Queue", 0.5), queue99: time("Queue", 0.99),
    inFlight: sum(now, "spandrel_queries_in_flight", label),
    connections: sum(now, "spandrel_connections"),
    lists: each("spandrel_query_lists_total"), codes: each("spandrel_query_codes_total"),
    reranked: each("spandrel_query_reranked_total"), reads: each("spandrel_query_reads_total"),
    pages: each("spandrel_query_pages_total"), kilobytes: each("spandrel_query_read_bytes_total", 1e3),
  };
}

function showIndexes(status) {
  const rows = status.indexes.map((index) => {
    const row = element("tr");
    const cells = [
      index.name, index.version, digits(index.vectors), `${index.dim} × ${index.dtype}, ${index.metric}`, index.code,
      `codes ${index.codes}, vectors ${index.vectors_in}`,
      `${bytes(index.memory_bytes)}, ${digits(index.memory_bytes / index.vectors)} B/vector`, bytes(index.disk_bytes), index.quarantined,
    ];
    cells.forEach((text) => row.append(element("td", {}, String(text))));
    if (index.quarantined > 0) row.lastChild.className = "bad";
    return row;
  });
  $("indexes").tBodies[0].replaceChildren(...rows);
  const chosen = $("chosen");
  const names = status.indexes.map((index) => index.name);
  if (names.join() !== Array.from(chosen.options, (option) => option.value).join()) {
    const before = chosen.value;
    chosen.replaceChildren(...names.map((name) => element("option", { value: name }, name)));
    if (names.includes(before)) chosen.value = before;
  }
  $("token-label").hidden = !status.needs_token;
}

async function read() {
  const [status, metrics] = await Promise.all([fetch("/api/indexes"), fetch("/metrics")]);
  if (!status.ok || !metrics.ok) throw new Error("the server answers " + (status.ok ? metrics : status).status);
  const now = { at: performance.now(), values: parseMetrics(await metrics.text()) };
  const described = await status.json();
  showIndexes(described);
  if (last && $("chosen").value) {
    history.push(point(now.values, last.values, (now.at - last.at) / 1e3, $("chosen").value));
    if (history.length > KEPT) history.shift();
    draw();
  }
  last = now;
  $("state").textContent = described.stopping ? "stopping" : "serving";
  $("state").className = described.stopping ? "bad" : "";
}

async function keepReading() {
  try {
    await read();
  } catch (error) {
    $("state").textContent = "no answer: " + error.message;
    $("state").className = "bad";
  }
  setTimeout(keepReading, EVERY_MS);
}

async function search(event) {
  event.preventDefault();
  const form = new FormData($("query"));
  const state = $("query-state");
  state.className = "";
  state.textContent = "searching";
  try {
    const address = "/api/search?" + new URLSearchParams({ index: $("chosen").value, id: form.get("id"), k: form.get("k") });
    const headers = form.get("token") ? { authorization: "Bearer " + form.get("token") } : {};
    const response = await fetch(address, { headers });
    const answer = await response.json();
    if (!response.ok) throw new Error(answer.error);
    const rows = answer.ids.map((id, at) => {
      const row = element("tr");
      row.append(element("td", {}, String(at + 1)), element("td", {}, id), element("td", {}, String(answer.distances[at])));
      return row;
    });
    $("found").tBodies[0].replaceChildren(...rows);
    $("found").hidden = false;
    const work = answer.work;
    state.textContent = `${digits(work.search_us / 1e3)} ms: ${work.lists} lists, ${digits(work.codes)} codes, ` +
      `${work.reranked} compared exactly, ${work.reads} reads of ${work.pages} pages` + (answer.partial ? "; damaged parts were left out" : "");
  } catch (error) {
    state.textContent = error.message;
    state.className = "bad";
    $("found").hidden = true;
  }
}

/** An address such as /?index=vectors&id=17&k=5 asks at once. */
function askAtOnce() {
  const wanted = new URLSearchParams(location.search);
  if (!wanted.has("id")) return;
  if (wanted.has("index")) $("chosen").value = wanted.get("index");
  for (const name of ["id", "k"]) {
    if (wanted.has(name)) $("query").elements[name].value = wanted.get(name);
  }
  $("query").requestSubmit();
}

makeCharts();
$("chosen").addEventListener("change", () => { history.length = 0; draw(); });
$("query").addEventListener("submit", search);
keepReading().then(askAtOnce);
