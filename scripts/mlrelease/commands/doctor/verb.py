"""`doctor [ENV]…`: asks everything at once, and says what is not well, why that matters, and what to do."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from mlrelease.commands.doctor import clone, host, images, record, servers, software
from mlrelease.commands.doctor.checks import Check, Line, Patient, State, ask_all, bad, skipped
from mlrelease.commands.doctor.github import access, actions, gates, owners, protection, repository
from mlrelease.commands.doctor.github.asking import Asked, asked_of
from mlrelease.commands.github import CREDENTIALS_HINT, remote_url
from mlrelease.commands.workspace import Workspace, environment_of
from mlrelease.deadlines import DEADLINES_S
from mlrelease.errors import Error
from mlrelease.forge.github.auth import credentials_of
from mlrelease.forge.github.place import place_of
from mlrelease.model.spec import State as Presence
from mlrelease.render.report import Report, one_line

HEADERS = ("state", "environment", "check", "what", "why it matters", "what to do")
GROUPS = (clone, record, servers, images, software, host)
GITHUB = (access, repository, gates, protection, owners, actions)


@dataclass(frozen=True, slots=True)
class Reach:
    """What there is of GitHub: whom to ask, or why nobody is asked (`reason`) with what mends it.

    `name` is that of the repository, empty where there is none or it is not known.
    """

    asked: Asked | None = None
    name: str = ""
    reason: str = ""
    fix: str = ""
    is_misset: bool = False


NOWHERE = Reach(reason="the remote is not on GitHub")


def doctor(workspace: Workspace, environments: tuple[str, ...], *, images: bool = False) -> Report:
    """The state of everything that this machine needs, for these environments or all. Exit code 1 when something is bad.

    Looks only: nothing is started, written or pushed. What cannot be reached is a line, not an error.
    """
    # Imported by several threads at once, requests is found half-made by the second.
    import requests  # noqa: F401, PLC0415

    spec = workspace.worktree_spec()
    names = tuple(dict.fromkeys(environments)) or tuple(sorted(spec.environments))
    # One that was named must exist; its findings are a line among the others.
    chosen = [spec.environments[name] if name in spec.environments else environment_of(spec, name) for name in names]
    reach = github(workspace)
    present = tuple(env for env in chosen if env.state is Presence.PRESENT)
    patient = Patient(workspace, present, reach.asked, images)
    questions = [check for group in GROUPS for check in group.checks(patient)]
    questions += github_questions(patient, reach)
    return report(list(ask_all(questions, deadline_s=DEADLINES_S["doctor.all"])), reach)


def github(workspace: Workspace) -> Reach:
    """Whom to ask on GitHub. Half an App, or a repository that is no `owner/name`, is a reason to ask nobody."""
    try:
        place = place_of(workspace.variables, remote_url(workspace))
        if place is None:
            return NOWHERE
        credentials = credentials_of(workspace.variables)
    except Error as error:
        return Reach(reason=error.message, fix=error.hint, is_misset=True)
    if credentials is None:
        return Reach(name=place.name, reason=f"there is no token for {place.name}", fix=CREDENTIALS_HINT)
    return Reach(asked_of(place, credentials, workspace.branch.branch, now=workspace.now), place.name)


def github_questions(patient: Patient, reach: Reach) -> list[Check]:
    """What is asked of GitHub; only which token is missing, where one is."""
    if reach.is_misset:
        return [Check("github", lambda: bad(reach.reason, reach.fix))]
    if reach.fix:
        return [Check("github-token", lambda: skipped(reach.reason, reach.fix))]
    return [check for group in GITHUB for check in group.checks(patient)]


def report(lines: list[Line], reach: Reach = NOWHERE) -> Report:
    """All lines, the verdict first; what is well says no more than that it is."""
    counts = Counter(line.found.state for line in lines)
    said = ", ".join(f"{counts[state]} {state}" for state in State if counts[state])
    order = (State.BAD, State.WARN, State.UNKNOWN)
    first = next((line for state in order for line in lines if line.found.state is state), None)
    scope = f"local and {reach.name}" if reach.asked else "local"
    return Report(
        verdict=f"{scope}: {said}",
        data={
            "scope": "local and github" if reach.asked else "local",
            "github": {"repository": reach.name, "asked": reach.asked is not None, "reason": reach.reason},
            "counts": {state.value: counts[state] for state in State},
            "checks": [
                {
                    "check": line.id,
                    "environment": line.environment,
                    "state": line.found.state.value,
                    "what": line.found.what,
                    "why": line.why,
                    "fix": line.found.fix,
                    "docs": f"docs/doctor.md#{line.id}",
                }
                for line in lines
            ],
        },
        headers=HEADERS,
        rows=[
            (
                line.found.state.value,
                line.environment or "–",
                line.id,
                one_line(line.found.what),  # names of others stand in it: none begins a line of its own
                line.why if line.found.state in order else "",
                one_line(line.found.fix),
            )
            for line in lines
        ],
        notes=[f"GitHub was not asked: {reach.reason}"] if reach.asked is None else [],
        next=one_line(first.found.fix) if first is not None and first.found.fix else "mlrelease plan " + _an_environment(lines),
        exit_code=1 if counts[State.BAD] else 0,
    )


def _an_environment(lines: list[Line]) -> str:
    return next((line.environment for line in lines if line.environment), "ENV")
