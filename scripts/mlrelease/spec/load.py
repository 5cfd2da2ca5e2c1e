"""All files below `environments/` → the typed spec and every finding. The files are read by the caller."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping

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
from mlrelease.spec.documents import EnvironmentFile, ModelFile, ServiceFile
from mlrelease.spec.folder import FORMS, HARMLESS, ROOT, Folder, linked, outside, stray
from mlrelease.spec.gates import gate_spec
from mlrelease.spec.rules import Defect
from mlrelease.spec.values import seconds


def load(files: Mapping[str, SourceFile], variables: Mapping[str, str] | None = None) -> Spec:
    """What the files say, and all findings, sorted. Keys are paths from the root of the repository, with `/`.

    Files elsewhere than below `environments/` are ignored. A service with a finding is left out and named in
    `EnvironmentSpec.invalid`; an environment whose own file has one is left out as a whole. Never raises for what
    the files hold. A finding that may concern any service makes all of its environment invalid.
    With `variables` it is a finding, too, that an MLflow address needs one that is not set, or means that of another
    environment with the same alias.
    """
    folders: dict[str, Folder] = {}
    findings: list[Finding] = []
    for path, source in sorted(files.items()):
        parts = path.split("/", 2)
        if parts[0] != ROOT or (len(parts) < 2 and not source.problem):
            continue
        if not _is_inside(path):
            findings.append(outside(path))
        elif len(parts) > 2:
            folder = folders.get(parts[1])
            if folder is None:
                folder = folders[parts[1]] = Folder(parts[1])
            folder.add(path, source)
        elif source.problem == "symlink":
            findings.append(linked(path))
        elif parts[-1] not in HARMLESS:
            findings.append(stray(path))
    if not folders:
        findings.append(Defect("no-environments", "there is no environment", expected=FORMS).at(ROOT))
    for folder in folders.values():
        folder.report_models()
        findings += [*folder.findings, *together.within(folder)]
    findings += together.between(folders.values(), variables)
    environments = {name: spec for name, folder in folders.items() if (spec := _environment(folder, findings)) is not None}
    return Spec(environments, tuple(sorted(set(findings))))


def _is_inside(path: str) -> bool:
    """Whether the path stays where it says. Git's own tools make no other; a tree made by hand may hold one."""
    return not ("/." in path or "//" in path) or not {"", ".", ".."} & set(path.split("/"))


def _environment(folder: Folder, findings: Iterable[Finding]) -> EnvironmentSpec | None:
    """The environment as far as it is valid; None when its own file is not."""
    mine = [f for f in findings if f.environment == folder.name]
    document = folder.environment.document if folder.environment else None
    if document is None or any(f.path == folder.path for f in mine):
        return None
    invalid = frozenset(f.service for f in mine if f.service)
    if any(not f.service for f in mine):
        # It cannot be known which service is meant: a model that is left out would change what the others serve.
        invalid = frozenset(folder.services)
    gates = tuple(map(gate_spec, document.gates))
    implicit = _implicit(document)
    found = (m.document for m in folder.models.values() if m is not None and m.document is not None)
    models = [_model(folder, document, gates, implicit) for document in found]
    by_service: dict[str, list[ModelSpec]] = defaultdict(list)
    for model in models:
        by_service[model.service].append(model)
    services = {
        name: _service(folder, service.document, by_service[name])
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
    mine = (m for m in models if m.state is State.PRESENT)
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
        python=document.runtime.python,
    )


def _model(folder: Folder, document: ModelFile, defaults: tuple[GateSpec, ...], implicit: tuple[GateSpec, ...]) -> ModelSpec:
    return ModelSpec(
        path=folder.model_path(document.model),
        name=document.model,
        service=document.service,
        pin=ModelPin(document.model, document.version, Digest(document.digest)),
        gates=_merged(defaults, tuple(map(gate_spec, document.gates)), implicit),
        golden_rtol=document.golden.rtol,
        state=State(document.state),
        waivers=tuple(entry.waiver() for entry in document.waivers),
    )


def _implicit(document: EnvironmentFile) -> tuple[GateSpec, ...]:
    """The gates that no file lists: a policy of the environment asks for them."""
    if not document.promotes_from:
        return ()
    options = {
        "environment": document.promotes_from,
        "soak_s": seconds(document.soak),
        "target": document.target.kind,
    }
    return (GateSpec("promoted_from", options),)


def _merged(defaults: tuple[GateSpec, ...], own: tuple[GateSpec, ...], implicit: tuple[GateSpec, ...]) -> tuple[GateSpec, ...]:
    """The environment's gates, those of the same key replaced by the model's own, then the model's others.

    Without any of those there are none: what is implicit vouches for where a model was, not for the model.
    """
    if not own and defaults:
        return (*defaults, *implicit) if implicit else defaults
    by_key = {gate.key: gate for gate in defaults} | {gate.key: gate for gate in own}
    return (*by_key.values(), *implicit) if by_key else ()
