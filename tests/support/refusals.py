"""Errors that say what was given and what is accepted."""

from collections.abc import Callable, Iterable

import pytest

from handpose_lib.errors import HandPoseError


def refused(call: Callable[[], object], names: Iterable[str]) -> None:
    """Assert that the call raises the project's own error, whose message has all of these texts."""
    with pytest.raises(HandPoseError) as error:
        call()
    for name in names:
        assert name in str(error.value)
