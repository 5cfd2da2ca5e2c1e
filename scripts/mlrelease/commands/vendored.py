"""Files that mlrelease brings into a repository and keeps fresh: which they are, what was written, and their upgrade.

A file is replaced only while it is as some mlrelease wrote it: what was written stands in `.mlrelease/vendored.json`, and
for a repository made before there was such a record, in the commit that added the file.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from mlrelease.commands.placing import put
from mlrelease.commands.shipped import shipped_as, vendored_files
from mlrelease.commands.workspace import Workspace
from mlrelease.errors import Error, UsageError
from mlrelease.files import version
from mlrelease.forge.git import Git
from mlrelease.model.bundle import sha256_digest
from mlrelease.model.spec import EnvironmentSpec
from mlrelease.render.report import Report
from mlrelease.render.workflow import PATH as DEPLOY

RECORD = ".mlrelease/vendored.json"
VERSION = ".mlrelease-version"
HEADERS = ("file", "what", "reason")
_PLACES = ("templates", ".github", ".mlrelease", VERSION)


class What(StrEnum):
    """What becomes of one file."""

    ADDED = "added"
    REPLACED = "replaced"
    CURRENT = "current"
    LEFT = "left"


@dataclass(frozen=True, slots=True)
class Line:
    """One file's line."""

    path: str
    what: What
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Judged:
    """What is in the work tree, what was written there, what this mlrelease ships for the environments, a line for each."""

    made_by: str
    there: Mapping[str, bytes]
    recorded: Mapping[str, str] | None
    shipped: Mapping[str, bytes]
    lines: tuple[Line, ...]


def with_record(files: Mapping[str, bytes], kept: Mapping[str, str] | None = None) -> dict[str, bytes]:
    """The files with the record of what was written, and the version that wrote it; `kept` is recorded of files left alone."""
    hashes = {**(kept or {}), **{path: sha256_digest(data) for path, data in files.items()}}
    record = {"schema": 1, "version": version(), "files": hashes}
    text = json.dumps(record, indent=2, sort_keys=True).encode() + b"\n"
    return {**files, RECORD: text, VERSION: f"{version()}\n".encode()}


def upgrade(workspace: Workspace, *, dry_run: bool) -> Report:
    """Refreshes the vendored files in one commit. Files that the user changed or removed are left, each with its line.

    Raises `UsageError` when there is nothing of mlrelease here, `Error` when a newer mlrelease made the repository.
    """
    git = workspace.git
    head = git.head()
    committed = {path: source.data for place in _PLACES for path, source in git.tree(head, place).items()} if head else {}
    found = _judged(workspace)
    there, recorded, shipped, lines = found.there, found.recorded, found.shipped, list(found.lines)
    # What a killed run wrote and did not commit is "current" here, and still to be committed.
    changed = {
        line.path: shipped[line.path]
        for line in lines
        if line.what is not What.LEFT and committed.get(line.path) != shipped[line.path]
    }
    lines += [
        Line(path, What.LEFT, f"not shipped any more: git rm {shlex.quote(path)}")
        for path in sorted(recorded or {})
        if path not in shipped and path in there
    ]
    settled = {line.path: shipped[line.path] for line in lines if line.what is not What.LEFT}
    kept = {
        line.path: (recorded or {})[line.path] for line in lines if line.path in (recorded or {}) and line.path not in settled
    }
    notes = {path: data for path, data in with_record(settled, kept).items() if path in (RECORD, VERSION)}
    changed |= {path: data for path, data in notes.items() if committed.get(path) != data}
    sha = ""
    if changed and not dry_run:
        sha = put(workspace, changed, f"Upgrade the vendored files to mlrelease {version()}\n", commit=True)
    return _report(lines, found.made_by, sha, pending=bool(changed) and dry_run)


def behind(workspace: Workspace) -> tuple[str, ...]:
    """The files that `upgrade` would write, sorted; those that the user changed or removed are not among them.

    Raises as `upgrade` does.
    """
    return tuple(sorted(line.path for line in _judged(workspace).lines if line.what in (What.ADDED, What.REPLACED)))


def deploy_again(workspace: Workspace, environments: Mapping[str, EnvironmentSpec]) -> dict[str, bytes]:
    """The workflow `deploy` for these environments, with the record of it; nothing where there is none, or it was changed."""
    there = _there(workspace)
    recorded = _record(there)
    if recorded is None or DEPLOY not in there or recorded.get(DEPLOY) != sha256_digest(there[DEPLOY]):
        return {}
    made = vendored_files(environments.values(), branch=workspace.branch.branch).get(DEPLOY)
    head = workspace.git.head()
    committed = workspace.git.tree(head, DEPLOY).get(DEPLOY) if head else None
    # what a killed run wrote and did not commit is still to be committed
    if made is None or (made == there[DEPLOY] and committed is not None and committed.data == made):
        return {}
    record = json.loads(there[RECORD])
    record["files"][DEPLOY] = sha256_digest(made)
    return {DEPLOY: made, RECORD: json.dumps(record, indent=2, sort_keys=True).encode() + b"\n"}


def _judged(workspace: Workspace) -> Judged:
    made_by, there = _made_by(workspace), _there(workspace)
    recorded = _record(there)
    shipped = vendored_files(workspace.worktree_spec().environments.values(), branch=workspace.branch.branch)
    lines = tuple(_judge(workspace.git, path, data, there.get(path), recorded) for path, data in shipped.items())
    return Judged(made_by, there, recorded, shipped, lines)


def _there(workspace: Workspace) -> dict[str, bytes]:
    """The files of the work tree where vendored ones lie."""
    found = (item for place in _PLACES for item in workspace.git.worktree(place).items())
    return {path: source.data for path, source in found if not source.problem}


def _judge(git: Git, path: str, data: bytes, here: bytes | None, recorded: Mapping[str, str] | None) -> Line:
    if here == data:
        return Line(path, What.CURRENT)
    if here is None:
        known = path in (recorded or {}) or _first(git, path) is not None
        return Line(path, What.LEFT, "you removed it") if known else Line(path, What.ADDED)
    first = None
    if recorded is None or path not in recorded:
        first = _first(git, path)
    written = sha256_digest(first) if first is not None else (recorded or {}).get(path)
    if written == sha256_digest(here):
        return Line(path, What.REPLACED)
    ours = shipped_as(path)
    shown = f"git diff --no-index {shlex.quote(path)} {shlex.quote(str(ours))}"
    return Line(path, What.LEFT, f"you changed it: {shown if ours else 'move it away to have it made again'}")


def _first(git: Git, path: str) -> bytes | None:
    """The file as the commit that added it has it; None when no commit did."""
    found = git.run(
        "log", "--diff-filter=A", "--no-renames", "--format=%H", "-1", "HEAD", "--", f":(top,literal){path}", check=False
    )
    return git.blobs([f"{found}:{path}"])[0] if found else None


def _record(there: Mapping[str, bytes]) -> dict[str, str] | None:
    """The hashes of what was written, by path; None without a record. Raises `Error` for a damaged one."""
    if RECORD not in there:
        return None
    try:
        files = json.loads(there[RECORD])["files"]
        return {str(path): str(digest) for path, digest in files.items()}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise Error(f"{RECORD} is damaged", hint=f"git checkout HEAD -- {RECORD}, or git rm it", where=RECORD) from error


def _made_by(workspace: Workspace) -> str:
    place = workspace.git.root() / VERSION
    if place.is_symlink() or not place.is_file():
        raise UsageError(
            f"there is no {VERSION}: mlrelease did not make this repository", hint="mlrelease init FOLDER makes one"
        )
    said = place.read_text(encoding="utf-8", errors="replace").strip()
    if _number(said) > _number(version()):
        raise Error(
            f"mlrelease {said[:40]} made this repository, this is {version()}", hint="install that version, or a newer one"
        )
    return said


def _number(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d{1,6}", text.partition("+")[0])[:3])


def _report(lines: list[Line], made_by: str, sha: str, *, pending: bool) -> Report:
    counts = {what: sum(line.what is what for line in lines) for what in What}
    said = ", ".join(f"{count} {what}" for what, count in counts.items() if count)
    how = f"committed as {sha[:9]}" if sha else "dry run, nothing was written" if pending else "nothing to do"
    return Report(
        verdict=f"{made_by} → {version()}: {said}: {how}",
        data={
            "from": made_by,
            "to": version(),
            "commit": sha,
            "files": [{"path": line.path, "what": line.what.value, "reason": line.reason} for line in lines],
        },
        headers=HEADERS,
        rows=[(line.path, line.what.value, line.reason) for line in lines],
        next="mlrelease init --upgrade" if pending else "mlrelease validate --offline",
    )
