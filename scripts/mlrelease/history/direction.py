"""Which way each component moves (DESIGN §2), and whether a rejection stands in its way. Pure."""

from __future__ import annotations

from mlrelease.history.fold import History, Rejection
from mlrelease.model.bundle import ABSENT, IMAGE, SETTINGS, Bundle, ComponentKey
from mlrelease.model.change import ComponentChange, Direction


def component_changes(
    history: History, service: str, before: Bundle | None, after: Bundle | None
) -> tuple[ComponentChange, ...]:
    """Every component whose value differs, sorted by key, each with its own direction."""
    old = before.components() if before else {}
    new = after.components() if after else {}
    changes = []
    for key in sorted(set(old) | set(new)):
        left, right = old.get(key, ABSENT), new.get(key, ABSENT)
        if left != right:
            changes.append(
                ComponentChange(
                    key, left, right, direction(history, service, key, left, right), _label(before, key), _label(after, key)
                )
            )
    return tuple(changes)


def direction(history: History, service: str, key: ComponentKey, before: str, after: str) -> Direction:
    """Back if `after` was first verified here earlier than `before`, else forward; a value never verified is forward."""
    first_after = history.first_verified.get((service, key, after))
    first_before = history.first_verified.get((service, key, before))
    if first_after is None or first_before is None:
        return Direction.FORWARD
    return Direction.BACK if first_after < first_before else Direction.FORWARD


def rejection_of(history: History, service: str, after: Bundle, changes: tuple[ComponentChange, ...]) -> Rejection | None:
    """The newest rejection that forbids this move, or None.

    One that the desired bundle holds wholly, of which at least one component moves forward now. A person's word
    forbids going back too.
    """
    desired = set(after.components().items())
    forward = {(c.key, c.after) for c in changes if c.direction is Direction.FORWARD}
    moved = {(c.key, c.after) for c in changes}
    for rejection in reversed(history.rejections):
        if rejection.service != service or not rejection.components <= desired:
            continue
        if rejection.components & (moved if rejection.by_person else forward):
            return rejection
    return None


def rejection_text(rejection: Rejection) -> str:
    """Who rejected and why, as it stands after "is" or "was"."""
    return f"rejected by {rejection.actor}: {rejection.reason}"


def left_behind(changes: tuple[ComponentChange, ...]) -> tuple[tuple[ComponentKey, str], ...]:
    """What a move back rejects: the values that its components left, without `absent` ones."""
    return tuple((c.key, c.before) for c in changes if c.direction is Direction.BACK and c.before != ABSENT)


def moved_forward(changes: tuple[ComponentChange, ...]) -> tuple[tuple[ComponentKey, str], ...]:
    """What a failed verification rejects: one changed component alone, several as a set, without `absent` ones."""
    return tuple((c.key, c.after) for c in changes if c.direction is Direction.FORWARD and c.after != ABSENT)


def _label(bundle: Bundle | None, key: ComponentKey) -> str:
    if bundle is None:
        return ABSENT
    if key == IMAGE:
        return bundle.image.short
    if key == SETTINGS:
        return ", ".join(name for name, _ in bundle.settings) or "none"
    return bundle.versions().get(key.removeprefix("model:"), ABSENT)
