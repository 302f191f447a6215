"""FAISS IVF and HNSW under filters, for `peers.py`."""
import json
import time

import numpy as np

from peer_data import recall_at

SHARES = (0.9, 0.5, 0.2, 0.1, 0.05, 0.02, 0.01, 0.001, 0.0001)


def filter_peer(args, base, queries):
    """FAISS IVF, or HNSW for `hnswfilter`, with a bitmap of the ids that match, at the least effort that reaches a recall of --target.

    Efforts are probe counts of IVF and `efSearch` of HNSW, each twice the one before.
    Filters as in `benches/src/bin/filters`: the vectors nearest three random ones, asked for by the queries nearest (correlation 1)
    or farthest (-1), or random vectors (0). One JSON line for each share and correlation, with the rate of the same queries unfiltered.
    """
    import faiss
    faiss.omp_set_num_threads(args.threads)
    metric = faiss.METRIC_L2 if args.metric == "l2" else faiss.METRIC_INNER_PRODUCT
    xb, xq = np.asarray(base, np.float32), np.asarray(queries, np.float32)
    n, rng = len(xb), np.random.default_rng(7)
    is_graph = args.peer == "hnswfilter"
    factory = "HNSW32,Flat" if is_graph else f"IVF{args.nlist},Flat"
    index = faiss.index_factory(xb.shape[1], factory, metric)
    index.train(xb[rng.choice(n, min(n, args.train), replace=False)])
    index.add(xb)
    efforts = [2 ** i for i in range(4, 13)] if is_graph else [2 ** i for i in range(20) if 2 ** i < args.nlist] + [args.nlist]

    def params(effort, selector):
        if is_graph:
            return faiss.SearchParametersHNSW(efSearch=effort, sel=selector)
        return faiss.SearchParametersIVF(nprobe=effort, sel=selector)
    sign = 1 if args.metric == "l2" else -1
    anchors = xb[rng.choice(n, 3, replace=False)]
    near = [np.argsort(sign * faiss.pairwise_distances(a[None, :], xb, metric)[0], kind="stable") for a in anchors]
    asking = [np.argsort(sign * faiss.pairwise_distances(a[None, :], xq, metric)[0], kind="stable") for a in anchors]
    count = min(args.queries or 2000, len(xq))
    each = -(-count // len(anchors))
    cells = {1: [(o, q[:each]) for o, q in zip(near, asking)], 0: [(rng.permutation(n), np.arange(count))],
             -1: [(o, q[-each:]) for o, q in zip(near, asking)]}
    cells = {correlation: cells[correlation] for correlation in args.correlations}

    def rate(groups):
        """groups: (queries, search parameters) -> queries a second."""
        start, asked = time.perf_counter(), 0
        while time.perf_counter() - start < args.seconds:
            for q, p in groups:
                index.search(q, args.k, params=p)
                asked += len(q)
        return asked / (time.perf_counter() - start)

    def at_target(cell, matches):
        """The first effort that reaches the target, or the last: that, recall, queries a second."""
        truths = []
        for order, q in cell:
            rows = np.sort(order[:matches])
            k = min(args.k, matches)
            dist, ids = faiss.knn(xq[q], np.ascontiguousarray(xb[rows]), k, metric=metric)
            truths.append((rows[ids], sign * dist, k))
        bits = [np.packbits(np.isin(np.arange(n), order[:matches]), bitorder="little") for order, _ in cell]
        selectors = [None if matches == n else faiss.IDSelectorBitmap(mask) for mask in bits]
        for effort in efforts:
            groups = [(xq[q], params(effort, selector)) for (_, q), selector in zip(cell, selectors)]
            found = [index.search(q, args.k, params=p)[1] for q, p in groups]
            recalls = [recall_at(k, f, (ids, dist)) for f, (ids, dist, k) in zip(found, truths)]
            recall = float(np.average(recalls, weights=[len(q) for _, q in cell]))
            if recall >= args.target or effort == efforts[-1]:
                return effort, recall, rate(groups)

    for correlation, cell in cells.items():
        plain = at_target(cell, n)
        for share in args.shares:
            matches = max(1, round(share * n))
            effort, recall, qps = at_target(cell, matches)
            print(json.dumps(dict(
                peer="faiss:" + factory, correlation=correlation, share=share, matches=matches, k=args.k,
                threads=args.threads, effort=effort, recall=round(recall, 4), qps=round(qps, 1),
                plain_effort=plain[0], plain_recall=round(plain[1], 4), plain_qps=round(plain[2], 1), of_plain=round(qps / plain[2], 3))), flush=True)


def read_tags(path):
    """A sparse matrix of big-ann-benchmarks: where each row's columns begin, and the columns."""
    rows, _, entries = (int(x) for x in np.fromfile(path, np.int64, 3))
    return np.fromfile(path, np.int64, rows + 1, offset=24), np.fromfile(path, np.int32, entries, offset=24 + 8 * (rows + 1))


def tag_peer(args, base, queries):
    """FAISS IVF where each query asks for the rows that have all of its tags, at the least of its probe counts that reaches --target.

    The rows of each query are known before the clock starts: as a bitmap of ids for IVF, or, where they are at most --exact, to be compared
    one by one. Threads take a query at a time.
    """
    import faiss
    from concurrent.futures import ThreadPoolExecutor
    faiss.omp_set_num_threads(1)
    metric = faiss.METRIC_L2 if args.metric == "l2" else faiss.METRIC_INNER_PRODUCT
    sign = 1 if args.metric == "l2" else -1
    xb = np.asarray(base, np.float32)
    xq = np.asarray(queries[: args.queries or 2000], np.float32)
    n, rng = len(xb), np.random.default_rng(7)
    index = faiss.index_factory(xb.shape[1], f"IVF{args.nlist},Flat", metric)
    faiss.omp_set_num_threads(args.threads)
    index.train(xb[rng.choice(n, min(n, args.train), replace=False)])
    index.add(xb)
    faiss.omp_set_num_threads(1)
    starts, columns = read_tags(args.tags)
    order = np.argsort(columns, kind="stable")
    rows_of = np.repeat(np.arange(n, dtype=np.int64), np.diff(starts))[order]
    ends = np.searchsorted(columns[order], np.arange(int(columns.max()) + 2))
    asked_starts, asked = read_tags(args.filters)
    rows = []
    for i in range(len(xq)):
        found = None
        for tag in asked[asked_starts[i]:asked_starts[i + 1]]:
            some = rows_of[ends[tag]:ends[tag + 1]]
            found = some if found is None else np.intersect1d(found, some, assume_unique=True)
        rows.append(found)
    truths = []
    for q, some in zip(xq, rows):
        dist, ids = faiss.knn(q[None, :], xb[some], min(args.k, len(some)), metric=metric)
        truths.append((some[ids[0]], sign * dist[0]))
    masks = {}
    for i, some in enumerate(rows):
        if len(some) > args.exact:
            mask = np.zeros(n, bool)
            mask[some] = True
            masks[i] = faiss.IDSelectorBitmap(np.packbits(mask, bitorder="little"))

    def search(i, probes):
        if i in masks:
            params = faiss.SearchParametersIVF(nprobe=probes, sel=masks[i])
            return index.search(xq[i : i + 1], args.k, params=params)[1][0]
        some = rows[i]
        return some[faiss.knn(xq[i : i + 1], xb[some], min(args.k, len(some)), metric=metric)[1][0]]

    for probes in [2 ** i for i in range(20) if 2 ** i <= args.nlist]:
        with ThreadPoolExecutor(args.threads) as pool:
            start, cpu = time.perf_counter(), time.process_time()
            found = list(pool.map(lambda i: search(i, probes), range(len(xq))))
            qps = len(xq) / (time.perf_counter() - start)
            cpu_us = (time.process_time() - cpu) / len(xq) * 1e6
        recalls = [recall_at(len(ids), [f], (ids[None, :], dist[None, :])) for f, (ids, dist) in zip(found, truths)]
        recall = float(np.mean(recalls))
        if recall >= args.target or 2 * probes > args.nlist:
            print(json.dumps(dict(
                peer=f"faiss:IVF{args.nlist},Flat", queries=len(xq), k=args.k, threads=args.threads, nprobe=probes, exact=args.exact,
                compared_one_by_one=len(xq) - len(masks), recall=round(recall, 4), qps=round(qps, 1),
                cpu_us=round(cpu_us, 1))), flush=True)
            return
