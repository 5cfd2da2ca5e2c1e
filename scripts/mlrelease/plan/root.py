"""What a plan does to the path `/` of the listener: it belongs to a service only while there is one. Pure."""

from __future__ import annotations

from mlrelease.history.fold import History
from mlrelease.model.change import ChangeKind, Plan


def root_notes(plan: Plan, history: History) -> tuple[str, ...]:
    """What clients of `/` will notice when the plan is carried out; empty when nothing changes for them.

    `history` says what runs of the services that the plan leaves out. A service that comes beside the only one takes `/`
    away from it: its own prefix, which always answers, is then the way.
    """
    planned = {change.service for change in plan.changes}
    before = {change.service for change in plan.changes if change.before is not None}
    before |= {name for name in history.recorded if name not in planned and history.bundle(name) is not None}
    after = set(before)
    for change in plan.acting:
        if change.kind is ChangeKind.REMOVE:
            after.discard(change.service)
        elif change.after is not None:
            after.add(change.service)
    if len(before) == 1 and after != before:
        (only,) = before
        if len(after) == 1:
            return (f"/ answers for {next(iter(after))} then, no longer for {only}",)
        if after:
            return (f"/ no longer answers for {only} then: with {len(after)} services each has its own prefix, {_of(after)}",)
    if len(after) == 1 and len(before) > 1:
        return (f"/ answers for {next(iter(after))} then, the only service left",)
    return ()


def _of(services: set[str]) -> str:
    return ", ".join(f"/{name}/" for name in sorted(services))
