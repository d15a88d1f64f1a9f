"""The project's errors. A message names what was given and what is accepted."""

from collections.abc import Iterable
from typing import TypeVar

Value = TypeVar("Value")


class HandPoseError(ValueError):
    """A value that the library does not accept."""


class DataError(HandPoseError):
    """A file or folder that is missing, damaged or of another kind than expected."""


def one_of(kind: str, value: Value, accepted: Iterable[object]) -> Value:
    """Return `value` if it is among `accepted`.

    Errors: `HandPoseError` naming the value and everything that would be accepted.
    """
    accepted = list(accepted)
    if value not in accepted:
        names = ", ".join(str(name) for name in accepted)
        raise HandPoseError(f"unknown {kind} {value!r}: accepted are {names}")
    return value
