"""An index and servers of it, made with the program that SPANDREL_BIN names."""
import atexit
import functools
import json
import os
import subprocess
import tempfile
import types
import unittest

import numpy as np

import spandrel

SPANDREL = os.environ["SPANDREL_BIN"]
DIM, VECTORS, QUERIES, K = 128, 3000, 700, 10


def run(*arguments):
    done = subprocess.run([SPANDREL, "-q", *arguments], check=True, stdout=subprocess.PIPE, text=True)
    return done.stdout


@functools.lru_cache(maxsize=None)
def made_keys():
    """Keys by inner product, their index and queries."""
    draw = np.random.default_rng(7)
    keys, queries = draw.normal(size=(1000, 16)).astype("<f4"), draw.normal(1.0, size=(9, 16)).astype("<f4")
    base, index = (os.path.join(made().folder, name) for name in ("keys.fbin", "keys"))
    with open(base, "wb") as file:
        file.write(np.array(keys.shape, "<u4").tobytes() + keys.tobytes())
    run("build", "--base", base, "--metric", "ip", "--out", index, "--list-size", "32", "--no-calibrate")
    return keys, queries, index


def attention_mass(keys, query, ids, scale):
    """The share of the attention mass that some keys hold."""
    weights = np.exp(scale * (keys.astype(np.float64) @ query.astype(np.float64)))
    return weights[ids].sum() / weights.sum()


class Server:
    """A server process of its own."""

    def __init__(self, *flags):
        fixed = ["serve", "--metrics", "off"] + ([] if "--listen" in flags else ["--listen", "127.0.0.1:0"])
        self.process = subprocess.Popen(
            [SPANDREL, "-q", *fixed, *flags], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        self.address = self.process.stdout.readline().strip().removeprefix("listening on ")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.terminate()
        assert self.process.wait(30) == 0
        self.process.stdout.close()


@functools.lru_cache(maxsize=None)
def made():
    """The vectors, queries and index of all tests, and what the index answers in process."""
    folder = tempfile.TemporaryDirectory()
    atexit.register(folder.cleanup)
    base, queries_path, index = (os.path.join(folder.name, name) for name in ("base.u8bin", "queries.u8bin", "index"))
    flags = ["--vectors", str(VECTORS), "--out", base, "--queries", str(QUERIES), "--queries-out", queries_path]
    run("data", "generate", "sift", *flags)
    attributes = os.path.join(folder.name, "attributes.jsonl")
    with open(attributes, "w") as file:
        for id in range(VECTORS):
            file.write(json.dumps({"id": id, "price": id % 97 + 0.5, "tags": sorted({f"t{id % 5}", f"t{id % 7}"})}) + "\n")
    flags = ["--metric", "l2", "--out", index, "--list-size", "32", "--attributes", attributes]
    run("build", "--base", base, *flags)
    lines = run("query", "--index", index, "--queries", queries_path, "--k", str(K)).splitlines()[1:]
    table = np.array([line.split("\t") for line in lines]).reshape(QUERIES, K, 4)
    return types.SimpleNamespace(
        folder=folder.name,
        index=index,
        rows=np.fromfile(base, np.uint8, offset=8).reshape(VECTORS, DIM),
        queries=np.fromfile(queries_path, np.uint8, offset=8).reshape(QUERIES, DIM),
        ids=table[:, :, 2].astype(np.int64),
        distances=table[:, :, 3].astype(np.float32),
    )


@functools.lru_cache(maxsize=None)
def made_column():
    """An index of a quarter of the elements, whose column holds the vectors of `made()`."""
    coarse, index = os.path.join(made().folder, "coarse.u8bin"), os.path.join(made().folder, "column")
    rows = np.ascontiguousarray(made().rows[:, : DIM // 4])
    with open(coarse, "wb") as file:
        file.write(np.array(rows.shape, np.uint32).tobytes() + rows.tobytes())
    fine = os.path.join(made().folder, "base.u8bin") + ":l2"
    flags = ["--metric", "l2", "--out", index, "--list-size", "32", "--keep-coarse", "--column", f"fine={fine}"]
    run("build", "--base", coarse, *flags, "--code", "axes:8", "--no-calibrate")
    return index


@functools.lru_cache(maxsize=None)
def made_documents():
    """An index of documents of five vectors of `made()` each."""
    index, offsets = (os.path.join(made().folder, name) for name in ("documents", "documents.ibin"))
    starts = np.arange(0, VECTORS + 1, 5, dtype=np.uint32)
    with open(offsets, "wb") as file:
        file.write(np.array([len(starts), 1], np.uint32).tobytes() + starts.tobytes())
    base = os.path.join(made().folder, "base.u8bin")
    run("build", "--base", base, "--metric", "ip", "--out", index, "--list-size", "32", "--documents", offsets)
    return index


DOCUMENT_IDS = (np.arange(VECTORS // 5, dtype=np.int64) * 7919 % 10_007) << 20
"""Ids of the documents of `made_known_documents()`."""


@functools.lru_cache(maxsize=None)
def made_known_documents():
    """The documents of `made_documents()` with ids of their own and a `price` of their number modulo 100."""
    made_documents()
    names = ("known-documents", "documents.ibin", "document-ids.npy", "known-documents.jsonl", "base.u8bin")
    index, offsets, ids, known, base = (os.path.join(made().folder, name) for name in names)
    np.save(ids, DOCUMENT_IDS)
    with open(known, "w") as file:
        for number, of in enumerate(DOCUMENT_IDS):
            file.write(json.dumps({"id": int(of), "price": number % 100}) + "\n")
    beside = ["--documents", offsets, "--ids", ids, "--attributes", known]
    run("build", "--base", base, "--metric", "ip", "--out", index, "--list-size", "32", *beside)
    return index


def assert_expected(answers, of=slice(None)):
    """That answers are those given in process."""
    np.testing.assert_array_equal(answers.ids, made().ids[of])
    np.testing.assert_array_equal(answers.distances, made().distances[of])


class Served(unittest.TestCase):
    """Tests that share a server of the index, which may load others."""

    @classmethod
    def setUpClass(cls):
        cls.rows, cls.queries, cls.index = made().rows, made().queries, made().index
        cls.server = Server("--index", f"vectors={cls.index}", "--root", made().folder)
        cls.client = spandrel.Client(cls.server.address)

    @classmethod
    def tearDownClass(cls):
        cls.client.close()
        cls.server.__exit__()
