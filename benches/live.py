#!/usr/bin/env python3
"""Measure what measuring recall costs the queries of a server.

    live.py --index DIR --queries FILE --truth FILE [--share 0.01] [--rate 500] [--seconds 10] [--rounds 8] [--spandrel PATH]

Two servers of one index, one that measures recall and one that does not, are asked in turns at a fixed rate. Prints p50 and p99 of each
round, then the median over the rounds of what the first has to the second, and the share of the time of search threads that measuring
took, as the server counts it.
"""
import argparse, json, re, statistics, subprocess, sys, tempfile, time, urllib.request


class Server:
    """A server of the index on free ports."""

    def __init__(self, args, share):
        self.args, self.log = args, tempfile.TemporaryFile("w+")
        self.process = subprocess.Popen(
            [args.spandrel, "serve", "--index", f"index={args.index}", "--listen", "127.0.0.1:0", "--metrics", "127.0.0.1:0",
             "--threads", str(args.threads), "--vectors", args.vectors, "--measure-recall", str(share)],
            stdout=subprocess.PIPE, stderr=self.log, text=True)
        line = self.process.stdout.readline()
        if not line.startswith("listening on "):
            self.log.seek(0)
            sys.exit(f"the server ended: {self.log.read()}")
        self.address = line.split()[-1]
        self.log.seek(0)
        self.metrics = re.search(r"metrics on (http://\S+)", self.log.read()).group(1)

    def bench(self):
        """p50 and p99 of one round, in microseconds."""
        a = self.args
        done = subprocess.run(
            [a.spandrel, "bench", "--quiet", "--format", "json", "--server", self.address, "--queries", a.queries, "--truth", a.truth,
             "--k", str(a.k), "--rpc", "unary", "--rate", str(a.rate), "--seconds", str(a.seconds)], capture_output=True, text=True)
        if done.returncode:
            sys.exit(done.stderr)
        point = json.loads(done.stdout)[0]
        return point["p50_us"], point["p99_us"]

    def measured(self):
        """Seconds that measuring took, and queries that were measured."""
        text = urllib.request.urlopen(self.metrics).read().decode()
        values = lambda name: [float(x) for x in re.findall(rf"^{name}\{{[^}}]*\}} (\S+)$", text, re.M)]
        return sum(values("spandrel_recall_measuring_seconds_total")), sum(values("spandrel_recall_queries"))


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--index", required=True)
    p.add_argument("--queries", required=True)
    p.add_argument("--truth", required=True)
    p.add_argument("--share", type=float, default=0.01)
    p.add_argument("--k", type=int, default=10)
    p.add_argument("--rate", type=float, default=500)
    p.add_argument("--seconds", type=int, default=10)
    p.add_argument("--rounds", type=int, default=8)
    p.add_argument("--threads", type=int, default=2)
    p.add_argument("--vectors", default="ssd")
    p.add_argument("--spandrel", default="target/release/spandrel")
    args = p.parse_args()
    servers = []
    try:
        for share in (args.share, 0):
            servers.append(Server(args, share))
        start, ratios = time.monotonic(), []
        for number in range(args.rounds):
            # In turns, so that neither is always the first.
            order = servers if number % 2 == 0 else servers[::-1]
            found = {server: server.bench() for server in order}
            (on50, on99), (off50, off99) = found[servers[0]], found[servers[1]]
            ratios.append((on50 / off50, on99 / off99))
            print(f"round {number}: p50 {on50:.0f} and {off50:.0f} us, p99 {on99:.0f} and {off99:.0f} us, with and without")
        seconds, queries = servers[0].measured()
        share = seconds / (args.threads * (time.monotonic() - start))
        p50, p99 = (statistics.median(ratio[at] for ratio in ratios) for at in (0, 1))
        print(f"p50 {p50:.3f} times, p99 {p99:.3f} times; {100 * share:.2f} % of the search threads' time, {queries:.0f} queries measured")
    finally:
        for server in servers:
            server.process.terminate()


if __name__ == "__main__":
    main()
