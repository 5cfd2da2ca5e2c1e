"""Work on many items at once, over the connections of one server."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from typing import TypeVar

_A = TypeVar("_A")
_R = TypeVar("_R")


def concurrently(work: Callable[[_A], _R], items: Iterable[_A], *, workers: int) -> list[_R]:
    """Results in order. The first failure is raised and what has not begun is not begun: a dead server costs one deadline."""
    todo = list(items)
    if len(todo) < 2:
        return [work(item) for item in todo]
    with ThreadPoolExecutor(min(workers, len(todo))) as pool:
        futures = [pool.submit(work, item) for item in todo]
        done, _ = wait(futures, return_when=FIRST_EXCEPTION)
        failed = [f for f in done if f.exception()]
        if failed:
            pool.shutdown(wait=False, cancel_futures=True)
            failed[0].result()
        return [f.result() for f in futures]
