"""What calls give."""
from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Dict, List, Optional

import numpy as np
import numpy.typing as npt

from ._errors import SpandrelError


@dataclass(frozen=True)
class Answers:
    """The nearest vectors of each query, best first.

    `ids` (int64) and `distances` (float32) have shape (n, k), or (k,) for a single query; `counts` (int64, (n,)) says how many
    were found, and after those ids are -1 and distances NaN. An id of 2^63 or more makes ids uint64, with 2^64 - 1 for -1.
    Distances are squared L2, 1 - cos, or the inner product itself. `estimated` (bool, same shape as ids) marks distances
    that are estimates; `partial` (bool, (n,)) marks answers that miss damaged parts of the index; `limited_by` says for each
    query which limit cut its answer short, 'max_lists' or 'max_bytes', or None;
    `degraded` tells that the server, under load, searched fewer lists for some of them. `vectors` has shape (n, k, dim), zeros
    where there is none, if they were asked for. `work` holds a message for each query, if it was asked for.
    `index_versions` are the versions of the index that answered: one, unless it was switched meanwhile.
    """

    ids: npt.NDArray[Any]
    distances: npt.NDArray[np.float32]
    counts: npt.NDArray[np.int64]
    estimated: npt.NDArray[np.bool_]
    partial: npt.NDArray[np.bool_]
    degraded: bool
    index_versions: List[int]
    limited_by: List[Optional[str]]
    vectors: Optional[npt.NDArray[Any]] = None
    work: Optional[List[Any]] = None


@dataclass(frozen=True)
class StreamAnswer:
    """The answer to query `number` of a stream, or the reason that there is none."""

    number: int
    answer: Optional[Answers]
    error: Optional[SpandrelError]


@dataclass(frozen=True)
class Fetched:
    """Vectors by id: `found` (bool, (n,)) for each id asked for, `vectors` (n, dim), zeros where there is none.
    `index_versions` are the versions of the index that answered, as in `Answers`."""

    found: npt.NDArray[np.bool_]
    vectors: npt.NDArray[Any]
    index_versions: List[int]


@dataclass(frozen=True)
class IndexInfo:
    """What an index is: its dtype and metric are 'f32', 'f16', 'i8', 'u8' and 'l2', 'ip', 'cosine'."""

    name: str
    version: int
    uuid: str
    vectors: int
    dim: int
    dtype: str
    metric: str
    quarantined: int
    details: Dict[str, Any]
