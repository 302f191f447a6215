#!/usr/bin/env python3
"""Compares mapped with positioned reads of a file of vectors: whole, in blocks of 4 MiB, and row by row at random.

    python3 benches/mapped.py FILE [--row-bytes 128] [--rows 200000]

Cold runs drop the file from the page cache before; the medians of five runs are printed, wall and processor time.
"""
import argparse
import mmap
import os
import random
import resource
import statistics
import time

BLOCK = 4 << 20


def whole_positioned(fd, size, _places, _row):
    block = bytearray(BLOCK)
    for at in range(0, size, BLOCK):
        os.preadv(fd, [memoryview(block)[: min(BLOCK, size - at)]], at)


def whole_mapped(fd, size, _places, _row):
    block = bytearray(BLOCK)
    with mmap.mmap(fd, size, prot=mmap.PROT_READ) as mapped:
        mapped.madvise(mmap.MADV_SEQUENTIAL)
        view = memoryview(mapped)
        for at in range(0, size, BLOCK):
            piece = view[at : at + BLOCK]
            block[: len(piece)] = piece
            piece.release()
        view.release()


def rows_positioned(fd, _size, places, row):
    for at in places:
        os.pread(fd, row, at)


def rows_mapped(fd, size, places, row):
    with mmap.mmap(fd, size, prot=mmap.PROT_READ) as mapped:
        mapped.madvise(mmap.MADV_RANDOM)
        for at in places:
            mapped[at : at + row]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("file")
    parser.add_argument("--row-bytes", type=int, default=128)
    parser.add_argument("--rows", type=int, default=200_000)
    args = parser.parse_args()
    fd = os.open(args.file, os.O_RDONLY)
    size = os.fstat(fd).st_size
    chosen = random.Random(1)
    places = [8 + args.row_bytes * chosen.randrange((size - 8) // args.row_bytes) for _ in range(args.rows)]
    print(f"{'reads':<10} {'by':<11} {'cache':<5} {'wall s':>8} {'user+sys s':>11}")
    for name, ways in [("whole", (whole_positioned, whole_mapped)), ("rows", (rows_positioned, rows_mapped))]:
        for cache in ["cold", "warm"]:
            for way in ways:
                walls, processor = [], []
                whole_positioned(fd, size, places, 0)
                for _ in range(5):
                    if cache == "cold":
                        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
                    before, start = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter()
                    way(fd, size, places, args.row_bytes)
                    walls.append(time.perf_counter() - start)
                    after = resource.getrusage(resource.RUSAGE_SELF)
                    processor.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
                by = way.__name__.split("_")[1]
                print(f"{name:<10} {by:<11} {cache:<5} {statistics.median(walls):>8.3f} {statistics.median(processor):>11.3f}")


if __name__ == "__main__":
    main()
