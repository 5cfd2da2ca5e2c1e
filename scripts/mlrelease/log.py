"""Structured logs: key-value on a terminal, JSON elsewhere, one `run_id` through every line (DESIGN §7).

Logs go to stderr: stdout is the result. Nothing here knows what is logged; secrets are kept out by who logs.
"""

from __future__ import annotations

import sys
from contextlib import suppress
from typing import Any, TextIO


class _Unbroken:
    """A stream that may fail: an instance whose supervisor died, or whose disk is full, goes on answering without its log."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        with suppress(OSError, ValueError):
            return self._stream.write(text)
        return 0

    def flush(self) -> None:
        with suppress(OSError, ValueError):
            self._stream.flush()

    def isatty(self) -> bool:
        return self._stream.isatty()


def configure(*, level: int, json: bool | None = None, stream: TextIO | None = None, run_id: str = "") -> None:
    """Sets level and form for the process, and the run id that every later line carries."""
    import structlog  # noqa: PLC0415 - 40 ms that `--help` does not pay

    out: Any = _Unbroken(stream or sys.stderr)
    as_json = not out.isatty() if json is None else json
    renderer: Any = (
        structlog.processors.JSONRenderer(sort_keys=False) if as_json else structlog.dev.ConsoleRenderer(colors=False)
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(file=out),
        cache_logger_on_first_use=False,
    )
    if run_id:
        structlog.contextvars.bind_contextvars(run_id=run_id)


def bind(**values: str) -> None:
    """Adds values to every later line of this context."""
    import structlog  # noqa: PLC0415

    structlog.contextvars.bind_contextvars(**values)


def get(name: str) -> Any:
    """A logger whose lines carry `component=name`. Unconfigured, it says warnings and worse on stderr."""
    import structlog  # noqa: PLC0415

    if not structlog.is_configured():
        configure(level=30)
    return structlog.get_logger().bind(component=name)
