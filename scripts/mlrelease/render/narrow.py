"""A table on a terminal that is too narrow for it: no column is cut or left out, the last ones go below their row."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

_GAP = 2
_BELOW = "    "


def natural_width(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> int:
    """Columns that the whole table takes, each as wide as its widest cell."""
    widths = _widths(headers, rows)
    return sum(widths) + _GAP * (len(widths) - 1)


def narrow_table(headers: Sequence[str], rows: Sequence[Sequence[str]], width: int) -> list[str]:
    """The lines of the table, the header first: as many columns as fit beside each other, the rest named below each row.

    Only a single column that is wider than `width` is wider than it.
    """
    widths = _widths(headers, rows)
    beside = 1
    while beside < len(widths) and sum(widths[: beside + 1]) + _GAP * beside <= width:
        beside += 1
    lines = [_line(headers[:beside], widths)]
    for row in rows:
        lines.append(_line(row[:beside], widths))
        below = "; ".join(f"{name}: {cell}" for name, cell in zip(headers[beside:], row[beside:], strict=True) if cell)
        lines += textwrap.wrap(
            below,
            max(width, 2 * len(_BELOW)),
            initial_indent=_BELOW,
            subsequent_indent=_BELOW,
            break_long_words=False,
            break_on_hyphens=False,
        )
    return lines


def _widths(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> list[int]:
    return [max(len(row[i]) for row in (headers, *rows)) for i in range(len(headers))]


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    return (" " * _GAP).join(cell.ljust(width) for cell, width in zip(cells, widths, strict=False)).rstrip()
