"""What `release` says: refused with every reason, as it would be, made, or ended."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mlrelease.commands.release.draft import Draft
from mlrelease.commands.workspace import Workspace
from mlrelease.delivery.exit_codes import worst
from mlrelease.model.release import Level, Problem, Version
from mlrelease.render.changelog import shown
from mlrelease.render.report import Report

HEADERS = ("problem", "what to do")


def refused(found: Draft, level: Level) -> Report:
    """Nothing was changed, and why: all of it at once."""
    problems = found.problems
    count = "1 reason" if len(problems) == 1 else f"{len(problems)} reasons"
    tag = found.version.tag if found.version else "release"
    return Report(
        verdict=f"{tag} refused for {count}; nothing was changed",
        data=_data(found) | {"commit": "", "pushed": False},
        headers=HEADERS,
        rows=[(problem.message, problem.hint) for problem in problems],
        next=f"mlrelease release {level} --dry-run",
        exit_code=worst({problem.code for problem in problems}),
    )


def dry(found: Draft, changed: Sequence[str], level: Level) -> Report:
    """What would be released."""
    return Report(
        verdict=f"{_tag(found)} would be released: {lines(found)}; nothing was changed",
        data=_data(found) | {"commit": "", "pushed": False, "files": list(changed)},
        details=shown(found.section),
        notes=[f"it would change {', '.join(changed)}"],
        next=f"mlrelease release {level}",
    )


def made(workspace: Workspace, found: Draft, commit: str, *, pushed: bool) -> Report:
    """What was released."""
    branch = workspace.branch
    where = f"pushed to {branch.remote} with its tag" if pushed else "tagged here"
    return Report(
        verdict=f"{_tag(found)} released: {lines(found)}; commit {commit[:9]}, {where}",
        data=made_data(found, commit, pushed=pushed),
        details=shown(found.section),
        next=_after(workspace, found.version, pushed=pushed),
    )


def unfinished(workspace: Workspace, version: Version, commit: str, *, pushed: bool) -> Report:
    """A release that an earlier run began is whole now."""
    where = f"{workspace.branch.remote} has it, and so has this clone" if pushed else "it is tagged here"
    return Report(
        verdict=f"{version.tag} was begun before and is whole now: commit {commit[:9]}; {where}",
        data={"release": version.tag, "commit": commit, "pushed": pushed, "problems": [], "entries": [], "environments": []},
        next=_after(workspace, version, pushed=pushed),
    )


def made_data(found: Draft, commit: str, *, pushed: bool) -> dict[str, Any]:
    """A release that was made, as data."""
    return _data(found) | {"commit": commit, "pushed": pushed}


def problems_json(problems: Sequence[Problem]) -> list[dict[str, Any]]:
    """The problems as data."""
    return [{"message": problem.message, "hint": problem.hint, "exit_code": problem.code} for problem in problems]


def _after(workspace: Workspace, version: Version | None, *, pushed: bool) -> str:
    tag = version.tag if version else ""
    branch = workspace.branch
    if branch.remote and not pushed:
        return f"git push --atomic {branch.remote} {branch.branch} {tag}"
    return f"mlrelease release verify {tag}"


def _data(found: Draft) -> dict[str, Any]:
    return {
        "release": _tag(found),
        "problems": problems_json(found.problems),
        "entries": [{"section": str(e.section), "text": e.text, "level": str(e.level)} for e in found.entries],
        "environments": sorted(found.record.environments) if found.record else [],
    }


def _tag(found: Draft) -> str:
    return found.version.tag if found.version else ""


def lines(found: Draft) -> str:
    """How many lines the changelog gets."""
    return "1 line of the changelog" if len(found.entries) == 1 else f"{len(found.entries)} lines of the changelog"
