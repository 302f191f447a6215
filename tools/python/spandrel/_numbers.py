"""Numbers of callers, checked before anything is sent: an error names the field."""
from __future__ import annotations

import operator
from typing import Any, List, Optional, Sequence

import numpy as np

from ._errors import wrong_field

U32_MAX = (1 << 32) - 1
U64_MAX = (1 << 64) - 1


def whole(field: str, given: Any, least: int, most: int) -> int:
    """A whole number from `least` to `most`."""
    expected = f"expected a whole number from {least} to {most}"
    if isinstance(given, (bool, np.bool_)):
        raise wrong_field(field, f"{field} is {given!r}, {expected}")
    try:
        number = operator.index(given)
    except TypeError:
        raise wrong_field(field, f"{field} is {given!r}, {expected}") from None
    if not least <= number <= most:
        raise wrong_field(field, f"{field} is {number}, {expected}")
    return number


def whole_or_none(field: str, given: Any, least: int, most: int) -> Optional[int]:
    """As `whole`, where something is given."""
    return None if given is None else whole(field, given, least, most)


def real(field: str, given: Any) -> float:
    """A number that is not whole in general; what values it may have is for the server to say."""
    if isinstance(given, (bool, np.bool_)) or not isinstance(given, (int, float, np.integer, np.floating)):
        raise wrong_field(field, f"{field} is {given!r}, expected a number")
    try:
        return float(given)
    except OverflowError:
        raise wrong_field(field, f"{field} is {given!r}, too large a number") from None


def real_or_none(field: str, given: Any) -> Optional[float]:
    """As `real`, where something is given."""
    return None if given is None else real(field, given)


def seconds(field: str, given: Any) -> float:
    """A time that may be over already, but is one."""
    number = real(field, given)
    if not number >= 0.0:
        raise wrong_field(field, f"{field} is {number}, expected a time in seconds, 0 or more")
    return number


def ids(given: Sequence[Any]) -> List[int]:
    """Ids of vectors or documents."""
    return [whole("ids", id, 0, U64_MAX) for id in given]
