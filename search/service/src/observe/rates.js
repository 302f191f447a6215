// Rates and percentiles, from the differences of counts between two answers of /api/status.

const STAGES = ["queue", "search", "probe", "scan", "plan", "wait", "verify", "rerank"];
const PARTS = STAGES.slice(2);

// The time below which a share of those counted lies, interpolated inside its bucket as Prometheus does.
function percentile(share, buckets, ends) {
  const all = buckets.reduce((sum, count) => sum + count, 0);
  if (!(all > 0)) return NaN;
  let left = share * all;
  for (let at = 0; at < ends.length; at += 1) {
    const low = at ? ends[at - 1] : 0;
    if (left <= buckets[at]) return buckets[at] ? low + ((ends[at] - low) * left) / buckets[at] : low;
    left -= buckets[at];
  }
  return ends.at(-1);
}

// What a stage took between two answers.
function stageBetween(before, after, ends) {
  const buckets = after.buckets.map((count, at) => count - before.buckets[at]);
  const count = buckets.reduce((sum, one) => sum + one, 0);
  const [p50, p95, p99] = [0.5, 0.95, 0.99].map((share) => percentile(share, buckets, ends));
  return { p50, p95, p99, count, mean: count ? (after.sum_seconds - before.sum_seconds) / count : NaN };
}

// What happened to an index between two samples, {time, index}: rates a second, means per query, times.
function frameBetween(before, after, ends) {
  const seconds = after.time - before.time;
  const grown = (name) => after.index.counts[name] - before.index.counts[name];
  const queries = grown("queries");
  const frame = { time: after.time, queries: queries / seconds };
  for (const name of ["refused", "degraded", "partial"]) frame[name] = grown(name) / seconds;
  for (const name of ["lists", "reads", "pages", "cache_hits", "read_bytes", "codes", "reranked"]) {
    frame[name] = queries > 0 ? grown(name) / queries : NaN;
  }
  for (const stage of STAGES) {
    const took = stageBetween(before.index.stages[stage], after.index.stages[stage], ends);
    for (const [name, value] of Object.entries(took)) frame[`${stage}_${name}`] = value;
  }
  return frame;
}

// Samples and frames of the last minutes, of every index. Begins anew when the server did.
class History {
  constructor(span) {
    Object.assign(this, { span, indexes: new Map(), uptime: 0, ends: [] });
  }

  take(status) {
    // The server's own clock: a slow answer must not look like a high rate.
    const time = status.uptime_seconds;
    if (time < this.uptime) this.indexes.clear();
    this.uptime = time;
    this.ends = status.bucket_seconds;
    this.calls = (this.calls ?? []).filter((sample) => sample.time <= time && sample.time > time - 12);
    this.calls.push({ time, calls: status.calls });
    for (const index of status.indexes) {
      const kept = this.indexes.get(index.name) ?? { samples: [], frames: [] };
      const before = kept.samples.at(-1), after = { time, index };
      if (before && time - before.time < 0.05) continue;
      if (before) kept.frames.push(frameBetween(before, after, this.ends));
      kept.samples.push(after);
      const isRecent = (one) => one.time >= time - this.span - 2;
      kept.samples = kept.samples.filter(isRecent);
      kept.frames = kept.frames.filter(isRecent);
      this.indexes.set(index.name, kept);
    }
  }

  frames(name) {
    return this.indexes.get(name)?.frames ?? [];
  }

  // Each stage over the last `seconds`, or over as long as is known.
  stages(name, seconds) {
    const samples = this.indexes.get(name)?.samples ?? [];
    const after = samples.at(-1);
    const before = samples.find((sample) => sample.time >= this.uptime - seconds) ?? after;
    return STAGES.map((stage) => ({
      stage,
      ...(after && stageBetween(before.index.stages[stage], after.index.stages[stage], this.ends)),
    }));
  }

  // Calls a second of a method and code, over some ten seconds.
  callRate({ method, code, count }) {
    const before = this.calls[0], seconds = this.uptime - before.time;
    const was = before.calls.find((call) => call.method === method && call.code === code);
    return seconds > 0 ? (count - (was ? was.count : 0)) / seconds : NaN;
  }
}

