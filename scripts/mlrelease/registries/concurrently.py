"""Work on many items at once, over the connections of one server."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar, cast

_A = TypeVar("_A")
_R = TypeVar("_R")


def concurrently(work: Callable[[_A], _R], items: Iterable[_A], *, workers: int) -> list[_R]:
    """Results in order. A failure is raised and what has not begun is not begun: a dead server costs one deadline."""
    todo = list(items)
    if len(todo) < 2:
        return [work(item) for item in todo]
    failed = threading.Event()

    def one(item: _A) -> _R | None:
        if failed.is_set():
            return None
        try:
            return work(item)
        except BaseException:
            failed.set()
            raise

    with ThreadPoolExecutor(min(workers, len(todo))) as pool:
        futures = [pool.submit(one, item) for item in todo]
    return cast("list[_R]", [future.result() for future in futures])
