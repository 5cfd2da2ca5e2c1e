"""The proofs: who every instance is, and that it predicts what the version predicted in isolation."""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Callable, Collection, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
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

MOST = 500
"""Requests of that probe to one instance, over all its models: up to 10 changed models are each asked 50 times. Where more
change at once each is asked less often, but never less than `LEAST` times, next to each other among the 50 in flight. More
was tried: for a warm fleet of 34 models 2,000 took 11.9 s where 500 take 2.8 s."""

LEAST = 4
EACH_TIME = 40
"""So many changed models are all asked in each answer of the proof through the proxy."""

PROOFS = 5
"""Right answers in a row, through the proxy and of every instance, before a switch counts as proved."""

PROOF_TRIES = 20
"""Answers looked at before giving up: just after a switch "not yet" is not "bad" (DESIGN §6 row 10)."""

POLL_S = 0.05
SLOWEST_POLL_S = 1.0
"""A start that takes long is looked at less often, by a tenth of what it took so far: each look costs the loading instance."""


class VerificationFailed(Exception):  # noqa: N818 - a verdict, not a mistake
    """The bundle is not good enough, and this is how we know."""

    def __init__(self, probe: Probe) -> None:
        super().__init__(probe.reason)
        self.probe = probe


def wait_ready(target: Target, service: str, instances: Iterable[str], *, models: int = 1) -> tuple[Instance, ...]:
    """The instances once all are ready. An instance that ended by itself fails verification; the deadline is an error.

    The deadline grows with the number of models that each instance loads.
    """
    wanted = set(instances)
    began = time.monotonic()
    patience_s = DEADLINES_S["instance.start"] + models * DEADLINES_S["instance.start.model"]
    end = began + patience_s
    while True:
        seen = [i for i in target.observe(service).of(service) if i.id in wanted]
        for instance in seen:
            if instance.failure:
                said = last_words(instance.log_tail)
                reason = f"{instance.failure}: {said}" if said else instance.failure
                raise VerificationFailed(Probe("ready", "failed", reason, instance.id))
        if len(seen) == len(wanted) and all(i.ready for i in seen):
            return tuple(seen)
        if time.monotonic() > end:
            late = sorted(wanted - {i.id for i in seen if i.ready})
            raise Error(
                f"{service}: {', '.join(late)} not ready after {patience_s:.0f} s",
                hint="read what it wrote: mlrelease logs",
            )
        time.sleep(max(POLL_S, min(SLOWEST_POLL_S, (time.monotonic() - began) / 10)))


def last_words(lines: Sequence[str]) -> str:
    """Why a server ended, out of its last lines: the newest error in the reference server's log, else the last line."""
    for line in reversed(lines):
        try:
            said = json.loads(line)
            if said["level"] in ("error", "critical"):
                return str(said.get("reason") or said["event"])[:300]
        except (ValueError, KeyError, TypeError, AttributeError):
            continue
    return lines[-1][:300] if lines else ""


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


def golden(
    target: Target, instances: Sequence[Instance], artifacts: Sequence[Artifact], *, unchanged: Collection[str] = ()
) -> tuple[Probe, ...]:
    """Every instance answers every model's golden rows: once alone, and then `TOGETHER` at a time (see `MOST`).

    The models named in `unchanged` answered as the same bytes before this Change: they are asked once. A model without
    golden predictions gives a `skipped` probe with the reason.
    """
    questions = {artifact.name: _Question.of(artifact) for artifact in artifacts if artifact.golden is not None}
    again = max(LEAST, min(TOGETHER, MOST // max(1, len(questions.keys() - set(unchanged)))))
    passed: dict[str, list[Probe]] = {}
    with ThreadPoolExecutor(TOGETHER) as pool:
        for instance in instances:
            for name, question in questions.items():
                wrong = question.wrong(target, instance)
                if wrong:
                    raise VerificationFailed(Probe(f"golden:{name}", "failed", f"alone: {wrong}", instance.id))
            _together(target, instance, [q for name, q in questions.items() if name not in unchanged], again, pool)
            for name in questions:
                how = "alone: the same bytes answered before" if name in unchanged else f"alone and {_times(again)}"
                passed.setdefault(name, []).append(Probe(f"golden:{name}", "passed", how, instance.id))
    probes: list[Probe] = []
    for artifact in artifacts:
        skipped = Probe(f"golden:{artifact.name}", "skipped", "the version has no input example")
        probes += passed.get(artifact.name, [] if artifact.golden is not None else [skipped])
    return tuple(probes)


def settled(target: Target, instances: Sequence[Instance], bundle: Bundle, artifacts: Sequence[Artifact]) -> tuple[Probe, ...]:
    """After the switch: `PROOFS` right answers in a row through the proxy, and the same of every instance.

    Each answer through the proxy is an identity and the golden rows of all `artifacts`; of more than `EACH_TIME` every
    one in turn, so that a row of right answers has asked for them all. Raises `VerificationFailed` when `PROOF_TRIES`
    answers did not hold such a row.
    """
    questions = [_Question.of(artifact) for artifact in artifacts if artifact.golden is not None]
    turns = [questions] if len(questions) <= EACH_TIME else [questions[n::PROOFS] for n in range(PROOFS)]
    turn = itertools.cycle(turns)
    through = _row(lambda: _through_proxy(target, bundle, next(turn)))
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
    except (ValueError, KeyError, TypeError, RecursionError) as error:
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


def _through_proxy(target: Target, bundle: Bundle, questions: Sequence[_Question]) -> str:
    said = parse_identity(target.ask_service(bundle.service, "GET", "/identity", timeout_s=_answer_s(), headers=PROBE_HEADERS))
    wrong = identity_mismatch(said, bundle)
    if wrong:
        return wrong
    for question in questions:
        answer = target.ask_service(
            bundle.service, "POST", question.path, question.body, timeout_s=_answer_s(), headers=PROBE_HEADERS
        )
        wrong = _wrong(answer, question.artifact)
        if wrong:
            return wrong
    return ""


def _who(target: Target, instance: Instance, bundle: Bundle) -> str:
    answer = target.ask(instance.id, "GET", "/identity", timeout_s=_answer_s(), headers=PROBE_HEADERS)
    return identity_mismatch(parse_identity(answer), bundle)


def _together(target: Target, instance: Instance, questions: Sequence[_Question], again: int, pool: ThreadPoolExecutor) -> None:
    """Each question `again` times in a row, `TOGETHER` of them in flight: a model meets itself, and those beside it."""
    asked = [question for question in questions for _ in range(again)]
    answers = zip(asked, pool.map(lambda question: question.wrong(target, instance), asked), strict=True)
    bad: dict[str, list[str]] = {}
    for question, wrong in answers:
        if wrong:
            bad.setdefault(question.artifact.name, []).append(wrong)
    for name, wrongs in bad.items():
        reason = f"{len(wrongs)} of {again} at a time: {wrongs[0]}"
        raise VerificationFailed(Probe(f"golden:{name}", "failed", reason, instance.id))


def _times(again: int) -> str:
    return f"{TOGETHER} at a time" if again == TOGETHER else f"{again} times among {TOGETHER} at a time"


@dataclass(frozen=True, slots=True)
class _Question:
    """The golden rows of one model as the bytes of a request, made once."""

    artifact: Artifact
    path: str
    body: bytes

    @classmethod
    def of(cls, artifact: Artifact) -> _Question:
        return cls(artifact, _path(artifact), _payload(artifact))

    def wrong(self, target: Target, instance: Instance) -> str:
        """What is wrong with the instance's answer, empty when it is as expected."""
        answer = target.ask(instance.id, "POST", self.path, self.body, timeout_s=_answer_s(), headers=PROBE_HEADERS)
        return _wrong(answer, self.artifact)


def _wrong(answer: Answer, artifact: Artifact) -> str:
    if answer.status != 200:
        return f"status {answer.status}"
    try:
        predictions = json.loads(answer.body)["predictions"]
    except (ValueError, KeyError, TypeError, RecursionError):
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
