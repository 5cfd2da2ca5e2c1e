"""What holds after any sequence of edits, passes and failures, checked against a second, simpler bookkeeping."""

from __future__ import annotations

from collections.abc import Iterable

from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from mlrelease.model.bundle import ABSENT, IMAGE, SETTINGS, model_key
from mlrelease.model.change import ChangeKind, Direction
from support.core import Story, absent, environment, service

A, B = model_key("A"), model_key("B")
UNIVERSE = (IMAGE, SETTINGS, A, B)
NAMES = ("churn", "risk")

wanted = st.fixed_dictionaries(
    {
        "tag": st.sampled_from("12"),
        "a": st.sampled_from("123"),
        "b": st.sampled_from(["", "1", "2"]),
        "env": st.sampled_from([(), (("MODE", "fast"),)]),
        "replicas": st.integers(1, 2),
    }
)


class Delivery(RuleBasedStateMachine):
    """Git moves at random; every pass is one of those that happen: well, badly, or not to be told.

    `values` is what each service runs, `first` the moment at which a value was first verified, `shut` what may not be
    gone forward to: kept here in the plainest way, over all components that there can be.
    """

    def __init__(self):
        super().__init__()
        self.story = Story()
        self.files = {name: service(name) for name in NAMES}
        self.values: dict[str, dict] = {name: dict.fromkeys(UNIVERSE, ABSENT) for name in NAMES}
        self.first: dict[tuple, int] = {}
        self.shut: dict[str, list[frozenset]] = {name: [] for name in NAMES}
        self.moment = 0
        self.past = list(self.files.values())

    @property
    def env(self):
        return environment(*self.files.values())

    def want(self, name: str) -> dict:
        spec = self.files[name]
        return dict.fromkeys(UNIVERSE, ABSENT) | ({} if spec.state == "absent" else spec.bundle.components())

    def is_back(self, name, key) -> bool:
        new, old = (self.first.get((name, key, values[key])) for values in (self.want(name), self.values[name]))
        return new is not None and old is not None and new < old

    def moved(self, name) -> list:
        return [key for key in UNIVERSE if self.want(name)[key] != self.values[name][key]]

    def forbidden(self, name) -> bool:
        """Whether a set that was shut is wholly wanted and partly moves forward."""
        forward = {(key, self.want(name)[key]) for key in self.moved(name) if not self.is_back(name, key)}
        return any(shut <= set(self.want(name).items()) and shut & forward for shut in self.shut[name])

    def shut_all(self, name, components: Iterable[tuple]) -> None:
        held = frozenset(c for c in components if c[1] != ABSENT)
        if held:
            self.shut[name].append(held)

    @rule(name=st.sampled_from(NAMES), to=wanted)
    def edit(self, name, to):
        """Somebody moves git."""
        models = {"A": to["a"]} | ({"B": to["b"]} if to["b"] else {})
        self.files[name] = service(name, models, to["tag"], env=to["env"], replicas=to["replicas"])
        self.past.append(self.files[name])

    @rule(name=st.sampled_from(NAMES), to=wanted)
    def ship(self, name, to):
        """Somebody moves git, and the pass comes out well."""
        self.edit(name, to)
        self.deploy()

    @rule(data=st.data())
    def revert(self, data):
        """Somebody restores a file as it once was, and the pass comes out well."""
        then = data.draw(st.sampled_from(self.past))
        self.files[then.name] = then
        self.deploy()

    @rule(name=st.sampled_from(NAMES))
    def remove(self, name):
        """Somebody writes `state: absent`."""
        self.files[name] = absent(name)

    @rule()
    def deploy(self):
        """A pass that comes out well leaves nothing to do but what is forbidden."""
        plan = self.story.apply(self.env, removals_allowed=True)
        self.moment += 1
        for change in plan.acting:
            name = change.service
            back = [key for key in self.moved(name) if self.is_back(name, key)]
            assert change.kind is not ChangeKind.ROLLBACK or back == self.moved(name)
            self.shut_all(name, ((key, self.values[name][key]) for key in back))
            self.values[name] = self.want(name)
            for key in UNIVERSE:
                self.first.setdefault((name, key, self.values[name][key]), self.moment)
        after = self.story.plan(self.env, removals_allowed=True)
        assert after.acting == ()
        for change in after.changes:
            assert change.kind is ChangeKind.NOOP or change.blocked_by == "rejected"
            if change.kind is ChangeKind.NOOP:
                assert self.values[change.service] == self.want(change.service)

    @rule()
    def refuse(self):
        """Verification says no: what moved forward is shut, what runs stays."""
        creating = {c.service for c in self.story.plan(self.env, removals_allowed=False).acting}
        moves = {name: [k for k in self.moved(name) if not self.is_back(name, k)] for name in creating}
        self.story.fail(self.env)
        self.moment += 1
        for name, keys in moves.items():
            self.shut_all(name, ((key, self.want(name)[key]) for key in keys))

    @rule()
    def stumble(self):
        """It could not be told: nothing is shut."""
        self.story.err(self.env)
        self.moment += 1

    @rule(name=st.sampled_from(NAMES), key=st.sampled_from(UNIVERSE))
    def lift(self, name, key):
        """Somebody lifts what was shut for a value that git wants."""
        value = (key, self.want(name)[key])
        self.story.unreject(name, value)
        self.moment += 1
        self.shut[name] = [shut for shut in self.shut[name] if value not in shut]

    @invariant()
    def the_plan_never_acts_on_a_rejected_move(self):
        """A move forward to what was shut is blocked; any other move is not blocked for that."""
        plan = self.story.plan(self.env, removals_allowed=True)
        for change in plan.changes:
            if change.kind is ChangeKind.REMOVE:
                continue
            assert (change.blocked_by == "rejected") is self.forbidden(change.service)
            assert not (change.acts and self.forbidden(change.service))

    @invariant()
    def directions_agree(self):
        """The fold's idea of back, made from what it saw, is that of the book that wrote down everything."""
        for change in self.story.plan(self.env, removals_allowed=True).changes:
            assert {c.key for c in change.components} == set(self.moved(change.service))
            for c in change.components:
                assert (c.direction is Direction.BACK) is self.is_back(change.service, c.key)

    @invariant()
    def rejections_agree(self):
        """Exactly what the book holds is rejected."""
        for name in NAMES:
            assert [r.components for r in self.story.history.rejections if r.service == name] == self.shut[name]


TestDelivery = Delivery.TestCase
TestDelivery.settings = settings(
    max_examples=40,
    stateful_step_count=12,
    deadline=None,
    # A failing sequence of twelve steps can be read as it is; shrinking it takes minutes.
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
)
