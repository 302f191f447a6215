"""Arrays of queries as messages."""
from __future__ import annotations

from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple, TypeVar, Union

import numpy as np
import numpy.typing as npt

from . import _numbers
from ._options import ColumnQueries, Options
from .v1 import search_pb2

S = TypeVar("S")

# Half of what a server takes and gives in a message, unless it was set.
_BATCH_BYTES = 8 << 20
# Of an explanation at most.
_EXPLANATION_BYTES = 54 << 10
# Of a value of an attribute, and of the attributes of a vector where all are asked for; a guess, since only the server knows.
_VALUE_BYTES = 64
_ATTRIBUTES_BYTES = 640
# Of the longest vector that an index may hold.
DIM_BYTES_MAX = 4 << 14

DTYPES: Dict[search_pb2.Dtype, Any] = {
    search_pb2.DTYPE_F32: np.dtype("<f4"),
    search_pb2.DTYPE_F16: np.dtype("<f2"),
    search_pb2.DTYPE_I8: np.dtype("i1"),
    search_pb2.DTYPE_U8: np.dtype("u1"),
}


def queries_of(given: npt.ArrayLike) -> Tuple[npt.NDArray[Any], bool]:
    """Queries as rows, and whether there was only one, without a row of its own.

    float64, lists and integers that are no bytes become float32, which the server converts where that is exact; integers
    have to be so themselves.
    """
    array = np.asarray(given)
    if array.ndim not in (1, 2) or array.shape[-1] == 0:
        raise ValueError(f"queries have shape {array.shape}, expected (n, dim) or (dim,)")
    if array.dtype.kind not in "fiu":
        raise TypeError(f"queries are of {array.dtype}, expected numbers")
    if array.dtype not in (np.float32, np.float16, np.int8, np.uint8):
        with np.errstate(all="ignore"):
            narrow = array.astype(np.float32)
            if array.dtype.kind in "iu" and (narrow.astype(np.float64) != array).any():
                raise ValueError(f"queries of {array.dtype} hold numbers that float32 does not hold exactly")
        array = narrow
    return np.atleast_2d(array), array.ndim == 1


def documents_of(given: Any, offsets: Optional[npt.ArrayLike]) -> Tuple[npt.NDArray[Any], npt.NDArray[np.int64], bool]:
    """The vectors of query documents as rows, the first row of each and the number of rows, and whether there was only one, without a
    row of its own."""
    if offsets is not None:
        rows, single = queries_of(given)
        if single:
            raise ValueError("one vector with offsets, expected (rows, dim)")
        return rows, _offsets_of(offsets, len(rows)), False
    if isinstance(given, (list, tuple)) and len(given) > 0 and all(np.ndim(document) == 2 for document in given):
        parts = [queries_of(document)[0] for document in given]
        dims, types = {part.shape[1] for part in parts}, {part.dtype for part in parts}
        if len(dims) > 1 or len(types) > 1:
            raise ValueError("documents of several dimensions or types, expected arrays (tokens, dim) of one")
        starts = np.cumsum([0, *(len(part) for part in parts)])
        return np.concatenate(parts), _offsets_of(starts, int(starts[-1])), False
    array = np.asarray(given)
    if array.ndim == 3 and array.size > 0:
        count, tokens, dim = array.shape
        return queries_of(array.reshape(count * tokens, dim))[0], np.arange(count + 1) * tokens, False
    if array.ndim != 2 or array.size == 0:
        raise ValueError(
            f"documents have shape {array.shape}, expected (tokens, dim), (n, tokens, dim), a list of (tokens, dim), or (rows, dim) with offsets"
        )
    return queries_of(array)[0], np.array([0, len(array)]), True


def _offsets_of(given: npt.ArrayLike, rows: int) -> npt.NDArray[np.int64]:
    """The first row of each document, and the number of rows."""
    array = np.asarray(given)
    if array.ndim != 1 or len(array) < 2 or array.dtype.kind not in "iu":
        raise ValueError(f"offsets have shape {array.shape} and type {array.dtype}, expected (n + 1,) whole numbers")
    offsets = array.astype(np.int64)
    if offsets[0] != 0 or offsets[-1] != rows or (np.diff(offsets) < 1).any():
        raise ValueError(f"offsets from {offsets[0]} to {offsets[-1]}, expected to ascend from 0 to {rows}, a document has a row at least")
    return offsets


def of_documents(rows: npt.NDArray[Any], offsets: npt.NDArray[np.int64]) -> search_pb2.Vectors:
    """The message that carries documents; `offsets` count from anywhere."""
    vectors = vectors_of(rows[offsets[0] : offsets[-1]])
    documents = search_pb2.Documents(offsets=(offsets - offsets[0]).tolist())
    if vectors.WhichOneof("form") == "floats":
        documents.floats.CopyFrom(vectors.floats)
    else:
        documents.raw.CopyFrom(vectors.raw)
    return search_pb2.Vectors(dim=vectors.dim, documents=documents)


def one_column(given: Optional[Mapping[str, S]]) -> Optional[Tuple[str, S]]:
    """The only column that is given, if one is."""
    if given is None:
        return None
    if len(given) != 1:
        raise ValueError(f"{len(given)} columns, expected one: an index has one besides the vectors that are searched")
    ((name, vectors),) = given.items()
    return name, vectors


def too_few(name: str, found: int) -> ValueError:
    """A stream of a column that ends before its queries."""
    return ValueError(f"{found} vectors of column {name} for more queries, expected one for each")


def column_of(given: Optional[ColumnQueries], count: int) -> Tuple[str, Optional[npt.NDArray[Any]]]:
    """The name of a column and what `count` queries have in it; no array where nothing is given."""
    column = one_column(given)
    if column is None:
        return "", None
    name, vectors = column
    rows, _ = queries_of(vectors)
    if len(rows) != count:
        raise ValueError(f"{len(rows)} vectors of column {name} for {count} queries")
    return name, rows


def vectors_of(rows: npt.NDArray[Any]) -> search_pb2.Vectors:
    """The message that carries rows, with their dimension, which the server compares with its index's."""
    if rows.dtype == np.float32:
        # Packed floats, which an index of any element type takes. As they lie on the wire: one by one takes 300 times as long.
        data = np.ascontiguousarray(rows, "<f4").tobytes()
        floats = b"\x0a" + _varint(len(data))
        head = b"\x08" + _varint(rows.shape[1]) + b"\x12" + _varint(len(floats) + len(data))
        return search_pb2.Vectors.FromString(b"".join((head, floats, data)))
    dtype = next(code for code, kind in DTYPES.items() if kind == rows.dtype.newbyteorder("<"))
    raw = search_pb2.Raw(data=np.ascontiguousarray(rows, DTYPES[dtype]).tobytes(), dtype=dtype)
    return search_pb2.Vectors(dim=rows.shape[1], raw=raw)


def ids_of(given: Union[int, Sequence[int]]) -> Tuple[List[int], bool]:
    """Ids, and whether there was only one, without a list of its own."""
    # Whole numbers of many bits together would become floats.
    array = np.asarray(given, dtype=None if isinstance(given, np.ndarray) else object)
    if array.ndim > 1:
        raise ValueError(f"ids have shape {array.shape}, expected (n,) or one number")
    return _numbers.ids(list(np.atleast_1d(array))), array.ndim == 0


def of_ids(ids: Sequence[int]) -> search_pb2.Vectors:
    """The message that stands for vectors of the index itself."""
    return search_pb2.Vectors(ids=search_pb2.Ids(values=ids))


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*out, number])


def batch_size(query_bytes: int, k: int, options: Options, most: int, indexes: int = 1) -> int:
    """Queries of one call: at most `most`, and of no more bytes of queries or answers than `_BATCH_BYTES`."""
    # An id takes up to ten bytes on the wire, a distance four, the flag one. Elements of the index are no wider than those
    # of a query that it takes.
    given = options.with_attributes
    attributes = (_ATTRIBUTES_BYTES if given is True else _VALUE_BYTES * len(given)) if given else 0
    vectors = query_bytes if options.with_vectors else 0
    answer = k * (15 + vectors + attributes) + (indexes * _EXPLANATION_BYTES if options.explain else 0)
    return max(1, min(most, _BATCH_BYTES // max(query_bytes, answer, 1)))


def chunks(count: int, size: int) -> List[slice]:
    """Parts of at most `size`."""
    return [slice(first, min(first + size, count)) for first in range(0, count, size)]
