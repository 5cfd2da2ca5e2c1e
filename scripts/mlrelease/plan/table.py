"""Step two of deciding: what is done in each situation. The whole policy on one page. Pure."""

from __future__ import annotations

from typing import NamedTuple

from mlrelease.model.change import ChangeKind
from mlrelease.plan.classify import Situation


class Action(NamedTuple):
    """What to do: the kind of Change, its reason, and by what it is blocked (empty: it is not).

    `mend` is what is done instead where the desired bundle may not run and the recorded one has drifted.
    """

    kind: ChangeKind
    reason: str
    blocked_by: str = ""


ACTIONS: dict[Situation, Action] = {
    Situation.INVALID: Action(ChangeKind.NOOP, "its files have findings", "findings"),
    Situation.UNDECLARED: Action(ChangeKind.NOOP, "its file is gone without `state: absent`", "undeclared"),
    Situation.GONE: Action(ChangeKind.NOOP, "not wanted and not there"),
    Situation.UNWANTED: Action(ChangeKind.REMOVE, "state: absent"),
    Situation.FIRST: Action(ChangeKind.CREATE, "first deploy here"),
    Situation.FORWARD: Action(ChangeKind.UPDATE, "git moved forward"),
    Situation.BACK: Action(ChangeKind.ROLLBACK, "git moved back to what was verified here before"),
    Situation.REJECTED: Action(ChangeKind.UPDATE, "git wants a rejected bundle", "rejected"),
    Situation.HELD: Action(ChangeKind.UPDATE, "git moved forward", "hold"),
    Situation.UNREAD: Action(ChangeKind.UPDATE, "git moved forward", "promotion:errored"),
    Situation.UNPROMOTED: Action(ChangeKind.UPDATE, "git moved forward", "promotion"),
    Situation.SOAKING: Action(ChangeKind.UPDATE, "git moved forward", "soak"),
    Situation.UNAPPROVED: Action(ChangeKind.UPDATE, "git moved forward", "approval"),
    Situation.WAITING: Action(ChangeKind.UPDATE, "the last try did not succeed", "waiting"),
    Situation.UNMENDED: Action(ChangeKind.REPAIR, "the last repair did not succeed", "waiting"),
    Situation.RESET: Action(ChangeKind.SETTINGS, "settings changed"),
    Situation.DRIFTED: Action(ChangeKind.REPAIR, "what runs is not what is recorded"),
    Situation.IN_SYNC: Action(ChangeKind.NOOP, "in sync"),
}
"""Every situation has exactly one action; a test asserts that none is missing."""

KEEPS_RECORDED = frozenset(
    {
        Situation.INVALID,
        Situation.UNDECLARED,
        Situation.REJECTED,
        Situation.HELD,
        Situation.UNREAD,
        Situation.UNPROMOTED,
        Situation.SOAKING,
        Situation.UNAPPROVED,
        Situation.WAITING,
    }
)
"""Where the desired bundle may not run, the recorded one is kept as it should be: its drift is repaired all the same."""
