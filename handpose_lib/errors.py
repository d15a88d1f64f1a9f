"""The project's own errors: one clear message that names the thing and what would be accepted."""

from collections.abc import Iterable


class HandPoseError(ValueError):
    """A value that the library cannot work with."""


class DataError(HandPoseError):
    """A file or folder that is missing, damaged or not what its place promises."""


def one_of(kind: str, value, accepted: Iterable):
    """Return `value` if it is among `accepted`.

    Errors: `HandPoseError` naming the value and everything that would be accepted.
    """
    accepted = list(accepted)
    if value not in accepted:
        names = ", ".join(str(name) for name in accepted)
        raise HandPoseError(f"unknown {kind} {value!r}: accepted are {names}")
    return value
