"""Moving pins in files: which file holds a pin, the edited bytes, and one commit that says why. Used by bump and rollback."""

from __future__ import annotations

from collections.abc import Mapping

from mlrelease.commands.workspace import Workspace
from mlrelease.delivery.source import ENVIRONMENTS, spec_at
from mlrelease.errors import Error
from mlrelease.model.bundle import Bundle, ModelPin
from mlrelease.model.spec import EnvironmentSpec, ModelSpec, ServiceSpec, SourceFile, Spec
from mlrelease.spec.edit import set_image, set_model_pin


def model_of(environment: EnvironmentSpec, name: str) -> tuple[ServiceSpec, ModelSpec]:
    """The model of that name with its service. Raises `Error` when the environment has none."""
    for service in environment.services.values():
        for model in service.models:
            if model.name == name:
                return service, model
    known = ", ".join(sorted(m.name for s in environment.services.values() for m in s.models)) or "none"
    raise Error(f"{environment.name} has no model {name!r}", hint=f"models there: {known}")


def edited_pin(files: Mapping[str, SourceFile], model: ModelSpec, pin: ModelPin) -> dict[str, bytes]:
    """The model's file with another pin."""
    return {model.path: set_model_pin(files[model.path].data, pin.version, pin.digest)}


def files_for(
    workspace: Workspace, files: Mapping[str, SourceFile], service: ServiceSpec, target: Bundle, revision: str
) -> dict[str, bytes]:
    """The files that differ when the service should be `target` again, by their new bytes.

    Only pin tokens change; where the settings that change answers differ, the service file of `revision` comes back
    whole. Raises `Error` when the target serves other models than the files name: `git revert` moves whole files.
    """
    changed: dict[str, bytes] = {}
    current = {model.name: model for model in service.models}
    wanted = {pin.name: pin for pin in target.models}
    if set(current) != set(wanted):
        raise Error(
            f"{service.name} served {', '.join(sorted(wanted)) or 'no model'} then, {', '.join(sorted(current))} now",
            hint="git revert the commits that added or removed a model",
        )
    for name, pin in wanted.items():
        if current[name].pin != pin:
            changed |= edited_pin(files, current[name], pin)
    if service.env != target.settings:
        old = workspace.git.tree(revision, ENVIRONMENTS).get(service.path) if workspace.git.resolve(revision) else None
        if old is None or old.problem:
            raise Error(f"{service.path} of {revision[:9]} is not in this clone", hint="git fetch --unshallow")
        changed[service.path] = set_image(old.data, target.image.reference)
    elif service.image != target.image:
        changed[service.path] = set_image(files[service.path].data, target.image.reference)
    return changed


def check_edit(files: Mapping[str, SourceFile], changed: Mapping[str, bytes], environment: str, service: str) -> Spec:
    """The spec after the edit. Raises `Error` when the edit itself would bring a finding to this service."""
    from mlrelease.spec.load import load  # noqa: PLC0415

    spec = load({**files, **{path: SourceFile(data) for path, data in changed.items()}})
    bad = [f for f in spec.findings if f.environment in ("", environment) and f.service in ("", service)]
    if bad:
        raise Error(f"the edit would be invalid: {bad[0].place}: {bad[0].message}", hint="mlrelease validate --offline")
    return spec


def tip_files(workspace: Workspace, revision: str) -> tuple[dict[str, SourceFile], Spec]:
    """The files of a commit, and what they say."""
    return dict(workspace.git.tree(revision, ENVIRONMENTS)), spec_at(workspace.git, revision)
