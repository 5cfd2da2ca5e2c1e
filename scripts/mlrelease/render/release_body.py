"""The text of a release's pull request and of its page on GitHub: what changed, and every pin as a table. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from mlrelease.model.release import Release
from mlrelease.render.report import cell, table

HEADERS = ("environment", "service", "pin", "version", "digest", "proved by", "approved by")
ROWS_SHOWN = 200
"""GitHub takes 65,536 characters; the record itself has every pin."""


def release_body(record: Release, section: str) -> str:
    """The changelog's section, the pins, and what becomes of it when it is merged."""
    tag = record.version.tag
    after = f"Merging this releases **{tag}**: `mlrelease release publish` then tags the merge and publishes it."
    stale = "Pins that change on the branch meanwhile make this record untrue: `mlrelease release` with `--pr` refreshes it."
    return "\n".join([f"{after} {stale}", "", section.strip(), "", *pins(record)])


def page(record: Release, section: str) -> str:
    """The changelog's section and the pins, for the release's page."""
    verify = f"`mlrelease release verify {record.version.tag}` proves this record against git, the ledger and MLflow."
    return "\n".join([section.strip(), "", *pins(record), "", verify, ""])


def pins(record: Release) -> list[str]:
    """The lines of a table of images and models."""
    rows = list(_rows(record))
    more = ["", f"… and {len(rows) - ROWS_SHOWN} more pins, all in `{record.version.path}`."] if len(rows) > ROWS_SHOWN else []
    return [
        f"<details><summary>{len(rows)} pins at {cell(record.revision[:9])}</summary>",
        "",
        *table(HEADERS, rows[:ROWS_SHOWN]),
        *more,
        "",
        "</details>",
    ]


def _rows(record: Release) -> Iterator[tuple[str, ...]]:
    for name, environment in sorted(record.environments.items()):
        for service in environment.services.values():
            approvers = ", ".join(dict.fromkeys(approval.approver for approval in service.approvals)) or "–"
            image = service.image
            yield name, service.name, "image", image.short, str(image.digest)[:19], service.receipt, approvers
            for model in service.models:
                pin = model.pin
                yield name, service.name, pin.name, pin.version, str(pin.digest)[:19], service.receipt, approvers
