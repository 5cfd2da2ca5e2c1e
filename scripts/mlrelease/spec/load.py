"""All files below `environments/` → the typed spec and every finding. The files are read by the caller."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import PurePosixPath

from mlrelease.model.bundle import Digest, ImagePin, ModelPin
from mlrelease.model.finding import Finding
from mlrelease.model.gate import GateSpec
from mlrelease.model.spec import (
    EnvironmentSpec,
    ModelSpec,
    ServiceSpec,
    SourceFile,
    Spec,
    State,
    Strategy,
    TargetKind,
    TargetSpec,
)
from mlrelease.spec import together
from mlrelease.spec.documents import EnvironmentFile, GateEntry, ModelFile, ServiceFile
from mlrelease.spec.folder import FORMS, HARMLESS, ROOT, Folder, stray
from mlrelease.spec.rules import Defect
from mlrelease.spec.values import seconds


def load(files: Mapping[str, SourceFile]) -> Spec:
    """What the files say, and all findings, sorted. Keys are paths from the root of the repository, with `/`.

    Files elsewhere than below `environments/` are ignored. A service with a finding is left out and named in
    `EnvironmentSpec.invalid`; an environment whose own file has one is left out as a whole. Never raises for what
    the files hold.
    """
    folders: dict[str, Folder] = {}
    findings: list[Finding] = []
    for path, source in sorted(files.items()):
        parts = PurePosixPath(path).parts
        if parts[:1] != (ROOT,):
            continue
        if len(parts) > 2:
            folders.setdefault(parts[1], Folder(parts[1])).add(path, source)
        elif len(parts) == 2 and parts[1] not in HARMLESS:
            findings.append(stray(path))
    if not folders:
        findings.append(Defect("no-environments", "there is no environment", expected=FORMS).at(ROOT))
    for folder in folders.values():
        folder.report_models()
        findings += [*folder.findings, *together.within(folder)]
    findings += together.between(folders.values())
    environments = {name: spec for name, folder in folders.items() if (spec := _environment(folder, findings)) is not None}
    return Spec(environments, tuple(sorted(set(findings))))


def _environment(folder: Folder, findings: Iterable[Finding]) -> EnvironmentSpec | None:
    """The environment as far as it is valid; None when its own file is not."""
    mine = [f for f in findings if f.environment == folder.name]
    document = folder.environment.document if folder.environment else None
    if document is None or any(f.path == folder.path for f in mine):
        return None
    invalid = frozenset(f.service for f in mine if f.service)
    gates = _gates(document.gates)
    models = [_model(folder, m.document, gates) for m in folder.models.values() if m is not None and m.document is not None]
    services = {
        name: _service(folder, service.document, models)
        for name, service in folder.services.items()
        if service is not None and service.document is not None and name not in invalid
    }
    return EnvironmentSpec(
        name=folder.name,
        path=folder.path,
        tracking_uri=document.tracking_uri,
        target=_target(document),
        alias=document.alias,
        promotes_from=document.promotes_from,
        soak_s=seconds(document.soak),
        approval_required=document.approval == "required",
        keep_warm_s=seconds(document.keep_warm),
        gates=gates,
        services=services,
        invalid=invalid,
        state=State(document.state),
    )


def _target(document: EnvironmentFile) -> TargetSpec:
    return TargetSpec(TargetKind(document.target.kind), document.target.listen, document.target.state_dir)


def _service(folder: Folder, document: ServiceFile, models: Iterable[ModelSpec]) -> ServiceSpec:
    mine = (m for m in models if m.service == document.service and m.state is State.PRESENT)
    return ServiceSpec(
        path=folder.service_path(document.service),
        name=document.service,
        image=ImagePin(document.image),
        models=tuple(sorted(mine, key=lambda m: m.name)),
        replicas=document.replicas,
        strategy=Strategy(document.delivery.strategy),
        timeout_s=seconds(document.delivery.timeout),
        env=tuple(sorted(document.env.items())),
        state=State(document.state),
    )


def _model(folder: Folder, document: ModelFile, defaults: tuple[GateSpec, ...]) -> ModelSpec:
    return ModelSpec(
        path=folder.model_path(document.model),
        name=document.model,
        service=document.service,
        pin=ModelPin(document.model, document.version, Digest(document.digest)),
        gates=_merged(defaults, _gates(document.gates)),
        golden_rtol=document.golden.rtol,
        state=State(document.state),
    )


def _gates(entries: Iterable[GateEntry]) -> tuple[GateSpec, ...]:
    return tuple(GateSpec(entry.gate, entry.model_dump(exclude={"gate"}, exclude_unset=True)) for entry in entries)


def _merged(defaults: tuple[GateSpec, ...], own: tuple[GateSpec, ...]) -> tuple[GateSpec, ...]:
    """The environment's gates, those of the same id replaced by the model's own, then the model's others."""
    by_id = {gate.gate: gate for gate in defaults} | {gate.gate: gate for gate in own}
    return tuple(by_id.values())
