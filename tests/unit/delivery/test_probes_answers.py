"""What instances answer, and what that proves: identities, predictions, readiness, and whatever else comes over a socket."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import PurePath

import pytest
from mlrelease.delivery import probes
from mlrelease.delivery.probes import VerificationFailed, parse_identity, settled, wait_ready
from mlrelease.errors import Error
from mlrelease.model.event import Probe
from mlrelease.model.live import Answer, Artifact, Identity, Launch
from support import core
from support.fake_target import FakeTarget

SAID = {
    "service": "risk",
    "bundle": "b1",
    "image": "i",
    "instance": "x",
    "runtime": "r",
    "started_at": "t",
    "models": [{"name": "B", "version": "2", "digest": "d2"}, {"name": "A", "version": "1", "digest": "d1", "more": 1}],
}
GOLDEN = {"payload": {"inputs": [[1.0]]}, "predictions": [1.0]}


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch):
    monkeypatch.setattr(probes, "POLL_S", 0.0)
    monkeypatch.setattr(probes, "SLOWEST_POLL_S", 0.0)


def answer(body, status=200):
    return Answer(status, {}, body if isinstance(body, bytes) else json.dumps(body).encode())


class Scripted(FakeTarget):
    """Instances say what `says` gives for (instance, path) or (service, path), one after the other, the last one for ever."""

    def __init__(self, **says) -> None:
        super().__init__()
        self.says = {key: list(value) for key, value in says.items()}
        self.sent = []

    def _next(self, key, path, body, headers):
        self.sent.append((key, path, body, dict(headers or {})))
        waiting = self.says.get(f"{key} {path}")
        if not waiting:
            return None
        said = waiting.pop(0) if len(waiting) > 1 else waiting[0]
        if isinstance(said, Exception):
            raise said
        return said

    def ask(self, instance, method, path, body=b"", *, timeout_s, headers=None) -> Answer:
        return self._next(instance, path, body, headers) or super().ask(
            instance, method, path, body, timeout_s=timeout_s, headers=headers
        )

    def ask_service(self, service, method, path, body=b"", *, timeout_s, headers=None) -> Answer:
        return self._next(service, path, body, headers) or super().ask_service(
            service, method, path, body, timeout_s=timeout_s, headers=headers
        )


def up(target, replicas=2, golden=GOLDEN):
    """A service of one model on the target, routed: bundle, instances, artifacts."""
    bundle = core.bundle()
    artifacts = tuple(Artifact(pin.name, pin.version, pin.digest, PurePath("/none"), golden) for pin in bundle.models)
    instances = target.start(Launch(bundle, artifacts, replicas))
    target.route("risk", {bundle.id: 100}, instances=[i.id for i in instances], prefix="/", revision="r", timeout_s=1)
    return bundle, instances, artifacts


def test_an_identity_is_read_with_its_models_in_order():
    """Whatever order the server gave them in; keys of a newer server are left alone."""
    assert parse_identity(answer(SAID | {"later": True})) == Identity(
        "risk", "b1", "i", "x", "r", "t", (("A", "1", "d1"), ("B", "2", "d2"))
    )


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>not found</html>",
        b"\xff\xfe",
        b"[]",
        b"null",
        b"7",
        b'"bundle"',
        b"[" * 100_000,
        {},
        {k: v for k, v in SAID.items() if k != "bundle"},
        SAID | {"models": None},
        SAID | {"models": 7},
        SAID | {"models": "AB"},
        SAID | {"models": ["A"]},
        SAID | {"models": [{"name": "A", "version": "1"}]},
        SAID | {"models": [{"name": "A", "version": "1", "digest": 1}, {"name": "A", "version": "1", "digest": "d"}]},
    ],
    ids=lambda body: str(body)[-48:],
)
def test_what_is_no_identity_is_an_error_and_never_a_no(body):
    """A proxy's page, half an answer, another server: we could not tell. Its text is not repeated."""
    with pytest.raises(Error) as caught:
        parse_identity(answer(body, 404))
    assert caught.value.message == "/identity answered 404 with no identity in it"


def test_a_liar_is_named_and_the_others_before_it_are_not_asked_again():
    """The first instance that says something else fails the rollout."""
    target = FakeTarget()
    bundle, instances, _ = up(target, replicas=3)
    target.become(instances[1].id, "000000000000")
    with pytest.raises(VerificationFailed) as caught:
        probes.identity(target, instances, bundle)
    probe = caught.value.probe
    assert (probe.name, probe.status, probe.instance) == ("identity", "failed", instances[1].id)
    assert "000000000000" in probe.reason
    assert str(caught.value) == probe.reason


def test_probes_are_marked_so_that_nobody_counts_them():
    """The header that keeps them out of the metrics, on every request; the body is the golden payload."""
    target = Scripted()
    bundle, instances, artifacts = up(target, replicas=1)
    probes.identity(target, instances, bundle)
    probes.golden(target, instances, artifacts)
    settled(target, instances, bundle, artifacts)
    assert {json.dumps(headers, sort_keys=True) for *_, headers in target.sent} == {
        '{"Content-Type": "application/json", "X-Probe": "mlrelease"}'
    }
    assert {body for _, path, body, _ in target.sent if path == "/models/A/invocations"} == {b'{"inputs": [[1.0]]}'}
    assert {body for _, path, body, _ in target.sent if path == "/identity"} == {b""}


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        (answer({"predictions": [1.0]}, 500), "alone: status 500"),
        (answer({"predictions": [1.0]}, 204), "alone: status 204"),
        (answer(b"<html>"), "alone: no predictions in the answer"),
        (answer(b"[" * 100_000), "alone: no predictions in the answer"),
        (answer([1.0]), "alone: no predictions in the answer"),
        (answer({"outputs": [1.0]}), "alone: no predictions in the answer"),
        (answer(None), "alone: no predictions in the answer"),
        (answer({"predictions": [2.0]}), "alone: row 0: expected 1, got 2"),
    ],
)
def test_a_wrong_answer_fails_with_what_was_wrong(said, reason):
    """Never the whole answer: it may be large, and somebody else's."""
    target = Scripted(**{"risk-1 /models/A/invocations": [said]})
    _, instances, artifacts = up(target, replicas=1)
    with pytest.raises(VerificationFailed) as caught:
        probes.golden(target, instances, artifacts)
    assert caught.value.probe == Probe("golden:A", "failed", reason, "risk-1")


def test_wrong_only_among_others_is_found():
    """Alone it answers right; beside itself, three of fifty times, it does not."""
    right, wrong = answer({"predictions": [1.0]}), answer({"predictions": [9.0]})
    target = Scripted(**{"risk-1 /models/A/invocations": [right, right, wrong, right, wrong, wrong, right]})
    _, instances, artifacts = up(target, replicas=1)
    with pytest.raises(VerificationFailed) as caught:
        probes.golden(target, instances, artifacts)
    assert caught.value.probe.reason == "3 of 50 at a time: row 0: expected 1, got 9"


def test_an_instance_that_hangs_up_is_an_error_and_no_verdict():
    """The network's fault, or the host's: the version is not rejected for it."""
    target = Scripted(**{"risk-1 /models/A/invocations": [ConnectionResetError("reset")]})
    _, instances, artifacts = up(target, replicas=1)
    with pytest.raises(ConnectionResetError):
        probes.golden(target, instances, artifacts)


def test_a_model_without_an_example_is_skipped_and_says_so():
    """Once, not once an instance; it is asked nothing."""
    target = Scripted()
    _, instances, artifacts = up(target, golden=None)
    assert probes.golden(target, instances, artifacts) == (Probe("golden:A", "skipped", "the version has no input example"),)
    assert target.sent == []


def test_the_tolerance_of_the_model_s_file_counts():
    """A model that rounds elsewhere may differ by as much as it was allowed, and no more."""
    target = FakeTarget()
    _, instances, artifacts = up(target, replicas=1)
    target.predictions = {str(artifacts[0].digest): [1.04]}
    loose = [replace(artifacts[0], golden_rtol=0.05)]
    assert [p.status for p in probes.golden(target, instances, loose)] == ["passed"]
    with pytest.raises(VerificationFailed):
        probes.golden(target, instances, [replace(artifacts[0], golden_rtol=0.03)])


def test_settled_begins_to_count_anew_after_a_wrong_answer():
    """Four right, one wrong, five right: a row is a row."""
    target = Scripted()
    bundle, instances, _ = up(target)
    right = target.ask_service("risk", "GET", "/identity", timeout_s=1)
    target.says["risk /identity"] = [right] * (probes.PROOFS - 1) + [Answer(503, {}, b""), right]
    target.sent.clear()
    settled(target, instances, bundle, ())
    assert sum(key == "risk" for key, *_ in target.sent) == 2 * probes.PROOFS


def test_a_proxy_that_refuses_connections_is_not_yet_and_in_the_end_bad():
    """What the system said is the reason."""
    target = Scripted(**{"risk /identity": [ConnectionRefusedError(111, "Connection refused")]})
    bundle, instances, _ = up(target)
    with pytest.raises(VerificationFailed, match=r"through the proxy: .*Connection refused"):
        settled(target, instances, bundle, ())
    assert len(target.sent) == probes.PROOF_TRIES


def test_the_old_version_behind_the_proxy_is_not_the_new_one():
    """Right predictions, another identity: the switch did not happen."""
    target = Scripted(**{"risk /identity": [answer(SAID)]})
    bundle, instances, artifacts = up(target)
    with pytest.raises(VerificationFailed, match="through the proxy: answers as bundle b1"):
        settled(target, instances, bundle, artifacts)


def test_wrong_predictions_through_the_proxy_are_bad_though_each_instance_is_right():
    """Something between rewrites them."""
    target = Scripted(**{"risk /models/A/invocations": [answer({"predictions": [3.0]})]})
    bundle, instances, artifacts = up(target)
    with pytest.raises(VerificationFailed, match="through the proxy: row 0: expected 1, got 3"):
        settled(target, instances, bundle, artifacts)


def test_one_instance_that_turned_after_the_switch_is_found():
    """The proxy happened to ask the other one each time."""
    target = FakeTarget()
    bundle, instances, artifacts = up(target)
    target.become(instances[1].id, "000000000000")
    with pytest.raises(VerificationFailed) as caught:
        settled(target, instances, bundle, artifacts)
    assert (caught.value.probe.name, caught.value.probe.instance) == ("proof", instances[1].id)


def test_an_instance_that_flickers_never_gives_a_row():
    """Right and wrong in turns is not settled, however long one looks."""
    target = FakeTarget()
    bundle, instances, _ = up(target)
    target.every_other = bundle.id
    with pytest.raises(VerificationFailed, match="through the proxy"):
        settled(target, instances, bundle, ())


class Waking(FakeTarget):
    """Instances get ready one look after the other."""

    looks = 0

    def observe(self, service=""):
        self.looks += 1
        ready = sorted(self.instances)[: self.looks - 1]
        for name, instance in self.instances.items():
            self.instances[name] = replace(instance, ready=name in ready)
        return super().observe(service)


def test_all_must_be_ready_and_only_those_that_were_started_count():
    """An old one of the same service that is ready is none of them."""
    target = Waking()
    _, instances, _ = up(target, replicas=3)
    wanted = [i.id for i in instances[:2]]
    found = wait_ready(target, "risk", wanted)
    assert [i.id for i in found] == wanted
    assert target.looks == 3


def test_one_that_ended_is_bad_before_any_deadline():
    """Its last words are the reason; without any, how it ended."""
    target = FakeTarget()
    _, instances, _ = up(target)
    name = instances[1].id
    target.instances[name] = replace(instances[1], ready=False, failure="exited 4 while loading", log_tail=("no such file",))
    with pytest.raises(VerificationFailed) as caught:
        wait_ready(target, "risk", [i.id for i in instances])
    assert caught.value.probe == Probe("ready", "failed", "exited 4 while loading: no such file", name)
    target.instances[name] = replace(target.instances[name], log_tail=())
    with pytest.raises(VerificationFailed, match=r"^exited 4 while loading$"):
        wait_ready(target, "risk", [i.id for i in instances])


@pytest.mark.parametrize(("models", "patience"), [(1, "120"), (1000, "620")])
def test_who_is_late_is_named_and_many_models_have_more_time(monkeypatch, models, patience):
    """An error, never a verdict: a busy host is no bad version. One that vanished is late too."""
    target = FakeTarget()
    _, instances, _ = up(target)
    target.instances[instances[0].id] = replace(instances[0], ready=False)
    clock = iter(range(0, 10**6, 100))
    monkeypatch.setattr(probes.time, "monotonic", lambda: float(next(clock)))
    with pytest.raises(Error) as caught:
        wait_ready(target, "risk", [*(i.id for i in instances), "gone"], models=models)
    assert caught.value.message == f"risk: gone, {instances[0].id} not ready after {patience} s"
    assert caught.value.hint == "read what it wrote: mlrelease logs"


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('{"level": "critical", "event": "x", "reason": "out of memory"}', "out of memory"),
        ('{"level": "error", "event": "x", "reason": ""}', "x"),
        ('{"level": "error", "event": "' + "y" * 400 + '"}', "y" * 300),
        ("z" * 400, "z" * 300),
        ('{"level": "error"}', '{"level": "error"}'),
        ('{"level": ["error"], "event": "x"}', '{"level": ["error"], "event": "x"}'),
    ],
)
def test_last_words_are_short_and_whatever_was_said(line, said):
    """A receipt is no log."""
    assert probes.last_words([line]) == said
