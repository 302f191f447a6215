// The page: asks every second, shows, and searches when told to.

const SPANS = [60, 120, 300], EVERY_MS = 1000;
const at = (id) => document.getElementById(id);
const history_ = new History(SPANS.at(-1));
let latest = null, failedSince = null, paused = false, asking = false;

const TILES = [
  ["Queries/s", (f) => asCount(f?.queries)],
  ["Search p50", (f) => asTime(f?.search_p50)],
  ["Search p95", (f) => asTime(f?.search_p95)],
  ["Search p99", (f) => asTime(f?.search_p99)],
  ["Queue delay", (f, index) => asTime(index.queue_delay_seconds)],
  ["In flight", (f, index) => asCount(index.in_flight)],
  ["Refused/s", (f) => asCount(f?.refused), (f) => f?.refused > 0 && "warn"],
  ["Degraded/s", (f) => asCount(f?.degraded), (f) => f?.degraded > 0 && "warn"],
  ["Damaged parts", (f, index) => asCount(index.quarantined), (f, index) => index.quarantined > 0 && "bad"],
].map(([name, text, mark]) => {
  const value = element("dd", {}, "–");
  const box = element("div", {}, element("dt", {}, name), value);
  at("tiles").append(box);
  return { box, value, text, mark: mark ?? (() => "") };
});

const percentiles = (stage) => ["p50", "p95", "p99"].map((name) => ({ name, key: `${stage}_${name}` }));
const of = (...names) => names.map((name) => ({ name: name.replace("_", " "), key: name }));
const CHARTS = [
  new Chart({
    title: "Queries a second",
    series: [{ name: "answered", key: "queries" }, ...of("refused", "degraded")],
    format: asCount,
  }),
  new Chart({ title: "Time in search", series: percentiles("search"), format: asTime, least: 1e-6 }),
  new Chart({ title: "Time in the queue", series: percentiles("queue"), format: asTime, least: 1e-6 }),
  new Chart({
    title: "Where the time of a query goes",
    series: PARTS.map((name) => ({ name, key: `${name}_mean` })),
    format: asTime,
    least: 1e-6,
    stacked: true,
  }),
  new Chart({ title: "Lists a query", series: of("lists"), format: asCount }),
  new Chart({ title: "Reads and pages a query", series: of("reads", "pages", "cache_hits"), format: asCount }),
  new Chart({ title: "Bytes read a query", series: [{ name: "bytes", key: "read_bytes" }], format: asBytes, base: 1024 }),
  new Chart({ title: "Codes scanned a query", series: of("codes", "reranked"), format: asCount }),
];
at("charts").append(...CHARTS.map((chart) => chart.box));

const MEMORY = ["codes", "vectors", "ids", "heads", "head_index", "directory", "attributes", "caches", "filters", "documents"];
const WORK = ["lists", "codes", "reranked", "reads", "pages", "rounds", "cache_hits", "head_distances"];

function chosenIndex() {
  return latest.indexes.find((index) => index.name === at("index").value) ?? latest.indexes[0];
}

function fillSelect() {
  const select = at("index"), names = latest.indexes.map((index) => index.name);
  if ([...select.options].map((option) => option.value).join() === names.join()) return;
  const before = select.value;
  select.replaceChildren(...names.map((name) => element("option", { value: name }, name)));
  if (names.includes(before)) select.value = before;
}

function showState() {
  const [kind, text] = failedSince
    ? ["bad", `no answer since ${failedSince.toLocaleTimeString()}`]
    : latest?.stopping ? ["warn", "stopping"] : paused ? ["", "paused"] : ["live", "live"];
  at("state").className = `state ${kind}`;
  if (at("state-text").textContent !== text) at("state-text").textContent = text;
}

function show() {
  showState();
  if (!latest) return;
  at("main").hidden = false;
  fillSelect();
  const index = chosenIndex();
  const opened = duration(latest.uptime_seconds), connections = latest.connections;
  at("server").textContent = `${latest.version} · up ${opened} · ${connections} connection${connections === 1 ? "" : "s"}`;
  at("token-field").hidden = latest.search !== "token";
  at("go").disabled = latest.search === "off" || !index;
  at("k").max = latest.k_max;
  if (latest.search === "off") note("The server asks for client certificates, so that searching is left to gRPC.");
  for (const place of document.getElementsByClassName("index-name")) place.textContent = index?.name ?? "no index";
  const frames = index ? history_.frames(index.name) : [];
  for (const { box, value, text, mark } of TILES) {
    value.textContent = index ? text(frames.at(-1), index) : "–";
    box.className = (index && mark(frames.at(-1), index)) || "";
  }
  const age = frames.length ? history_.uptime - frames[0].time : 0;
  const span = SPANS.find((span) => span >= age) ?? SPANS.at(-1);
  for (const chart of CHARTS) chart.show(frames, span, history_.uptime);
  showStages(index);
  showCalls();
  showIndexes(index);
}

function duration(seconds) {
  const units = [["d", 86400], ["h", 3600], ["min", 60], ["s", 1]];
  const first = Math.max(0, units.findIndex(([, size]) => seconds >= size));
  const parts = units.slice(first, first + 2).map(([unit, size], at) => {
    const within = at ? seconds % units[first][1] : seconds;
    return `${Math.floor(within / size)} ${unit}`;
  });
  return seconds < 1 ? "0 s" : parts.join(" ");
}

function row(head, cells, className) {
  return element("tr", {}, element("th", { scope: "row", className }, head), ...cells);
}

function showStages(index) {
  const stages = index ? history_.stages(index.name, 60) : [];
  const whole = stages.find(({ stage }) => stage === "search")?.mean;
  at("stages").tBodies[0].replaceChildren(...stages.map(({ stage, p50, p95, p99, mean }) => {
    const part = PARTS.indexOf(stage), share = part >= 0 && whole > 0 ? mean / whole : 0;
    const parts = [{ value: share, style: `s${part}` }, { value: Math.max(0, 1 - share), style: "rest" }];
    const bar = element("div", { className: "share" }, partsBar(parts, `${(share * 100).toFixed(0)} %`));
    const times = [p50, p95, p99, mean].map((time) => element("td", {}, asTime(time)));
    return row(stage, [...times, element("td", { className: "share-cell" }, part >= 0 ? bar : "")], part >= 0 ? "part" : "");
  }));
}

function showCalls() {
  const calls = latest.calls.filter(({ count }) => count > 0);
  const rows = calls.map((call) => row(call.method, [
    element("td", { className: call.code === "OK" ? "code" : "code refused" }, call.code),
    element("td", {}, asCount(history_.callRate(call))),
    element("td", {}, call.count.toLocaleString("en")),
  ]));
  if (!rows.length) rows.push(row("none yet", [1, 2, 3].map(() => element("td", {}))));
  at("calls").tBodies[0].replaceChildren(...rows);
}

function facts(pairs) {
  return element("dl", { className: "facts" }, ...pairs.map(([name, value, mark]) =>
    element("div", { className: mark ?? "" }, element("dt", {}, name), element("dd", {}, value))));
}

const SOURCES = { rows: "rows of the index", queries: "queries given" };

// What backs the recall that queries expect.
function promised(calibration) {
  if (!calibration) return "not calibrated";
  const curve = calibration.curves.find(({ k }) => k >= 10) ?? calibration.curves.at(-1);
  const confidence = calibration.confidence ? `, confidence ${calibration.confidence}` : "";
  const most = curve ? `at most ${curve.most.toFixed(3)} at ${curve.k}, by ${curve.queries} ` : "by ";
  return `${most}${SOURCES[calibration.source]}${confidence}`;
}

// What filters may ask of an attribute.
function attribute(type, values, nulls, vectors) {
  const different = values ? `, ${values.toLocaleString("en")} values` : "";
  const without = nulls ? `, ${digits((100 * nulls) / vectors)} % without` : "";
  return `${type}${different}${without}`;
}

function showIndexes(chosen) {
  const cards = latest.indexes.map((index) => {
    const parts = MEMORY
      .map((name, at) => ({ name: name.replace("_", " "), value: index.memory_bytes[name], style: `s${at}` }));
    const memory = parts.reduce((sum, part) => sum + part.value, 0);
    const legend = element("div", { className: "legend" }, ...parts.filter(({ value }) => value > 0).map((part) =>
      element("span", {}, element("i", { className: `key ${part.style}` }), part.name, element("b", {}, asBytes(part.value)))));
    const card = element("article", { className: index === chosen && latest.indexes.length > 1 ? "card chosen" : "card" },
      element("h3", {}, index.name),
      facts([
        ["version", String(index.version)],
        ["vectors", index.vectors.toLocaleString("en")],
        ["dimension", `${index.dim} × ${index.dtype}`],
        ["metric", index.metric],
        ["lists", index.lists.toLocaleString("en")],
        ["code", index.code],
        ["codes in", index.codes_tier],
        ["vectors in", index.vectors_tier],
        ["memory", `${asBytes(memory)} (${digits(memory / Math.max(1, index.vectors))} B a vector)`],
        ["disk", asBytes(index.disk_bytes)],
        ["open for", duration(index.served_seconds)],
        ["damaged", String(index.quarantined), index.quarantined ? "bad" : ""],
        ["recall", promised(index.calibration)],
        ...index.attributes.map(({ name, type, values, nulls }) => [name, attribute(type, values, nulls, index.vectors)]),
        ...index.recall.map(({ k, target, recall, low, high, queries, under_target }) => [
          `recall at ${k}`,
          `${recall.toFixed(3)} (${low.toFixed(3)} to ${high.toFixed(3)}, target ${target}, ${queries} queries)`,
          under_target ? "bad" : "",
        ]),
      ]),
      element("div", { className: "memory" }, partsBar(parts, `memory by part, ${asBytes(memory)} in all`)),
      legend);
    if (index.damage.length) {
      const more = index.quarantined > index.damage.length ? ", and more" : "";
      card.append(element("p", { className: "damage" }, `Left out of answers: ${index.damage.join(", ")}${more}`));
    }
    return card;
  });
  at("indexes").replaceChildren(...(cards.length ? cards : [element("p", { className: "muted" }, "No index is loaded.")]));
}

function note(text, isBad = false) {
  const place = at("search-note");
  place.className = isBad ? "bad" : "muted";
  if (place.textContent !== text) place.textContent = text;
}

async function search() {
  const index = chosenIndex(), id = at("id").value.trim(), k = at("k").value;
  const filter = at("filter").value.trim();
  const query = new URLSearchParams({ index: index.name, id, k, ...(filter && { filter }) });
  const token = at("token").value;
  const headers = token ? { authorization: `Bearer ${token}` } : {};
  const begun = performance.now();
  at("go").disabled = true;
  try {
    const answered = await fetch(`/api/search?${query}`, { headers });
    const found = await answered.json();
    if (!answered.ok) throw new Error(found.error);
    const took = (performance.now() - begun) / 1000;
    const flags = [
      found.missing && `damaged: ${found.missing.lists} lists and ${found.missing.pages} pages were left out`,
      found.effort && `under load: ${found.effort.searched_lists} of ${found.effort.asked_lists} lists`,
      found.limited_by && `cut short by ${found.limited_by}`,
    ];
    const among = found.matches === null ? "" : ` among ${found.matches.toLocaleString("en")} that match`;
    const text = [`${found.neighbours.length} nearest of ${id}${among}`, `version ${found.index_version}`, `${asTime(took)} round trip`];
    note([...text, ...flags.filter(Boolean)].join(" · "), found.missing !== null);
    at("found").replaceChildren(neighboursTable(found.neighbours), workList(found));
    at("found").scrollTop = 0;
  } catch (error) {
    note(String(error.message ?? error), true);
    at("found").replaceChildren();
  }
  at("go").disabled = false;
}

function neighboursTable(neighbours) {
  const heads = ["", "id", "distance"].map((text) => element("th", { scope: "col" }, text));
  const rows = neighbours.map(({ id, distance, estimated }, rank) => {
    const link = element("button", { type: "button", className: "link", title: `search with ${id}` }, id);
    link.addEventListener("click", () => {
      at("id").value = id;
      search();
    });
    const shown = `${estimated ? "~" : ""}${distance === null ? "–" : Number(distance.toPrecision(7))}`;
    return row(String(rank + 1), [element("td", {}, link), element("td", {}, shown)], "muted");
  });
  return element("table", { className: "numbers" },
    element("thead", {}, element("tr", {}, ...heads)), element("tbody", {}, ...rows));
}

function workList({ work, times_us: times }) {
  const gap = [element("div", { className: "gap" })];
  const pair = (name, value) => [element("dt", {}, name), element("dd", {}, value)];
  const counts = WORK.flatMap((name) => pair(name.replace("_", " "), work[name].toLocaleString("en")));
  const spent = STAGES.flatMap((name) => pair(name, asTime(times[name] / 1e6)));
  return element("dl", {}, ...spent, ...gap, ...counts, ...pair("bytes read", asBytes(work.read_bytes)));
}

async function ask() {
  if (asking || paused || document.hidden) return;
  asking = true;
  try {
    const answered = await fetch("/api/status", { signal: AbortSignal.timeout(5000) });
    if (!answered.ok) throw new Error(answered.statusText);
    latest = await answered.json();
    failedSince = null;
    history_.take(latest);
  } catch {
    failedSince ??= new Date();
  }
  asking = false;
  show();
}

at("index").addEventListener("change", show);
at("search").addEventListener("submit", (event) => {
  event.preventDefault();
  search();
});
at("pause").addEventListener("click", () => {
  paused = !paused;
  at("pause").textContent = paused ? "Go on" : "Pause";
  at("pause").setAttribute("aria-pressed", String(paused));
  showState();
  ask();
});
document.addEventListener("visibilitychange", ask);
setInterval(ask, EVERY_MS);
ask().then(() => {
  // An address such as /?index=vectors&id=17&k=5 asks at once.
  const wanted = new URLSearchParams(location.search);
  if (!latest || !wanted.has("id")) return;
  if (latest.indexes.some(({ name }) => name === wanted.get("index"))) at("index").value = wanted.get("index");
  for (const name of ["id", "k", "filter"]) at(name).value = wanted.get(name) ?? at(name).value;
  show();
  at("search").requestSubmit();
});
