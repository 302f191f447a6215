"""What calls give."""
from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Dict, List, Optional

import numpy as np
import numpy.typing as npt

from ._errors import SpandrelError


@dataclass(frozen=True)
class Missing:
    """Parts of an index that an answer misses, since they are damaged or cannot be read."""

    lists: int
    pages: int


@dataclass(frozen=True)
class Effort:
    """How thoroughly a query was searched under load: most lists as asked for, and lists searched instead.

    Where both are the same other work was saved, and `expected_recall` is lower all the same.
    """

    asked_lists: int
    searched_lists: int


@dataclass(frozen=True)
class Filtered:
    """What the filter of a query came to: the number of vectors of the index that match, `plan`, how these were searched ('exact',
    'codes', 'lists' or 'post'; None within a radius), and whether more lists were searched since the nearest held few of them."""

    matches: int
    plan: Optional[str] = None
    widened: bool = False


@dataclass(frozen=True, repr=False)
class Answers:
    """The nearest vectors of each query, best first.

    `ids` (int64) and `distances` (float32) have shape (n, k), or (k,) for a single query; `counts` (int64, (n,)) says how many
    were found, and after those ids are -1 and distances NaN. An id of 2^63 or more makes ids uint64, with 2^64 - 1 for -1.
    Distances are squared L2, 1 - cos, or the inner product itself. `estimated` (bool, same shape as ids) marks distances
    that are estimates. For each query, None where there is nothing to say: `missing`, the damaged parts of the index that were
    left out; `effort`, where the server, under load, searched less thoroughly than asked for; `limited_by`, the limit that cut the
    answer short, 'max_lists', 'max_bytes' or 'min_head_score'. `vectors` has shape (n, k, dim), zeros where there is none, if they were asked for.
    Of an index of documents `documents` holds them in its place: for each query an array (tokens, dim) for each document found.
    `expected_recall` (float64, (n,)) is the recall to expect by the index's calibration, NaN where nothing is known, and `reached`
    (bool, (n,)) whether that is the recall asked for.
    `work` holds a message for each query, if it was asked for, and `explanations` one that says how it was answered (Explanation
    in explanation.proto). `filtered` says for each query what its filter came to, None without one. `attributes` holds for each query
    a dict for each neighbour found, if they were asked for: None for nothing, bool, int, float, str, a list of str for tags, a
    datetime with UTC for a timestamp, or its microseconds where datetime has no such year. `index_versions` and `index_uuids` are
    the versions of the index that answered: one, unless it was switched meanwhile. Of several indexes searched as one `indexes` (int64, same
    shape as ids) has the place of each neighbour's index among their names, -1 where there is none, and `unlike` (int64, (n,)) counts neighbours left
    out since another index has the same id at another distance; `versions` has the versions of each by name, and `index_versions` and
    `index_uuids` are those of the first. In place of `explanations` they have `explained`: for each query a message (ExplainedIndex) for each index, in the order of
    their names. `attention_mass` (float64, (n,)) is the share of the attention mass that the neighbours hold, if `attention_scale` was given.
    With a scorer answers are the best by `scores`
    (float64, same shape as ids, NaN where there is none), distances are NaN of known items that the search did not find, and `scored`
    (int64, (n,)) counts the items that have a score, known ones among them.
    """

    ids: npt.NDArray[Any]
    distances: npt.NDArray[np.float32]
    counts: npt.NDArray[np.int64]
    estimated: npt.NDArray[np.bool_]
    missing: List[Optional[Missing]]
    effort: List[Optional[Effort]]
    limited_by: List[Optional[str]]
    index_versions: List[int]
    index_uuids: List[str]
    expected_recall: npt.NDArray[np.float64]
    reached: npt.NDArray[np.bool_]
    vectors: Optional[npt.NDArray[Any]] = None
    work: Optional[List[Any]] = None
    explanations: Optional[List[Any]] = None
    filtered: Optional[List[Optional[Filtered]]] = None
    attributes: Optional[List[List[Dict[str, Any]]]] = None
    indexes: Optional[npt.NDArray[np.int64]] = None
    unlike: Optional[npt.NDArray[np.int64]] = None
    versions: Optional[Dict[str, List[int]]] = None
    scores: Optional[npt.NDArray[np.float64]] = None
    scored: Optional[npt.NDArray[np.int64]] = None
    documents: Optional[List[List[npt.NDArray[Any]]]] = None
    explained: Optional[List[List[Any]]] = None
    attention_mass: Optional[npt.NDArray[np.float64]] = None

    def __repr__(self) -> str:
        queries, k = len(self.counts), self.ids.shape[-1]
        parts = [f"{queries} {'query' if queries == 1 else 'queries'}", f"k={k}", f"index_versions={self.index_versions}"]
        for name, count in (
            ("short", int((self.counts < k).sum())),
            ("estimated", int(self.estimated.sum())),
            *((name, sum(item is not None for item in getattr(self, name))) for name in ("missing", "effort", "limited_by")),
        ):
            if count:
                parts.append(f"{name}: {count}")
        if self.vectors is not None:
            parts.append(f"vectors {self.vectors.shape} {self.vectors.dtype}")
        return f"<Answers {', '.join(parts)}>"


@dataclass(frozen=True)
class StreamAnswer:
    """The answer to query `number` of a stream, or the reason that there is none."""

    number: int
    answer: Optional[Answers]
    error: Optional[SpandrelError]


@dataclass(frozen=True)
class RangeEnd:
    """What is to be said of all vectors within a radius: `results` in all parts; `missing` and `limited_by` as in `Answers`, where
    'max_results' is a limit too; `completeness`, the share that was searched for, which a server under load may have lowered;
    `work`, the message, if it was asked for; `filtered`, what the filter came to, if there was one. Of several indexes `versions` and `unlike`
    are as in `Answers`."""

    results: int
    missing: Optional[Missing]
    limited_by: Optional[str]
    completeness: float
    index_version: int
    index_uuid: str
    work: Optional[Any] = None
    filtered: Optional[Filtered] = None
    versions: Optional[Dict[str, int]] = None
    unlike: int = 0


@dataclass(frozen=True)
class RangePart:
    """Some of the vectors within a radius, best first: `ids`, `distances` and `estimated` of shape (n,), as in `Answers`, and of several
    indexes `indexes`. The last part has none, and `end` set."""

    ids: npt.NDArray[Any]
    distances: npt.NDArray[np.float32]
    estimated: npt.NDArray[np.bool_]
    end: Optional[RangeEnd] = None
    indexes: Optional[npt.NDArray[np.int64]] = None


@dataclass(frozen=True, repr=False)
class Fetched:
    """Vectors by id: `found` (bool, (n,)) for each id asked for, `vectors` (n, dim), zeros where there is none; `damaged` (bool,
    (n,)) marks ids that are not found because their part of the index is damaged. `attributes` holds a dict for each id, None where
    it is not found, if they were asked for. Of an index of documents `documents` holds an array (tokens, dim) for each id, None where it
    is not found, and `vectors` has no columns. `index_versions` and `index_uuids` as in `Answers`."""

    found: npt.NDArray[np.bool_]
    vectors: npt.NDArray[Any]
    damaged: npt.NDArray[np.bool_]
    index_versions: List[int]
    index_uuids: List[str]
    attributes: Optional[List[Optional[Dict[str, Any]]]] = None
    documents: Optional[List[Optional[npt.NDArray[Any]]]] = None

    def __repr__(self) -> str:
        damaged = f", damaged: {int(self.damaged.sum())}" if self.damaged.any() else ""
        vectors = f"vectors {self.vectors.shape} {self.vectors.dtype}" if self.documents is None else "documents"
        return f"<Fetched {int(self.found.sum())} of {len(self.found)}{damaged}, {vectors}, index_versions={self.index_versions}>"


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


@dataclass(frozen=True)
class Operation:
    """Work of a server that takes as long as reading an index, and goes on whether or not somebody waits.

    `kind` is 'load', 'switch' or 'verify', `state` 'running', 'done', 'failed' or 'cancelled'; `seconds` counts from its start, or
    to its end; `total_bytes` is 0 where that is not known. Of what is done, `opened` is the index that a load or a switch opened,
    `problem` the first thing that a verification found wrong; `error` says why one failed.
    """

    id: int
    kind: str
    index: str
    state: str
    seconds: float
    done_bytes: int
    total_bytes: int
    opened: Optional[IndexInfo]
    problem: Optional[str]
    error: Optional[SpandrelError]
