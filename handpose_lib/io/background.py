"""Work in a background thread, ahead of its use."""

from collections import deque
from concurrent.futures import ThreadPoolExecutor


def in_background(make, keys, ahead=2):
    """`make(key)` for each key, in order, computed by one thread up to `ahead` keys before its use."""
    waiting = deque()
    with ThreadPoolExecutor(1) as pool:
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
