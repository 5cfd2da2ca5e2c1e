"""Figures beside their limits: printed, and written as JSON when asked."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True)
class Figure:
    """One measured value; `ratio` is value / limit (or peer): below 1 is within the limit."""

    name: str
    value: float
    unit: str
    against: str
    limit: float

    @property
    def ratio(self) -> float:
        return self.value / self.limit if self.limit else float("inf" if self.value else 0)


def show(title: str, figures: list[Figure], *, out: Path | None) -> None:
    """Prints the table; writes `{title, figures: [...]}` to `out`."""
    width = max(len(figure.name) for figure in figures)
    print(title)
    for figure in figures:
        against = f"{figure.ratio:5.2f} x {figure.against} ({figure.limit:g} {figure.unit})" if figure.limit else figure.against
        print(f"  {figure.name:<{width}}  {figure.value:9.3f} {figure.unit:<9} {against}")
    if out is not None:
        body = {"title": title, "figures": [asdict(figure) | {"ratio": figure.ratio} for figure in figures]}
        out.write_text(json.dumps(body, indent=2) + "\n")
