"""The proof after a switch: settle, then so many right answers in a row (DESIGN §6 row 10)."""

from __future__ import annotations

import threading
from pathlib import PurePath

import pytest
from mlrelease.delivery import probes
from mlrelease.delivery.probes import VerificationFailed, settled
from mlrelease.model.live import Answer, Artifact, Launch
from support import core
from support.fake_target import FakeTarget


class Flaky(FakeTarget):
    """Answers 503 through the proxy for the first `late` requests."""

    def __init__(self, late: int) -> None:
        super().__init__()
        self.late = late
        self.requests = 0

    def ask_service(self, *arguments, **options) -> Answer:
        self.requests += 1
        if self.requests <= self.late:
            return Answer(503, {}, b"")
        return super().ask_service(*arguments, **options)


def _up(target: FakeTarget):
    bundle = core.bundle()
    artifacts = tuple(Artifact(pin.name, pin.version, pin.digest, PurePath("/none")) for pin in bundle.models)
    instances = target.start(Launch(bundle, artifacts, 2))
    target.route(bundle.service, {bundle.id: 100}, instances=[i.id for i in instances], prefix="/", revision="r", timeout_s=1)
    return bundle, instances


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch):
    monkeypatch.setattr(probes, "POLL_S", 0.0)


ERROR = '{"level": "error", "event": "not serving", "reason": "risk 7 cannot be loaded: ValueError", "code": 4}'
STOPPED = '{"level": "info", "event": "stopped", "code": 4}'


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ([ERROR, STOPPED], "risk 7 cannot be loaded: ValueError"),
        (['{"level": "error", "event": "cannot listen"}', STOPPED], "cannot listen"),
        (["Segmentation fault"], "Segmentation fault"),
        ([STOPPED, "[1]", "null", "{"], "{"),
        ([], ""),
    ],
    ids=[
        "the reason of the newest error, not the line that follows it",
        "an error without a reason says its event",
        "the last line of a server with another log",
        "lines that are JSON by accident are lines",
        "nothing was said",
    ],
)
def test_an_instance_that_ended_says_why(lines, said):
    """A receipt names the cause, not the goodbye."""
    assert probes.last_words(lines) == said


class Counting(FakeTarget):
    """Counts the golden requests by model, and how many were in flight at once."""

    def __init__(self) -> None:
        super().__init__()
        self.requests = {}
        self.flying = self.most = 0
        self.lock = threading.Lock()

    def ask(self, instance, method, path, *arguments, **options) -> Answer:
        with self.lock:
            self.flying += 1
            self.most = max(self.most, self.flying)
            self.requests[path] = self.requests.get(path, 0) + 1
        try:
            return super().ask(instance, method, path, *arguments, **options)
        finally:
            with self.lock:
                self.flying -= 1


def _fleet(count: int, target: FakeTarget, replicas: int = 1):
    models = {f"m{n:04}": "1" for n in range(count)}
    bundle = core.bundle(models=models)
    golden = {"payload": {"inputs": [[1.0]]}, "predictions": [1.0]}
    artifacts = tuple(Artifact(pin.name, pin.version, pin.digest, PurePath("/none"), golden) for pin in bundle.models)
    return artifacts, target.start(Launch(bundle, artifacts, replicas))


@pytest.mark.parametrize(
    ("models", "unchanged", "each", "words"),
    [
        (1, 0, 51, "alone and 50 at a time"),
        (10, 0, 51, "alone and 50 at a time"),
        (34, 0, 15, "alone and 14 times among 50 at a time"),
        (600, 0, 5, "alone and 4 times among 50 at a time"),
        (1000, 999, 51, "alone and 50 at a time"),
    ],
    ids=[
        "one model is asked alone and 50 at a time",
        "so is each of ten",
        "of 34 each is asked 14 times among 50",
        "of many hundred each is still asked 4 times",
        "one that changed among a thousand is asked in full",
    ],
)
def test_how_often_a_model_is_asked(models, unchanged, each, words):
    """What changed is asked alone and beside itself, within a bound for all; what did not change is asked once."""
    target = Counting()
    artifacts, instances = _fleet(models, target)
    same = {artifact.name for artifact in artifacts[:unchanged]}
    found = probes.golden(target, instances, artifacts, unchanged=same)
    asked = {path.split("/")[2]: count for path, count in target.requests.items()}
    assert set(asked) == {artifact.name for artifact in artifacts}
    assert {asked[name] for name in same} <= {1}
    assert {count for name, count in asked.items() if name not in same} == {each}
    assert {p.reason for p in found if p.name.partition(":")[2] not in same} == {words}
    assert target.most <= probes.TOGETHER


def test_every_instance_is_asked_and_the_bad_model_is_named():
    """One wrong answer of one model on one instance fails the Change with its name."""
    target = Counting()
    artifacts, instances = _fleet(30, target, replicas=2)
    assert len(probes.golden(target, instances, artifacts)) == 60
    target.predictions = {str(artifacts[17].digest): [2.0]}
    with pytest.raises(VerificationFailed) as failed:
        probes.golden(target, instances, artifacts)
    assert (failed.value.probe.name, failed.value.probe.instance) == ("golden:m0017", instances[0].id)
    assert failed.value.probe.reason == "alone: row 0: expected 1, got 2"


def test_a_row_of_right_answers_has_asked_for_every_model():
    """Through the proxy a fleet is asked in turns, and every model is in one of them; a bad one is found."""
    target = FakeTarget()
    artifacts, instances = _fleet(probes.EACH_TIME * 3, target)
    bundle = core.bundle(models={a.name: "1" for a in artifacts})
    target.route(bundle.service, {bundle.id: 100}, instances=[i.id for i in instances], prefix="/", revision="r", timeout_s=1)
    (probe,) = settled(target, instances, bundle, artifacts)
    assert probe.status == "passed"
    for bad in (artifacts[0], artifacts[-1]):
        target.predictions = {str(bad.digest): [2.0]}
        with pytest.raises(VerificationFailed, match="expected 1, got 2"):
            settled(target, instances, bundle, artifacts)


def test_not_yet_is_not_bad():
    """A proxy that needs a few requests to settle is proved all the same, by enough right answers in a row."""
    target = Flaky(late=4)
    bundle, instances = _up(target)
    (probe,) = settled(target, instances, bundle, ())
    assert probe.status == "passed"
    assert target.requests == 4 + probes.PROOFS


def test_never_is_bad():
    """One that does not settle within its tries fails, and says what it answered last."""
    target = Flaky(late=10**6)
    bundle, instances = _up(target)
    with pytest.raises(VerificationFailed, match="through the proxy: /identity answered 503"):
        settled(target, instances, bundle, ())
    assert target.requests == probes.PROOF_TRIES
