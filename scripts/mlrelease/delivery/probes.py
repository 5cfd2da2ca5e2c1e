"""The proofs: who every instance is, and that it predicts what the version predicted in isolation."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from mlrelease.deadlines import DEADLINES_S
from mlrelease.errors import Error
from mlrelease.model.bundle import Bundle
from mlrelease.model.event import Probe
from mlrelease.model.live import Answer, Artifact, Identity, Instance
from mlrelease.plan.drift import identity_mismatch
from mlrelease.serving.compare import differences
from mlrelease.targets.interface import Target

PROBE_HEADERS = {"X-Probe": "mlrelease", "Content-Type": "application/json"}
TOGETHER = 50
"""Requests at a time of the concurrent golden probe (DESIGN §2)."""

PROOFS = 5
"""Right answers in a row, through the proxy and of every instance, before a switch counts as proved."""

PROOF_TRIES = 20
"""Answers looked at before giving up: just after a switch "not yet" is not "bad" (DESIGN §6 row 10)."""

POLL_S = 0.05


class VerificationFailed(Exception):  # noqa: N818 - a verdict, not a mistake
    """The bundle is not good enough, and this is how we know."""

    def __init__(self, probe: Probe) -> None:
        super().__init__(probe.reason)
        self.probe = probe


def wait_ready(target: Target, service: str, instances: Iterable[str]) -> tuple[Instance, ...]:
    """The instances once all are ready. An instance that ended by itself fails verification; the deadline is an error."""
    wanted = set(instances)
    end = time.monotonic() + DEADLINES_S["instance.start"]
    while True:
        seen = [i for i in target.observe().of(service) if i.id in wanted]
        for instance in seen:
            if instance.failure:
                tail = f": {instance.log_tail[-1][:300]}" if instance.log_tail else ""
                raise VerificationFailed(Probe("ready", "failed", f"{instance.failure}{tail}", instance.id))
        if len(seen) == len(wanted) and all(i.ready for i in seen):
            return tuple(seen)
        if time.monotonic() > end:
            late = sorted(wanted - {i.id for i in seen if i.ready})
            raise Error(
                f"{service}: {', '.join(late)} not ready after {DEADLINES_S['instance.start']:.0f} s",
                hint="read what it wrote: mlrelease logs",
            )
        time.sleep(POLL_S)


def identity(target: Target, instances: Sequence[Instance], bundle: Bundle) -> tuple[Probe, ...]:
    """Every instance says that it is the bundle. Raises `VerificationFailed` at the first that does not."""
    probes = []
    for instance in instances:
        said = parse_identity(target.ask(instance.id, "GET", "/identity", timeout_s=_answer_s(), headers=PROBE_HEADERS))
        wrong = identity_mismatch(said, bundle)
        if wrong:
            raise VerificationFailed(Probe("identity", "failed", wrong, instance.id))
        probes.append(Probe("identity", "passed", f"answers as bundle {bundle.id}", instance.id))
    return tuple(probes)


def golden(target: Target, instances: Sequence[Instance], artifacts: Sequence[Artifact]) -> tuple[Probe, ...]:
    """Every instance answers every model's golden rows, once alone and then 50 at a time.

    A model without golden predictions gives a `skipped` probe with the reason.
    """
    probes = []
    for artifact in artifacts:
        if artifact.golden is None:
            probes.append(Probe(f"golden:{artifact.name}", "skipped", "the version has no input example"))
            continue
        for instance in instances:
            _alone(target, instance, artifact)
            _together(target, instance, artifact)
            probes.append(Probe(f"golden:{artifact.name}", "passed", f"alone and {TOGETHER} at a time", instance.id))
    return tuple(probes)


def settled(target: Target, instances: Sequence[Instance], bundle: Bundle, artifacts: Sequence[Artifact]) -> tuple[Probe, ...]:
    """After the switch: `PROOFS` right answers in a row through the proxy, and the same of every instance.

    Raises `VerificationFailed` when `PROOF_TRIES` answers did not hold such a row.
    """
    through = _row(lambda: _through_proxy(target, bundle, artifacts))
    if through:
        raise VerificationFailed(Probe("proof", "failed", f"through the proxy: {through}"))
    for instance in instances:
        wrong = _row(lambda instance=instance: _who(target, instance, bundle))  # type: ignore[misc]
        if wrong:
            raise VerificationFailed(Probe("proof", "failed", wrong, instance.id))
    return (Probe("proof", "passed", f"{PROOFS} in a row through the proxy and of {len(instances)} instances"),)


def parse_identity(answer: Answer) -> Identity:
    """The identity in an answer. Raises `Error` when it is none."""
    try:
        data: dict[str, Any] = json.loads(answer.body)
        return Identity(
            service=data["service"],
            bundle=data["bundle"],
            image=data["image"],
            instance=data["instance"],
            runtime=data["runtime"],
            started_at=data["started_at"],
            models=tuple(sorted((m["name"], m["version"], m["digest"]) for m in data["models"])),
        )
    except (ValueError, KeyError, TypeError) as error:
        raise Error(f"/identity answered {answer.status} with no identity in it") from error


def _row(look: Callable[[], str]) -> str:
    """Empty once `look` found nothing wrong `PROOFS` times in a row; else what was last wrong."""
    good, last = 0, ""
    for _ in range(PROOF_TRIES):
        try:
            wrong = look()
        except (OSError, Error) as error:
            wrong = str(error)
        if not wrong:
            good += 1
            if good == PROOFS:
                return ""
            continue
        good, last = 0, wrong
        time.sleep(POLL_S)
    return last or "no steady answer"


def _through_proxy(target: Target, bundle: Bundle, artifacts: Sequence[Artifact]) -> str:
    said = parse_identity(target.ask_service(bundle.service, "GET", "/identity", timeout_s=_answer_s(), headers=PROBE_HEADERS))
    wrong = identity_mismatch(said, bundle)
    if wrong:
        return wrong
    for artifact in artifacts:
        if artifact.golden is not None:
            answer = target.ask_service(
                bundle.service, "POST", _path(artifact), _payload(artifact), timeout_s=_answer_s(), headers=PROBE_HEADERS
            )
            wrong = _wrong(answer, artifact)
            if wrong:
                return wrong
    return ""


def _who(target: Target, instance: Instance, bundle: Bundle) -> str:
    answer = target.ask(instance.id, "GET", "/identity", timeout_s=_answer_s(), headers=PROBE_HEADERS)
    return identity_mismatch(parse_identity(answer), bundle)


def _alone(target: Target, instance: Instance, artifact: Artifact) -> None:
    wrong = _golden_once(target, instance, artifact)
    if wrong:
        raise VerificationFailed(Probe(f"golden:{artifact.name}", "failed", f"alone: {wrong}", instance.id))


def _together(target: Target, instance: Instance, artifact: Artifact) -> None:
    with ThreadPoolExecutor(TOGETHER) as pool:
        answers = list(pool.map(lambda _: _golden_once(target, instance, artifact), range(TOGETHER)))
    wrong = [answer for answer in answers if answer]
    if wrong:
        reason = f"{len(wrong)} of {TOGETHER} at a time: {wrong[0]}"
        raise VerificationFailed(Probe(f"golden:{artifact.name}", "failed", reason, instance.id))


def _golden_once(target: Target, instance: Instance, artifact: Artifact) -> str:
    answer = target.ask(instance.id, "POST", _path(artifact), _payload(artifact), timeout_s=_answer_s(), headers=PROBE_HEADERS)
    return _wrong(answer, artifact)


def _wrong(answer: Answer, artifact: Artifact) -> str:
    if answer.status != 200:
        return f"status {answer.status}"
    try:
        predictions = json.loads(answer.body)["predictions"]
    except (ValueError, KeyError, TypeError):
        return "no predictions in the answer"
    golden = artifact.golden or {}
    return differences(golden["predictions"], predictions, artifact.golden_rtol)


def _path(artifact: Artifact) -> str:
    return f"/models/{artifact.name}/invocations"


def _payload(artifact: Artifact) -> bytes:
    golden = artifact.golden or {}
    return json.dumps(golden["payload"]).encode()


def _answer_s() -> float:
    return DEADLINES_S["instance.answer"]
