"""Moments: seconds since 1970 as float inside, ISO 8601 in UTC with milliseconds in every file and output."""

from __future__ import annotations

from datetime import UTC, datetime


def iso(moment: float) -> str:
    """`2026-11-21T03:52:07.125Z`."""
    return datetime.fromtimestamp(moment, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def from_iso(text: str) -> float:
    """Seconds since 1970. Raises `ValueError` for anything but ISO 8601 with a zone."""
    parsed = datetime.fromisoformat(text)
    if parsed.tzinfo is None:
        raise ValueError(f"no time zone in {text!r}")
    return parsed.timestamp()
