"""Work in background threads, ahead of its use."""

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Key = TypeVar("Key")
Value = TypeVar("Value")


def in_background(
    make: Callable[[Key], Value], keys: Iterable[Key], ahead: int = 2, workers: int = 1
) -> Generator[Value, None, None]:
    """`make(key)` for each key, in order, computed by `workers` threads.

    They are up to `ahead` keys before the one that is used. Rendering and the decoding of images
    leave Python's lock to others, so that threads help.
    """
    waiting: deque[Future[Value]] = deque()
    with ThreadPoolExecutor(workers) as pool:
        try:
            for key in keys:
                waiting.append(pool.submit(make, key))
                if len(waiting) > ahead:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()
