"""Searches whose answers a scorer decides, as both clients make them. They differ in the calling alone."""
from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import inspect
import operator
import re
import time
from typing import Any, Awaitable, Callable, Dict, Iterable, Iterator, List, Optional, Tuple, Union

import numpy as np
import numpy.typing as npt

from . import _errors
from ._numbers import U32_MAX, whole
from ._options import Options
from ._results import Answers

# Scores of the items with these ids (int64 or uint64, (n,)) for the query, in their order; the higher, the better.
Scorer = Callable[[npt.NDArray[Any]], npt.ArrayLike]
AsyncScorer = Callable[[npt.NDArray[Any]], Union[npt.ArrayLike, Awaitable[npt.ArrayLike]]]
# Ids and their scores.
Known = Tuple[npt.ArrayLike, npt.ArrayLike]


def scoring_of(
    queries: npt.ArrayLike,
    k: int,
    options: Options,
    scorer: Optional[AsyncScorer],
    budget: Optional[int],
    known: Optional[Known],
    batch: int,
) -> Optional[Scoring]:
    """A scored search for one query, whose arguments are checked; None where there is no scorer."""
    if scorer is not None:
        rows = np.shape(queries)
        return Scoring(scorer, k, budget, known, batch, options, len(rows) == 1 or rows[:1] == (1,))
    for name, given in (("budget", budget), ("known", known)):
        if given is not None:
            raise _errors.wrong_field(name, f"{name} is given without a scorer")
    return None


class Scoring:
    """One scored search: which ids are scored when, and what their scores come to."""

    def __init__(
        self,
        scorer: AsyncScorer,
        k: int,
        budget: Optional[int],
        known: Optional[Known],
        batch: int,
        options: Options,
        single: bool,
    ) -> None:
        self._scorer, self._options = scorer, options
        wrong = _errors.wrong_field
        if not single:
            raise wrong("queries", "a scorer scores for one query: give a vector of shape (dim,), and search for each query")
        if budget is None:
            raise wrong("budget", "a scorer needs a budget: the number of items it may score")
        for name, given in (("with_vectors", options.with_vectors), ("with_attributes", options.with_attributes)):
            if given:
                raise wrong(f"options.{name}", f"{name} is not given with a scorer; fetch the ids of the answer")
        if options.explain:
            raise wrong("options.explain", "explain is not given with a scorer")
        if options.attention_scale is not None:
            raise wrong("options.attention_scale", "attention_scale is not given with a scorer")
        self._k, self._batch = whole("k", k, 1, U32_MAX), whole("batch", batch, 1, U32_MAX)
        budget = whole("budget", budget, 1, U32_MAX)
        self._scores: Dict[int, float] = _known(known)
        if budget < k or budget < len(self._scores):
            message = f"budget is {budget}, expected at least k, {k}, and the {len(self._scores)} items that are known"
            raise wrong("budget", message)
        self.budget = budget

    def batches(self, candidates: Answers, deadline: float) -> Iterator[npt.NDArray[Any]]:
        """Ids to score, as far as the budget goes, in the order of the candidates."""
        ids = candidates.ids.reshape(-1)[: int(candidates.counts[0])]
        # Several indexes searched as one may have an id twice.
        once = dict.fromkeys(int(id) for id in ids if int(id) not in self._scores)
        unknown = np.array(list(once), ids.dtype)
        unknown = unknown[: self.budget - len(self._scores)]
        for first in range(0, len(unknown), self._batch):
            if time.monotonic() >= deadline:
                raise self._kept(_errors.too_late())
            yield unknown[first : first + self._batch]

    def call(self, ids: npt.NDArray[Any]) -> Any:
        """What the scorer gives for some ids."""
        try:
            # A copy, so that what the scorer does to it changes nothing here.
            return self._scorer(ids.copy())
        except Exception as error:
            raise self._kept(_errors.scorer_failed(f"the scorer failed: {error!r}")) from error

    async def call_async(self, ids: npt.NDArray[Any], deadline: float) -> Any:
        """As `call`; what the scorer gives may have to be waited for, until the deadline."""
        given = self.call(ids)
        if not inspect.isawaitable(given):
            return given
        task = asyncio.ensure_future(given)
        try:
            await asyncio.wait({task}, timeout=max(0.0, deadline - time.monotonic()))
            is_done = task.done()
        finally:
            task.cancel()
        if not is_done:
            raise self._kept(_errors.too_late())
        if task.cancelled():
            raise self._kept(_errors.scorer_failed("the scorer failed: it was cancelled"))
        error = task.exception()
        if isinstance(error, Exception):
            raise self._kept(_errors.scorer_failed(f"the scorer failed: {error!r}")) from error
        return task.result()

    def take(self, ids: npt.NDArray[Any], given: Any) -> None:
        """Takes what the scorer gave for some ids; nothing of it where one is wrong."""
        try:
            scores = np.asarray(given, np.float64)
        except Exception as error:
            # What a type of arrays raises is its own choice: torch raises RuntimeError.
            raise self._kept(_errors.scorer_failed(f"the scorer gave no array of numbers: {error}")) from error
        if scores.shape != ids.shape:
            message = f"the scorer gave scores of shape {scores.shape} for {len(ids)} items, expected {ids.shape}"
            raise self._kept(_errors.scorer_failed(message))
        finite = np.isfinite(scores)
        if not finite.all():
            at = int(np.argmin(finite))
            message = f"the score of item {ids[at]} is {scores[at]}, expected a finite number"
            raise self._kept(_errors.scorer_failed(message))
        self._scores.update((int(id), float(score)) for id, score in zip(ids, scores))

    def answers(self, candidates: Answers) -> Answers:
        """The best by score."""
        count = int(candidates.counts[0])
        found: Dict[int, int] = {}
        for at, id in enumerate(candidates.ids.reshape(-1)[:count]):
            found.setdefault(int(id), at)
        # What is known matches a filter where the search has found it.
        allowed = [id for id in self._scores if self._options.filter is None or id in found]
        best = sorted(allowed, key=lambda id: (-self._scores[id], id))[: self._k]
        dtype = _dtype_of(best)
        ids = np.full(self._k, -1 if dtype == np.int64 else (1 << 64) - 1, dtype)
        distances, scores = np.full(self._k, np.nan, np.float32), np.full(self._k, np.nan)
        estimated, indexes = np.zeros(self._k, np.bool_), np.full(self._k, -1, np.int64)
        for at, id in enumerate(best):
            ids[at], scores[at] = id, self._scores[id]
            if id in found:
                distances[at] = candidates.distances.reshape(-1)[found[id]]
                estimated[at] = candidates.estimated.reshape(-1)[found[id]]
                if candidates.indexes is not None:
                    indexes[at] = candidates.indexes.reshape(-1)[found[id]]
        shape = candidates.ids.shape[:-1] + (self._k,)
        return dataclasses.replace(
            candidates,
            ids=ids.reshape(shape),
            distances=distances.reshape(shape),
            estimated=estimated.reshape(shape),
            counts=np.array([len(best)], np.int64),
            expected_recall=np.full(1, np.nan),
            reached=np.zeros(1, np.bool_),
            scores=scores.reshape(shape),
            scored=np.array([len(self._scores)], np.int64),
            indexes=None if candidates.indexes is None else indexes.reshape(shape),
        )

    @contextlib.contextmanager
    def keeping(self) -> Iterator[None]:
        """Gives what has a score to an error of the search for candidates, whose k is the budget."""
        try:
            yield
        except _errors.SpandrelError as error:
            self._kept(error)
            if "k" in error.fields:
                error.fields["budget"] = error.fields.pop("k")
                error.message = re.sub(r"^k: ", "budget: ", error.message)
            raise

    def _kept(self, error: _errors.SpandrelError) -> _errors.SpandrelError:
        ids = np.array(list(self._scores), _dtype_of(self._scores))
        error.scored = (ids, np.array(list(self._scores.values()), np.float64))
        return error


def _dtype_of(ids: Iterable[int]) -> npt.DTypeLike:
    """What ids are in arrays, as in `Answers`. Left alone, numpy makes float64 of ids below and from 2^63."""
    return np.uint64 if any(id >= 1 << 63 for id in ids) else np.int64


def _ids_of(given: npt.ArrayLike) -> List[int]:
    """Ids of an array or a list. A list is taken number by number, for numpy rounds what no type of integers holds."""
    try:
        array = np.asarray(given) if hasattr(given, "dtype") else np.asarray(given, object)
        ids = array.reshape(-1).tolist()
        if any(isinstance(id, bool) for id in ids):
            raise TypeError("bool")
        return [operator.index(id) for id in ids]
    except Exception as error:
        raise _errors.wrong_field("known", f"ids of known items are no integers: {error}") from error


def _known(known: Optional[Known]) -> Dict[int, float]:
    """Scores by id, checked."""
    if known is None:
        return {}
    wrong = _errors.wrong_field
    given = _ids_of(known[0])
    try:
        scores = np.asarray(known[1], np.float64).reshape(-1)
    except Exception as error:
        raise wrong("known", f"scores of known items are no array of numbers: {error}") from error
    if len(given) != len(scores):
        raise wrong("known", f"{len(given)} known items and {len(scores)} scores, expected equal numbers")
    by_id: Dict[int, float] = {}
    for id, score in zip(given, scores.tolist()):
        if id in by_id:
            raise wrong("known", f"item {id} is given twice among those that are known")
        # 2^64 - 1 stands for none.
        if not 0 <= id < (1 << 64) - 1 or not np.isfinite(score):
            raise wrong("known", f"item {id} with score {score}, expected an id from 0 to 2^64 - 2 and a finite number")
        by_id[id] = score
    return by_id
