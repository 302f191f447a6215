"""Files in the format of BIGANN, and the recall of what was found."""
import os

import numpy as np

DTYPES = {"fbin": np.float32, "f16bin": np.float16, "u8bin": np.uint8, "i8bin": np.int8}


def read_vectors(path, limit=None):
    dtype = DTYPES[path.rsplit(".", 1)[1]]
    n, d = np.fromfile(path, np.uint32, 2)
    n = int(n) if limit is None else min(int(n), limit)
    return np.memmap(path, dtype, "r", 8, (n, int(d)))


def read_truth(path):
    n, k = (int(x) for x in np.fromfile(path, np.uint32, 2))
    ids = np.memmap(path, np.uint32, "r", 8, (n, k))
    dist = np.memmap(path, np.float32, "r", 8 + 4 * n * k, (n, k))
    return np.array(ids), np.array(dist)


def recall_at(k, found, truth):
    """Mean share of the true k nearest found among the k returned; equal distances count as equal."""
    ids, dist = truth
    hits = 0
    for row, t, d in zip(found, ids, dist):
        ok = set(t[: np.searchsorted(d, d[k - 1] * (1 + 1e-6) + 1e-6, side="right")].tolist())
        hits += min(k, sum(1 for x in set(int(v) for v in row[:k]) if x in ok))
    return hits / (len(found) * k)


def tree_bytes(folder):
    return sum(os.path.getsize(os.path.join(r, f)) for r, _, fs in os.walk(folder) for f in fs)
