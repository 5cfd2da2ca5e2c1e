"""The proof after a switch: settle, then so many right answers in a row (DESIGN §6 row 10)."""

from __future__ import annotations

import pytest
from mlrelease.delivery import probes
from mlrelease.delivery.probes import VerificationFailed, settled
from mlrelease.model.live import Answer
from support import core
from support.fake_target import FakeTarget


class Flaky(FakeTarget):
    """Answers 503 through the proxy for the first `late` requests."""

    def __init__(self, late: int) -> None:
        super().__init__()
        self.late = late
        self.asked = 0

    def ask_service(self, *arguments, **options) -> Answer:
        self.asked += 1
        if self.asked <= self.late:
            return Answer(503, {}, b"")
        return super().ask_service(*arguments, **options)


def _up(target: FakeTarget):
    from pathlib import PurePath

    from mlrelease.model.live import Artifact, Launch

    bundle = core.bundle()
    artifacts = tuple(Artifact(pin.name, pin.version, pin.digest, PurePath("/none")) for pin in bundle.models)
    instances = target.start(Launch(bundle, artifacts, 2))
    target.route(bundle.service, {bundle.id: 100}, instances=[i.id for i in instances], prefix="/", revision="r", timeout_s=1)
    return bundle, instances


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch):
    monkeypatch.setattr(probes, "POLL_S", 0.0)


def test_not_yet_is_not_bad():
    """A proxy that needs a few requests to settle is proved all the same, by enough right answers in a row."""
    target = Flaky(late=4)
    bundle, instances = _up(target)
    (probe,) = settled(target, instances, bundle, ())
    assert probe.status == "passed"
    assert target.asked == 4 + probes.PROOFS


def test_never_is_bad():
    """One that does not settle within its tries fails, and says what it answered last."""
    target = Flaky(late=10**6)
    bundle, instances = _up(target)
    with pytest.raises(VerificationFailed, match="through the proxy: /identity answered 503"):
        settled(target, instances, bundle, ())
    assert target.asked == probes.PROOF_TRIES
