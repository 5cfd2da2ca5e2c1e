"""Why a bundle ran, for people: one line a fact, each with the source that says so. Pure."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from mlrelease.history.lineage import approval_of
from mlrelease.model.bundle import SETTINGS
from mlrelease.model.change import ChangeKind, Outcome
from mlrelease.model.event import DeployFinished, ServiceReceipt
from mlrelease.render.lineage import GIT, LEDGER, MLFLOW, Explanation, Pull, Told, Trained, person, when
from mlrelease.render.plan import label

HEADERS = ("environment", "about", "what", "source")
SHOWN = 8
"""So many parameters, metrics or probes stand in a line; JSON has them all."""

Line = tuple[str, str, str]
"""About what, what is known, and which source says so."""


def table(explanations: Sequence[Explanation]) -> list[tuple[str, ...]]:
    """Rows of environment, about, what and source."""
    return [(one.environment, *line) for one in explanations for line in lines(one)]


def lines(explanation: Explanation) -> Iterator[Line]:
    """Everything, in the order in which people ask: what, from where, who said yes, what was checked, and what came of it."""
    proof, receipt = explanation.proof, explanation.receipt
    source = f"{LEDGER} {proof.id}"
    yield "bundle", f"{label(explanation.bundle)} of {explanation.service}, image {explanation.bundle.image.reference}", source
    yield "served", _served(explanation), source
    for told in explanation.components:
        yield from _component(explanation, told)
    if explanation.left_out:
        yield "models", f"{explanation.left_out} more that this change did not move: name one with --model", source
    if probes := _probes(receipt):
        yield "probes", probes, source
    yield "receipt", _receipt(proof, receipt), source
    for run in explanation.runs:
        what = f"{run.environment}/{run.service} from {when(run.era.began)} {_until(run.era.ended)}"
        yield "also ran in" if run.environment != explanation.environment else "ran in", what, f"{LEDGER} {run.era.event}"


def _served(explanation: Explanation) -> str:
    era = explanation.era
    if era is None:
        receipt = explanation.receipt
        return f"never proved in {explanation.environment}: {receipt.change} {receipt.outcome}: {receipt.reason}"
    return f"in {explanation.environment} from {when(era.began)} {_until(era.ended)}"


def _until(ended: float) -> str:
    return f"until {when(ended)}" if math.isfinite(ended) else "on, with no later change in the ledger"


def _component(explanation: Explanation, told: Told) -> Iterator[Line]:
    event, receipt = told.origin.event, told.origin.receipt
    source = f"{LEDGER} {event.id}"
    came = "here since" if receipt.outcome is Outcome.SUCCEEDED else f"tried here ({receipt.outcome}) at"
    yield told.name, f"{told.origin.value}, {came} {when(event.at)}: {receipt.change}, {receipt.reason}", source
    if told.first is not None and told.first.id != event.id:
        what = f"here at {when(told.first.at)}, and replaced in between"
        yield f"{told.name}: first proved", what, f"{LEDGER} {told.first.id}"
        for gate in told.first_gates(explanation.service):
            yield f"{told.name}: gate {gate.get('gate')}, then", _gate(gate), f"{LEDGER} {told.first.id}"
    yield from _change(explanation, told)
    for result in receipt.gate_results:
        if result.get("component") == told.origin.key:
            yield f"{told.name}: gate {result.get('gate')}", _gate(result), source
    if told.trained is not None:
        yield from _training(told.name, told.trained)
    for fate in told.fates:
        what = f"{fate.kind.replace('_', ' ')} at {when(fate.at)} by {person(fate.actor)}: {fate.reason}"
        yield f"{told.name}: since", what, f"{LEDGER} {fate.event}"


def _gate(result: Mapping[str, Any]) -> str:
    return f"{result.get('status')}: {result.get('reason')}"


def _change(explanation: Explanation, told: Told) -> Iterator[Line]:
    """Commit, pull request and approval."""
    event, commit = told.origin.event, told.commit
    hold = told.before.pinned_hold(explanation.service, event.started_at)
    if hold is not None:
        what = f"{hold.pinned_to[:9]}, desired by a hold of {person(hold.actor)}: {hold.reason}"
        yield f"{told.name}: commit", what, f"{LEDGER} {hold.id}"
    elif commit is None:
        yield f"{told.name}: commit", f"not found on the tracked branch; the pass was at {event.revision[:9]}", GIT
    else:
        dates = f"written {when(commit.authored_at)}, landed {when(commit.landed_at)}"
        what = f"{commit.sha[:9]} {commit.subject}, by {commit.author}, {dates}"
        if told.origin.key == SETTINGS:
            what = f"the newest of that file: {what}"
        yield f"{told.name}: commit", what, f"{GIT} {commit.sha[:9]}"
    if told.pull is not None:
        yield f"{told.name}: pull request", _pull(told.pull), told.pull.source
    approval = approval_of(told.before, event, explanation.service)
    if approval is not None:
        run = f", run {approval.run_url}" if approval.run_url else ""
        said = f": {approval.reason}" if approval.reason else ""
        what = f"by {person(approval.approver)} at {when(approval.at)}{run}{said}"
        yield f"{told.name}: approval", what, f"{LEDGER} {approval.id}"
    else:
        needless = "; a rollback waits for none" if told.origin.receipt.change is ChangeKind.ROLLBACK else ""
        yield f"{told.name}: approval", f"none is recorded for this change{needless}", f"{LEDGER} {event.id}"


def _pull(pull: Pull) -> str:
    parts = [f"#{pull.number}" + (f" {pull.title}" if pull.title else "")]
    parts += [f"by {pull.author}"] if pull.author else []
    if pull.approvers is not None:
        parts.append(f"approved by {', '.join(pull.approvers)}" if pull.approvers else "approved by nobody")
    return ", ".join(parts)


def _training(name: str, trained: Trained) -> Iterator[Line]:
    run = trained.run
    if run is not None:
        source = f"{MLFLOW} run {run.run_id}"
        who = f" by {run.user}" if run.user else ""
        started = f", {when(run.started_at)}" if run.started_at else ""
        yield (
            f"{name}: run",
            f"{run.name or run.run_id}{who}{started}, {run.status or 'status unknown'} at {trained.where}",
            source,
        )
        yield (
            f"{name}: code",
            f"{run.entry or 'program not logged'} at {run.git_commit or 'a commit that was not logged'}",
            source,
        )
        for data in run.datasets:
            use = f" ({data.context})" if data.context else ""
            place = " ".join(filter(None, (data.source_type, data.source)))
            yield f"{name}: data", f"{data.name}{use}, digest {data.digest}" + (f", {place}" if place else ""), source
        if not run.datasets:
            yield f"{name}: data", "no dataset was logged with the run", source
        if run.params:
            yield f"{name}: parameters", _some(dict(sorted(run.params.items()))), source
        if run.metrics:
            yield f"{name}: metrics", _some({key: f"{value:.6g}" for key, value in sorted(run.metrics.items())}), source
    elif trained.problem:
        yield f"{name}: run", f"not known: {trained.problem}", MLFLOW
    if trained.golden:
        yield f"{name}: golden predictions", f"{trained.golden}, {trained.golden_rows} rows", f"{LEDGER} golden"
    else:
        yield f"{name}: golden predictions", "none are stored", f"{LEDGER} golden"


def _some(pairs: Mapping[str, str]) -> str:
    shown = [f"{key} {value}" for key, value in list(pairs.items())[:SHOWN]]
    return ", ".join(shown) + (f", and {len(pairs) - SHOWN} more" if len(pairs) > SHOWN else "")


def _probes(receipt: ServiceReceipt) -> str:
    """`identity passed ×2, golden:wine passed ×2`; what did not pass with its reason."""
    counted = Counter((probe.name, probe.status) for probe in receipt.probes)
    shown = [f"{name} {status}" + (f" ×{n}" if n > 1 else "") for (name, status), n in counted.items()]
    more = len(shown) - SHOWN
    reasons = [f"{probe.name}: {probe.reason}" for probe in receipt.probes if probe.status != "passed"]
    return ", ".join(shown[:SHOWN] + ([f"and {more} more"] if more > 0 else [])) + "".join(f"; {r}" for r in reasons[:SHOWN])


def _receipt(proof: DeployFinished, receipt: ServiceReceipt) -> str:
    took = sum(step.seconds for step in receipt.steps)
    parts = [f"{receipt.change} {receipt.outcome} at {when(proof.at)}", f"by {person(proof.actor)} ({proof.trigger})"]
    parts += [f"in {took:.2f} s"] if receipt.steps else []
    parts.append(f"at {proof.revision[:9]}")
    parts += [f"exercised {', '.join(receipt.exercised)}"] if receipt.exercised else []
    parts += [f"run {proof.run_url}"] if proof.run_url else []
    return ", ".join(parts)
