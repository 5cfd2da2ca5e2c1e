"""How what runs can differ from what is recorded, case by case, and what that means for health."""

from __future__ import annotations

from dataclasses import replace

import pytest
from mlrelease.model.change import ChangeKind, Health, Sync
from mlrelease.model.live import Observation, Role
from mlrelease.plan.drift import drift, health_of, identity_mismatch, settings_changes, settings_of
from support.core import Story, absent, bundle, environment, image, instance, live, model, route, service

GOOD = bundle()
OTHER = bundle(models={"A": "8"})
FIRST, SECOND = instance(GOOD, 0), instance(GOOD, 1)
SHORT = "instances: 1 of 2 answer as they should"


def seen(*instances, weights=None, problems=()):
    return Observation(instances, {"risk": route(GOOD, weights)}, problems)


def says(**identity):
    return replace(SECOND, identity=replace(SECOND.identity, **identity))


OVERWRITTEN = (("A", "7", model("A", "tampered").digest),)
CASES = {
    "as it should be": (seen(FIRST, SECOND), ()),
    "one more than asked for": (seen(FIRST, SECOND, instance(GOOD, 2)), ()),
    "a dead instance": (seen(FIRST), (SHORT,)),
    "an instance that ended by itself": (
        seen(FIRST, replace(SECOND, ready=False, identity=None, failure="exited 1 while loading")),
        (SHORT, f"instance {SECOND.id}: exited 1 while loading; does not say who it is"),
    ),
    "not ready": (seen(FIRST, replace(SECOND, ready=False)), (SHORT, f"instance {SECOND.id}: not ready")),
    "an orphan of a crashed supervisor": (
        seen(FIRST, replace(SECOND, supervised=False)),
        (SHORT, f"instance {SECOND.id}: not supervised"),
    ),
    "no identity": (seen(FIRST, replace(SECOND, identity=None)), (SHORT, f"instance {SECOND.id}: does not say who it is")),
    "the identity of another service": (
        seen(FIRST, says(service="churn")),
        (SHORT, f"instance {SECOND.id}: answers for service churn"),
    ),
    "the identity of another bundle": (
        seen(FIRST, says(bundle=OTHER.id)),
        (SHORT, f"instance {SECOND.id}: answers as bundle {OTHER.id}"),
    ),
    "overwritten weights": (
        seen(FIRST, says(models=OVERWRITTEN)),
        (SHORT, f"instance {SECOND.id}: answers with models A 7 ({OVERWRITTEN[0][2][:15]}…)"),
    ),
    "no models at all": (seen(FIRST, says(models=())), (SHORT, f"instance {SECOND.id}: answers with models none")),
    "no route": (Observation((FIRST, SECOND)), ("traffic: no route",)),
    "a route to nowhere": (seen(FIRST, SECOND, weights={}), (f"traffic: nowhere instead of all to {GOOD.id}",)),
    "weights made by hand": (
        seen(FIRST, SECOND, weights={"zzz": 10, GOOD.id: 90}),
        (f"traffic: 90 % to {GOOD.id}, 10 % to zzz instead of all to {GOOD.id}",),
    ),
    "not all of the traffic": (
        seen(FIRST, SECOND, weights={GOOD.id: 99}),
        (f"traffic: 99 % to {GOOD.id} instead of all to {GOOD.id}",),
    ),
    "all traffic to another bundle": (
        seen(FIRST, SECOND, weights={OTHER.id: 100}),
        (f"traffic: 100 % to {OTHER.id} instead of all to {GOOD.id}",),
    ),
    "a stray": (seen(FIRST, SECOND, replace(instance(GOOD, 7), role=Role.STRAY)), (f"stray {instance(GOOD, 7).id}",)),
    "a stray of another service": (seen(FIRST, SECOND, instance(bundle("churn"), role=Role.STRAY)), ()),
    "a leftover candidate": (
        seen(FIRST, SECOND, instance(OTHER, 3, role=Role.CANDIDATE)),
        (f"leftover {instance(OTHER, 3).id}: of bundle {OTHER.id}",),
    ),
    "a warm bundle": (seen(FIRST, SECOND, instance(OTHER, 3, role=Role.WARM)), ()),
    "only warm instances of the bundle itself": (
        seen(replace(FIRST, role=Role.WARM), replace(SECOND, role=Role.WARM)),
        ("instances: 0 of 2 answer as they should",),
    ),
    "a problem of the target": (seen(FIRST, SECOND, problems=("route: edited by hand",)), ("target: route: edited by hand",)),
    "nothing at all": (Observation(), ("traffic: no route", "instances: 0 of 2 answer as they should")),
}


@pytest.mark.parametrize("name", CASES)
def test_each_kind_of_drift_is_named(name):
    """In words that say which instance and what about it."""
    observation, expected = CASES[name]
    assert drift(observation, "risk", GOOD, replicas=2) == expected


@pytest.mark.parametrize("name", CASES)
def test_each_kind_of_drift_is_planned(name):
    """As a repair that lists it, and the service is Drifted; without drift it is a noop and InSync."""
    observation, expected = CASES[name]
    story = Story()
    story.apply(environment(service()))
    plan = story.plan(environment(service()), observation=observation)
    (change,) = [c for c in plan.changes if c.service == "risk"]
    assert change.kind is (ChangeKind.REPAIR if expected else ChangeKind.NOOP)
    assert change.drift == expected
    assert (change.before, change.after) == (GOOD, GOOD)
    assert plan.sync["risk"] is (Sync.DRIFTED if expected else Sync.IN_SYNC)


def test_a_version_label_is_part_of_the_identity():
    """A prediction names its version, so an instance with the old number is not as it should be."""
    relabelled = replace(GOOD, models=(model("A", "70", content="7"),))
    assert relabelled.id == GOOD.id
    assert identity_mismatch(FIRST.identity, relabelled).startswith("answers with models A 7 (")
    assert identity_mismatch(FIRST.identity, GOOD) == ""


def test_the_order_of_models_in_an_identity_does_not_matter():
    """It is a set."""
    two = bundle(models={"A": "7", "B": "1"})
    identity = instance(two).identity
    assert identity_mismatch(replace(identity, models=identity.models[::-1]), two) == ""


HEALTH = {
    "could not look": (None, GOOD, False, Health.UNKNOWN),
    "could not look, while a pass works": (None, GOOD, True, Health.UNKNOWN),
    "nothing recorded": (Observation(), None, False, Health.MISSING),
    "a first deploy at work": (Observation(), None, True, Health.PROGRESSING),
    "all as it should be": (live(GOOD), GOOD, False, Health.HEALTHY),
    "a pass at work": (live(GOOD), GOOD, True, Health.PROGRESSING),
    "one of two dead": (live(GOOD, replicas=1), GOOD, False, Health.DEGRADED),
    "a stray beside it": (live(GOOD, extra=[instance(GOOD, 7, role=Role.STRAY)]), GOOD, False, Health.DEGRADED),
    "a problem of the target": (live(GOOD, problems=("proxy: rejects",)), GOOD, False, Health.DEGRADED),
    "all dead": (seen(), GOOD, False, Health.MISSING),
    "all dead, while a pass works": (seen(), GOOD, True, Health.MISSING),
    "none ready": (seen(replace(FIRST, ready=False)), GOOD, False, Health.MISSING),
    "none is who it should be": (seen(replace(FIRST, identity=None)), GOOD, False, Health.MISSING),
    "no route": (Observation((FIRST, SECOND)), GOOD, False, Health.MISSING),
    "a route to nowhere": (seen(FIRST, SECOND, weights={}), GOOD, False, Health.MISSING),
    "another bundle serves": (live(OTHER), GOOD, False, Health.MISSING),
}


@pytest.mark.parametrize("name", HEALTH)
def test_health_is_read_from_what_answers(name):
    """Of the recorded bundle."""
    observation, recorded, working, expected = HEALTH[name]
    assert health_of(observation, "risk", recorded, replicas=2, working=working) is expected


def test_the_plan_carries_the_health_of_each_service():
    """Of the recorded bundle on the recorded number of replicas, whatever git asks for by now."""
    story = Story()
    story.apply(environment(service("churn"), service("risk")))
    files = environment(service("churn", replicas=5), service("risk", models={"A": "8"}), service("young"))
    observation = live(bundle("churn"), bundle("risk"))
    one_dead = replace(observation, instances=observation.instances[:-1])
    assert story.plan(files, observation=one_dead).health == {
        "churn": Health.HEALTHY,
        "risk": Health.DEGRADED,
        "young": Health.MISSING,
    }
    assert set(story.plan(files, observation=None).health.values()) == {Health.UNKNOWN}


def test_a_pass_at_work_shows_until_its_lock_expires():
    """A lock that expired is nobody's work."""
    story = Story()
    story.apply(environment(service()))
    story.start(expires_in_s=100.0)
    assert story.plan(environment(service())).health == {"risk": Health.PROGRESSING}
    assert story.plan(environment(service()), now=story.now + 100.0).health == {"risk": Health.HEALTHY}


def test_a_removed_service_is_healthy_when_nothing_is_wanted():
    """That nothing answers is as it should be."""
    story = Story()
    assert story.plan(environment(absent())).health == {"risk": Health.HEALTHY}


@pytest.mark.parametrize(
    ("other", "change"),
    [
        pytest.param({"replicas": 3}, ("replicas: 2 → 3",), id="replicas"),
        pytest.param({"timeout_s": 5.0}, ("timeout_s: 60.0 → 5.0",), id="timeout"),
        pytest.param({"models": {"A": model("A", "70", content="7")}}, ("A: 7 → 70",), id="a version number alone"),
        pytest.param(
            {"tag": image("1.0", content="1")},
            (f"image: {image('1').reference} → {image('1.0', content='1').reference}",),
            id="an image tag alone",
        ),
        pytest.param({}, (), id="nothing"),
    ],
)
def test_each_changed_setting_is_named(other, change):
    """With its old and its new value; labels of components that are equal by digest count as settings."""
    old, new = service(), service(**other)
    env = environment()
    assert settings_changes(settings_of(env, old), settings_of(env, new), old.bundle, new.bundle) == change


def test_the_listener_and_the_tolerance_are_settings():
    """A moved listener or another golden tolerance is updated in place."""
    env, one = environment(), service()
    moved = replace(env, target=replace(env.target, listen="127.0.0.1:9090"))
    looser = replace(one, models=(replace(one.models[0], golden_rtol=0.01),))
    assert settings_changes(settings_of(env, one), settings_of(moved, looser), one.bundle, one.bundle) == (
        "golden_rtol: {'A': 1e-06} → {'A': 0.01}",
        "listen: 127.0.0.1:8080 → 127.0.0.1:9090",
    )


def test_the_interpreter_is_a_setting_and_no_part_of_the_bundle():
    """Another interpreter is a change of settings of the same bundle; without one the settings are as they always were."""
    plain, own = service(), service(python="/opt/own/bin/python")
    assert plain.bundle == own.bundle
    before, after = settings_of(environment(plain), plain), settings_of(environment(own), own)
    assert "python" not in before
    assert settings_changes(before, after, plain.bundle, own.bundle) == ("python: None → /opt/own/bin/python",)
    assert settings_changes(after, before, own.bundle, plain.bundle) == ("python: /opt/own/bin/python → None",)
