"""`doctor [ENV]…`: asks everything at once, and says what is not well, why that matters, and what to do."""

from __future__ import annotations

from collections import Counter

from mlrelease.commands.doctor import clone, host, record, servers, software
from mlrelease.commands.doctor.checks import Line, Patient, State, ask_all
from mlrelease.commands.workspace import Workspace, environment_of
from mlrelease.deadlines import DEADLINES_S
from mlrelease.model.spec import State as Presence
from mlrelease.render.report import Report

HEADERS = ("state", "environment", "check", "what", "why it matters", "what to do")
GROUPS = (clone, record, servers, software, host)


def doctor(workspace: Workspace, environments: tuple[str, ...]) -> Report:
    """The state of everything that this machine needs, for these environments or all. Exit code 1 when something is bad.

    Looks only: nothing is started, written or pushed. What cannot be reached is a line, not an error.
    """
    # Imported by several threads at once, requests is found half-made by the second.
    import requests  # noqa: F401, PLC0415

    spec = workspace.worktree_spec()
    names = environments or tuple(sorted(spec.environments))
    # One that was named must exist; its findings are a line among the others.
    chosen = [spec.environments[name] if name in spec.environments else environment_of(spec, name) for name in names]
    patient = Patient(workspace, tuple(env for env in chosen if env.state is Presence.PRESENT))
    questions = [check for group in GROUPS for check in group.checks(patient)]
    return report(list(ask_all(questions, deadline_s=DEADLINES_S["doctor.all"])))


def report(lines: list[Line]) -> Report:
    """All lines, the verdict first; what is well says no more than that it is."""
    counts = Counter(line.found.state for line in lines)
    said = ", ".join(f"{counts[state]} {state}" for state in State if counts[state])
    bad = [line for line in lines if line.found.state is State.BAD]
    first = next((line for line in (*bad, *(x for x in lines if x.found.state is State.WARN))), None)
    return Report(
        verdict=f"local: {said}",
        data={
            "scope": "local",
            "counts": {state.value: counts[state] for state in State},
            "checks": [
                {
                    "check": line.id,
                    "environment": line.environment,
                    "state": line.found.state.value,
                    "what": line.found.what,
                    "why": line.why,
                    "fix": line.found.fix,
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
                line.found.what,
                line.why if line.found.state in (State.WARN, State.BAD) else "",
                line.found.fix,
            )
            for line in lines
        ],
        notes=["this looks at this machine and what it can reach; rules and rights on GitHub are not looked at"],
        next=first.found.fix if first is not None and first.found.fix else "mlrelease plan " + _an_environment(lines),
        exit_code=1 if bad else 0,
    )


def _an_environment(lines: list[Line]) -> str:
    return next((line.environment for line in lines if line.environment), "ENV")
