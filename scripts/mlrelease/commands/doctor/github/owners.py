"""Check of CODEOWNERS: there, read by GitHub without an error, in force, and without a gap where it matters."""

from __future__ import annotations

from collections.abc import Iterator

from mlrelease.commands.doctor.checks import Check, Found, Patient, bad, ok, unknown
from mlrelease.commands.doctor.github import codeowners
from mlrelease.commands.doctor.github.asking import Asked, check
from mlrelease.commands.doctor.github.shape import mappings
from mlrelease.delivery.source import ENVIRONMENTS, fetch
from mlrelease.errors import Error
from mlrelease.forge.github.client import part

OWNED = (ENVIRONMENTS, ".github")
"""The folders whose every file has to have an owner, CODEOWNERS itself besides."""

_PLACEHOLDER = "@ORGANISATION/"
_SHOWN = 3


def checks(patient: Patient) -> Iterator[Check]:
    """The question about owners."""
    if (asked := patient.github) is not None:
        yield check(asked, "codeowners", lambda: owners(asked, patient))


def owners(asked: Asked, patient: Patient) -> Found:
    """Every file that decides what runs has an owner whom GitHub asks."""
    paths = at_tip(asked, patient)
    place = next((path for path in codeowners.PLACES if path in paths), "")
    if not place:
        return bad("there is no CODEOWNERS", "mlrelease init --upgrade brings .github/CODEOWNERS")
    data = patient.workspace.git.blobs([paths[place]])[0] or b""
    if len(data) > codeowners.LARGEST:
        return bad(f"{place} is larger than {codeowners.LARGEST >> 20} MiB: GitHub ignores it", "shorter, by folders")
    text = data.decode(errors="replace")
    if _PLACEHOLDER in text:
        return bad(f"{place} still names {_PLACEHOLDER}…: nobody owns these files", f"name your teams in {place}")
    errors = mappings(asked.get(f"codeowners/errors?ref={part(asked.branch)}").get("errors"))
    if errors:
        first = errors[0]
        said = f"{place}:{first.get('line')}: {first.get('kind')}: {str(first.get('source', '')).strip()}"
        return bad(f"{len(errors)} errors, the first {said}", str(first.get("suggestion") or f"mend {place}"))
    lines = codeowners.parsed(text)
    gaps = sorted(path for path in _important(paths, place) if not codeowners.owners(lines, path))
    if gaps:
        more = f" and {len(gaps) - _SHOWN} more" if len(gaps) > _SHOWN else ""
        return bad(
            f"without an owner: {', '.join(gaps[:_SHOWN])}{more}", f"lines for /{ENVIRONMENTS}/ and /.github/ in {place}"
        )
    rules = asked.rules(asked.branch)
    if not rules.asks_code_owners:
        if not rules.is_whole:
            return unknown(f"{place} covers everything, but no ruleset puts it in force", "see branch-reviews")
        return bad(f"{place} covers everything, but nothing puts it in force", "see branch-reviews")
    return ok(f"{place} covers environments, .github and itself, and is in force")


def at_tip(asked: Asked, patient: Patient) -> dict[str, str]:
    """Every file at the tip of the tracked branch, fetched just now, with its blob. Raises `Error` when there is no tip."""
    git, tracked = patient.workspace.git, patient.workspace.branch

    def question() -> dict[str, str]:
        fetch(git, tracked)
        revision = git.resolve(tracked.ref)
        if revision is None:
            raise Error(f"there is no commit on {tracked}", hint="see git-branch")
        listed = git.run("ls-tree", "-r", "-z", "--full-tree", revision)
        entries = (entry.split("\t", 1) for entry in listed.split("\0") if "\t" in entry)
        return {path: meta.split()[2] for meta, path in entries}

    return asked.once("the tip's files", question)


def _important(paths: dict[str, str], place: str) -> Iterator[str]:
    yield place
    yield from (path for path in paths if path.startswith(tuple(f"{folder}/" for folder in OWNED)))
