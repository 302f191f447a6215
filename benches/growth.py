#!/usr/bin/env python3
"""Measure how builds and searches grow with the number of vectors, at equal bytes of memory for each.

    growth.py --work DIR [--vectors 1000000,3000000,10000000] [--search-memory 40B] [--memory 4GiB] [--spandrel PATH]

Generates SIFT-like sets (`spandrel data generate sift`) of falling size out of the largest, so that all have the same queries,
and prints a row for each: seconds and peak memory of the build, bytes a vector in memory and on disk, and at the recall
asked for, interpolated between operating points, queries per second and reads; then the powers of the number of vectors
with which they grow (least squares on logarithms). Sets are kept in DIR and used again.
"""
import argparse, json, math, os, subprocess, sys

LISTS = "64,96,128,192,256,384"


def run(args, *command):
    done = subprocess.run([args.spandrel, *command], capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{' '.join(command)}: {done.stderr}")
    return done.stdout


def prepare(args, sizes):
    """Base, truth of each size."""
    path = lambda name: os.path.join(args.work, name)
    largest, queries = path(f"base-{sizes[-1]}.u8bin"), path("queries.u8bin")
    if not os.path.exists(largest) or not os.path.exists(queries):
        run(args, "data", "generate", "sift", "--vectors", str(sizes[-1]), "--out", largest,
            "--queries", str(args.queries), "--queries-out", queries)
    sets = []
    for size in sizes:
        base, truth = path(f"base-{size}.u8bin"), path(f"truth-{size}.ibin")
        if not os.path.exists(base):
            run(args, "data", "crop", largest, base, "--rows", f"0..{size}")
        if not os.path.exists(truth):
            run(args, "data", "truth", "--base", base, "--queries", queries, "--metric", "l2", "--out", truth)
        sets.append((size, base, queries, truth))
    return sets


def at_recall(points, recall):
    """Rate and reads, between the two operating points around a recall."""
    points = sorted(points, key=lambda p: p["recall"])
    for low, high in zip(points, points[1:]):
        if low["recall"] <= recall <= high["recall"] and low["recall"] < high["recall"]:
            share = (recall - low["recall"]) / (high["recall"] - low["recall"])
            between = lambda field: math.exp((1 - share) * math.log(low[field]) + share * math.log(high[field]))
            return between("qps"), between("reads")
    sys.exit(f"no points on both sides of recall {recall}: {[p['recall'] for p in points]}")


def power(sizes, values):
    x, y = [math.log(s) for s in sizes], [math.log(v) for v in values]
    mx, my = sum(x) / len(x), sum(y) / len(y)
    return sum((a - mx) * (b - my) for a, b in zip(x, y)) / sum((a - mx) ** 2 for a in x)


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--work", required=True)
    p.add_argument("--vectors", default="1000000,3000000,10000000")
    p.add_argument("--queries", type=int, default=1000)
    p.add_argument("--search-memory", default="40B")
    p.add_argument("--memory", default="4GiB")
    p.add_argument("--threads", default="2")
    p.add_argument("--in-flight", default="16")
    p.add_argument("--recall", type=float, default=0.95)
    p.add_argument("--spandrel", default="target/release/spandrel")
    args = p.parse_args()
    os.makedirs(args.work, exist_ok=True)
    sizes = sorted(int(size) for size in args.vectors.split(","))
    rows = []
    for size, base, queries, truth in prepare(args, sizes):
        index = os.path.join(args.work, f"index-{size}")
        built = run(args, "build", "--quiet", "--format", "json", "--base", base, "--metric", "l2", "--out", index, "--replace", "--memory", args.memory,
                    "--threads", args.threads, "--search-memory", args.search_memory)
        built = json.loads(built)
        seconds, peak = built["build_seconds"], built["memory_peak"] / 1e6
        points = run(args, "bench", "--quiet", "--format", "json", "--index", index, "--queries", queries, "--truth", truth, "--threads", args.threads,
            "--in-flight", args.in_flight, "--max-lists", LISTS, "--rerank-errors", "0.9")
        points = json.loads(points)
        qps, reads = at_recall(points, args.recall)
        rows.append((size, seconds, peak, points[0]["memory_bytes"] / size, points[0]["index_bytes"] / size, qps, reads))
        print("%11d vectors: built in %6.1f s, %.0f MB at its peak; %.1f B in memory and %.0f B on disk a vector; recall %.2f at %6.0f QPS, %.1f reads"
              % (size, seconds, peak, *rows[-1][3:5], args.recall, qps, reads), flush=True)
    if len(rows) > 1:
        growth = [power(sizes, [row[at] for row in rows]) for at in (5, 6)]
        growth.append(power(sizes, [row[1] / row[0] for row in rows]))
        print("powers of the number of vectors: QPS %.2f, reads %.2f, build time a vector %.2f" % tuple(growth))


if __name__ == "__main__":
    main()
