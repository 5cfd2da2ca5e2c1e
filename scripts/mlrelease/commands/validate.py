"""`validate`: every finding in the files; then each pin against the ledger, MLflow and its gates. Loads no model."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping

from mlrelease.commands.output import say
from mlrelease.commands.workspace import Workspace, cache_folder
from mlrelease.delivery.source import ENVIRONMENTS, Tracked
from mlrelease.gates.evaluate import evaluate
from mlrelease.gates.interface import Evidence, Subject
from mlrelease.history.direction import component_changes, rejection_of
from mlrelease.history.fold import History, fold
from mlrelease.model.bundle import Bundle, ModelPin
from mlrelease.model.change import ComponentChange, Direction
from mlrelease.model.gate import GateResult, GateStatus
from mlrelease.model.spec import EnvironmentSpec, ModelSpec, ServiceSpec, Spec
from mlrelease.registries.interface import ModelRegistry
from mlrelease.render import findings as findings_text
from mlrelease.render.report import Report

HEADERS = ("environment", "service", "model", "version", "gate", "status", "reason")


def validate(workspace: Workspace, *, offline: bool) -> Report:
    """Exit code 4 for findings, 5 when a gate failed or a pin is rejected, 1 when something could not be asked."""
    spec = workspace.worktree_spec()
    if offline:
        return _files_report(spec)
    base = _base_pins(workspace)
    rows: list[tuple[str, ...]] = []
    results: list[dict[str, object]] = []
    codes = {4} if spec.findings else {0}
    for environment in spec.environments.values():
        history = fold(environment.name, workspace.ledger().read(environment.name).events)
        for service, model, result in _judge(workspace, environment, history, base):
            rows.append(
                (environment.name, service.name, model.name, model.pin.version, result.gate, result.status.value, result.reason)
            )
            results.append(
                result.to_json() | {"environment": environment.name, "service": service.name, "version": model.pin.version}
            )
            if not result.opens:
                codes.add(5 if result.status in (GateStatus.FAILED, GateStatus.INCONCLUSIVE) else 1)
    opened = sum(1 for row in results if row["status"] in ("passed", "skipped"))
    verdict = f"{_count(spec)}; gates {opened} of {len(results)}"
    code = next((c for c in (1, 5, 4) if c in codes), 0)
    return _report(spec, verdict, rows, {"gates": results}, code)


def _files_report(spec: Spec) -> Report:
    return _report(spec, f"{_count(spec)} (files only, nothing was asked)", (), {"gates": []}, 4 if spec.findings else 0)


def _report(spec: Spec, verdict: str, rows: list[tuple[str, ...]] | tuple[()], more: Mapping[str, object], code: int) -> Report:
    if spec.findings and os.environ.get("GITHUB_ACTIONS") == "true":
        sys.stderr.write(findings_text.github(spec.findings))
    elif spec.findings:
        say(findings_text.text(spec.findings).rstrip("\n"))
    bad = next((row for row in rows if row[5] not in ("passed", "skipped")), None)
    command = ""
    if code == 0:
        command = "git push" if rows else "mlrelease validate"
    elif spec.findings:
        command = "mend the files named above, then: mlrelease validate"
    elif bad and bad[5] == GateStatus.ERRORED:
        command = "mlrelease validate"
    elif bad:
        command = f"mlrelease bump {bad[0]} {bad[2]} --to VERSION"
    return Report(
        verdict=verdict,
        data={"findings": findings_text.as_json(spec.findings)} | dict(more),
        headers=HEADERS,
        rows=rows,
        next=command,
        exit_code=code,
    )


def _count(spec: Spec) -> str:
    services = [service for environment in spec.environments.values() for service in environment.services.values()]
    models = sum(len(service.models) for service in services)
    found = _plural(len(spec.findings), "finding")
    parts = [_plural(len(spec.environments), "environment"), _plural(len(services), "service"), _plural(models, "model")]
    return f"{found} in {', '.join(parts)}"


def _plural(count: int, word: str) -> str:
    return f"{count} {word}{'' if count == 1 else 's'}"


def _judge(
    workspace: Workspace, environment: EnvironmentSpec, history: History, base: Mapping[tuple[str, str], ModelPin]
) -> list[tuple[ServiceSpec, ModelSpec, GateResult]]:
    """The gates' word on every pin. Files are read for pins that differ from the merge base; of all others metadata."""
    from mlrelease.registries.cache import ArtifactCache  # noqa: PLC0415 - requests costs 0.1 s
    from mlrelease.registries.connect import connect  # noqa: PLC0415
    from mlrelease.registries.evidence import gather  # noqa: PLC0415
    from mlrelease.spec.expand import expand  # noqa: PLC0415

    def registry() -> ModelRegistry:
        return connect(expand(environment.tracking_uri, workspace.variables), workspace.variables)

    models = [(service, model) for service in environment.services.values() for model in service.models]
    changed = [model.pin for _, model in models if base.get((environment.name, model.name)) != model.pin]
    standing = [model.pin for _, model in models if model.pin not in changed]
    cache = ArtifactCache(cache_folder(workspace.variables))
    evidence: dict[ModelPin, Evidence] = {}
    evidence |= gather([(pin, False) for pin in changed], registry=registry, cache=cache, read_files=True)
    evidence |= gather([(pin, False) for pin in standing], registry=registry, cache=cache, read_files=False)
    said = []
    for service, model in models:
        moves = component_changes(history, service.name, history.bundle(service.name), service.bundle)
        subject = Subject(environment.name, service.name, model.pin, _direction(moves, model.name))
        said += [(service, model, result) for result in evaluate(model.gates, subject, evidence[model.pin])]
        rejection = _rejected(history, service.bundle, moves, model.name)
        if rejection:
            said.append((service, model, GateResult("rejected", f"model:{model.name}", GateStatus.FAILED, rejection)))
    return said


def _direction(moves: tuple[ComponentChange, ...], model: str) -> Direction:
    return next((move.direction for move in moves if move.key == f"model:{model}"), Direction.NONE)


def _rejected(history: History, bundle: Bundle, moves: tuple[ComponentChange, ...], model: str) -> str:
    rejection = rejection_of(history, bundle.service, bundle, moves)
    if rejection and any(key == f"model:{model}" for key, _ in rejection.components):
        return f"rejected here by {rejection.actor}: {rejection.reason}"
    return ""


def _base_pins(workspace: Workspace) -> dict[tuple[str, str], ModelPin]:
    """The pins at the merge base with the tracked branch, by (environment, model); none when there is no base."""
    from mlrelease.spec.load import load  # noqa: PLC0415

    branch: Tracked = workspace.branch
    head, tip = workspace.git.head(), workspace.git.resolve(branch.ref)
    base = workspace.git.merge_base(head, tip) if head and tip else None
    if base is None:
        return {}
    spec = load(workspace.git.tree(base, ENVIRONMENTS))
    return {
        (environment.name, model.name): model.pin
        for environment in spec.environments.values()
        for service in environment.services.values()
        for model in service.models
    }
