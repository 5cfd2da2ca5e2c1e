"""A pull request's files against the merge base: what is judged, against which baseline, and what only stands."""

from __future__ import annotations

from dataclasses import replace

import pytest
from mlrelease.delivery.proposal import judge_proposal, proposals
from mlrelease.delivery.reports import Reports
from mlrelease.gates.interface import Origin
from mlrelease.history.fold import History
from mlrelease.model.bundle import ModelPin, model_key
from mlrelease.model.change import Direction
from mlrelease.model.gate import GateSpec
from mlrelease.registries.cache import ArtifactCache
from support.core import START, Story, environment, model, service
from support.fake_registry import FakeRegistry, pin_of

FORWARD, BACK, NONE = Direction.FORWARD, Direction.BACK, Direction.NONE
EMPTY = History("production")


def on(version: str, *, tag: str = "1", **more):
    return environment(service(models={"A": version}, tag=tag), **more)


def one(now, base, history=EMPTY):
    (proposed,) = proposals(now, base, history, now=START)
    return proposed


def told(*versions: str) -> History:
    """These versions of A, deployed one after the other."""
    story = Story()
    for version in versions:
        story.apply(on(version))
    return story.history


OTHER = Story()
OTHER.apply(environment(service("other", models={"B": "1"})))
ELSEWHERE = OTHER.history


@pytest.mark.parametrize(
    ("now", "base", "history", "stands", "direction", "baseline", "origin"),
    [
        (on("8"), on("7"), told("7"), False, FORWARD, "7", Origin.RECORDED),
        (on("7"), on("7"), told("7"), True, NONE, "7", Origin.RECORDED),
        (on("8"), on("7"), told("6"), False, FORWARD, "6", Origin.RECORDED),
        (on("7"), on("8"), told("7", "8"), False, BACK, "8", Origin.RECORDED),
        (on("8"), on("7"), EMPTY, False, FORWARD, "7", Origin.MERGE_BASE),
        (on("7"), on("7"), EMPTY, True, NONE, None, Origin.NONE),
        (on("8"), on("7"), ELSEWHERE, False, FORWARD, None, Origin.NONE),
        (on("8"), None, EMPTY, False, FORWARD, None, Origin.NONE),
        (on("8"), None, told("7"), False, FORWARD, "7", Origin.RECORDED),
        (on("8"), on("8"), told("7"), True, NONE, "7", Origin.RECORDED),
        (on("7"), on("8"), told("7"), False, NONE, "7", Origin.RECORDED),
    ],
    ids=[
        "a bump is compared with what is recorded",
        "what stands does not move",
        "what is recorded counts, not what was merged last",
        "a revert moves back",
        "without a ledger the merge base is the baseline",
        "what stands is no baseline of itself",
        "with a ledger that never had it, nothing was ever live here",
        "a first commit has no baseline",
        "no merge base, but a ledger",
        "merged and not yet deployed: judged when it was proposed",
        "back to what is recorded already: nothing moves",
    ],
)
def test_how_a_model_is_judged(now, base, history, stands, direction, baseline, origin):
    """Direction and baseline of each case; nothing is ever loaded."""
    subject = one(now, base, history).subject
    assert one(now, base, history).stands is stands
    assert (subject.direction, subject.baseline, subject.baseline_origin) == (
        direction,
        model("A", baseline) if baseline else None,
        origin,
    )
    assert (subject.may_load, subject.now) == (False, START)


@pytest.mark.parametrize(
    ("now", "base", "moves"),
    [
        (on("7", tag="2"), on("7"), True),
        (on("7", tag="2"), on("7", tag="2"), False),
        (on("7"), on("7", tag="2"), False),
    ],
    ids=["another image", "the image stands", "the image moves back to what is recorded"],
)
def test_an_image_that_moves_forward_concerns_its_models(now, base, moves):
    """Under a new image, each of them must have been verified where it is promoted from."""
    assert one(now, base, told("7")).image_moves is moves


FILES = {version: {"MLmodel": b"flavors: {}\n", "weights.json": version.encode()} for version in ("7", "8")}


@pytest.fixture
def registry():
    registry = FakeRegistry()
    for version, rmse in (("7", 70.0), ("8", 76.0)):
        registry.add("A", version, FILES[version])
        registry.numbers["A", version] = ({"rmse": rmse}, "model")
    return registry


@pytest.fixture
def pins(tmp_path):
    return {version: pin_of("A", version, FILES[version], tmp_path / version) for version in FILES}


@pytest.fixture
def gated(pins):
    """An environment on one of the registered versions, with these gates."""

    def build(version: str, **more):
        gates = (
            GateSpec("exists"),
            GateSpec("digest"),
            GateSpec("metric", {"metric": "rmse", "max": 80, "max_regression": "5%"}),
        )
        more = {"smoke": False} | more
        spec = service(models={"A": pins[version]})
        listed = (*gates, GateSpec("smoke")) if more.pop("smoke") else gates
        models = tuple(replace(m, gates=(*listed, *more.pop("implicit", ()))) for m in spec.models)
        return environment(replace(spec, models=models), **more)

    return build


@pytest.fixture
def verdict(registry, tmp_path):
    """Status, reason by gate."""

    def judge(now, base, history=EMPTY, source=None):
        said = judge_proposal(
            now,
            base,
            history,
            source,
            registry=lambda: registry,
            cache=ArtifactCache(tmp_path / "cache"),
            reports=Reports(tmp_path / "reports"),
            now=START,
        )
        return {result.gate: (result.status.value, result.reason) for _, result in said}

    return judge


def test_a_worse_version_is_refused_in_the_pull_request(gated, verdict):
    """Against the pin at the merge base, since nothing is recorded yet; and the report says which."""
    assert verdict(gated("8"), gated("7")) == {
        "exists": ("passed", "A version 8 is READY"),
        "digest": ("passed", "the artifacts have the pinned digest"),
        "metric": ("failed", "rmse 76: 8.57143% worse than the 70 of version 7 (merge base), 5% allowed"),
        "rejected": ("passed", "nothing is said against A 8 in production"),
    }


def test_smoke_is_a_dry_run_in_a_pull_request(gated, verdict):
    """A PR check never loads a model."""
    said = verdict(gated("8", smoke=True), gated("7"))
    assert said["smoke"] == ("skipped", "no model is loaded here: it is tried where it will run")


def test_what_stands_is_looked_up_and_not_judged(gated, verdict, registry):
    """Its metadata is asked for with all others; no file is read and no metric."""
    said = verdict(gated("8"), gated("8"))
    assert {gate: status for gate, (status, _) in said.items()} == {
        "exists": "passed",
        "digest": "skipped",
        "metric": "skipped",
        "rejected": "passed",
    }
    assert registry.downloaded == []


def recorded(pins, *, then_rejected: str) -> History:
    """Version 7 runs; a person rejected the other."""
    story = Story()
    story.apply(environment(service(models={"A": pins["7"]})))
    story.reject("risk", (model_key("A"), str(pins[then_rejected].digest)))
    return story.history


def test_a_changed_pin_that_was_rejected_fails(gated, verdict, pins):
    """A bot that proposes it again is refused."""
    status, reason = verdict(gated("8"), gated("7"), recorded(pins, then_rejected="8"))["rejected"]
    assert (status, reason.startswith("A 8 is rejected by ")) == ("failed", True)


def test_a_standing_pin_that_was_rejected_is_a_warning(gated, verdict, pins):
    """A pull request about something else is not to blame."""
    status, reason = verdict(gated("8"), gated("8"), recorded(pins, then_rejected="8"))["rejected"]
    assert (status, reason.startswith("the pin stands, though A 8 is rejected by ")) == ("skipped", True)


def promotes(gated, version, soak_s=0.0):
    implicit = (GateSpec("promoted_from", {"environment": "staging", "soak_s": soak_s, "target": "local"}),)
    return gated(version, implicit=implicit, promotes_from="staging", soak_s=soak_s)


def test_a_version_never_verified_in_the_source_fails(gated, verdict):
    """The source's ledger is empty."""
    said = verdict(promotes(gated, "8"), promotes(gated, "7"), EMPTY, History("staging"))
    assert said["promoted_from"] == ("failed", "A 8 was never verified in staging under the image that it would run with here")


def test_a_soak_not_yet_served_passes_with_its_moment(gated, verdict, pins):
    """The pull request may be merged ahead of it; the Change waits."""
    story = Story(now=START - 60.0)
    story.apply(environment(service(models={"A": pins["8"]})))
    status, reason = verdict(promotes(gated, "8", 86400.0), promotes(gated, "7", 86400.0), EMPTY, story.history)[
        "promoted_from"
    ]
    assert (status, "not before 2023-11-1" in reason) == ("passed", True)


def test_a_source_that_cannot_be_read_is_errored(gated, verdict):
    """Nobody knows whether it was verified there."""
    status, reason = verdict(promotes(gated, "8"), promotes(gated, "7"), EMPTY, None)["promoted_from"]
    assert (status, reason) == ("errored", "the ledger of staging could not be read: try: mlrelease history staging")


def test_a_registry_that_is_down_is_errored(gated, verdict, registry):
    """For what must be asked; the ledger's word needs no registry."""
    registry.down = True
    said = verdict(gated("8"), gated("7"))
    assert {gate: status for gate, (status, _) in said.items()} == {
        "exists": "errored",
        "digest": "errored",
        "metric": "errored",
        "rejected": "passed",
    }


def test_a_pin_by_hand_with_the_digest_of_another_version_is_found_out(gated, verdict, pins):
    """Version 8 in the file, the digest of 7 beside it."""
    pins["8"] = ModelPin("A", "8", pins["7"].digest)
    assert verdict(gated("8"), gated("7"))["digest"][0] == "failed"
