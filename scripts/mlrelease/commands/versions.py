"""From a registered version to a pin: found, its bytes hashed, its golden predictions kept. Used by bump, new and import."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlrelease.commands.output import say
from mlrelease.commands.workspace import Workspace, cache_folder
from mlrelease.delivery.admission import Admitted, admit
from mlrelease.delivery.artifacts import compute_golden, compute_goldens
from mlrelease.delivery.interpreter import interpreter_here
from mlrelease.delivery.reports import Reports
from mlrelease.errors import Error, UsageError
from mlrelease.history.fold import History
from mlrelease.ledger.ledger import Ledger
from mlrelease.model.bundle import Bundle, ComponentKey, Digest, ModelPin, model_key
from mlrelease.model.gate import GateSpec
from mlrelease.model.version import VersionFacts
from mlrelease.registries.digest import manifest, manifest_json
from mlrelease.registries.interface import ModelRegistry

IN_LEDGER = "golden predictions are in the ledger already"
NO_EXAMPLE = "the version has no input example: golden probes will be skipped (log_model(input_example=…))"


@dataclass(frozen=True, slots=True)
class Loadable:
    """A version that may be loaded: its folder, and the interpreter that its service names (empty: this program's)."""

    pin: ModelPin
    path: Admitted
    python: str = ""


def find_version(registry: ModelRegistry, model: str, version: str) -> VersionFacts:
    """The facts of a version, of the newest without one. Raises `Error` naming the versions that there are."""
    if not version:
        versions = registry.versions(model)
        if not versions:
            raise Error(
                f"there is no registered model {model!r} at {registry.where}", hint="mlflow.register_model registers one"
            )
        version = versions[0].version
    facts = registry.describe([(model, version)])[model, version]
    if facts is None:
        known = ", ".join(v.version for v in registry.versions(model)[:10]) or "none"
        raise Error(f"{model} has no version {version} at {registry.where}", hint=f"versions there, newest first: {known}")
    return facts


def to_load(workspace: Workspace, pin: ModelPin, path: Path, gates: Sequence[GateSpec], python: str) -> Loadable:
    """A version for loading. Raises `NotAdmittedError` where its scan does not open under these gates."""
    return Loadable(pin, admit(pin.digest, path, gates, Reports(cache_folder(workspace.variables).parent / "reports")), python)


def keep_golden(ledger: Ledger, version: Loadable) -> str:
    """Sees to it that the ledger has the version's golden predictions; what is to be said about them.

    They are left to the host where the service's own interpreter cannot be used on this machine: another one's may not
    be what it answers. Raises `Error` when the version does not load and predict.
    """
    pin, path = version.pin, version.path
    if ledger.golden(pin.digest) is not None:
        return IN_LEDGER
    try:
        interpreter = interpreter_here(version.python)
    except Error as error:
        return leave_to_host(ledger, [version], error.message)[pin.digest]
    say(f"{pin.name} {pin.version}: computing golden predictions in an isolated process")
    try:
        golden = compute_golden(path, python=interpreter)
    except Error as error:
        raise Error(f"{pin.name} {pin.version} does not load and predict: {error.message}", hint=error.hint) from error
    try:
        ledger.put_manifest(pin.digest, _manifest(pin, path))
        if golden is not None:
            ledger.put_golden(pin.digest, golden)
    except Error as error:
        return _not_stored(error)
    if golden is None:
        return NO_EXAMPLE
    return f"golden predictions of {_rows(golden['predictions'])} rows stored in the ledger"


def keep_goldens(ledger: Ledger, wanted: Sequence[Loadable]) -> dict[Digest, str | Error]:
    """The same for many versions, of one isolated process for each interpreter and in few commits: by digest, what is to be
    said, or the error.
    """
    known = ledger.goldens([version.pin.digest for version in wanted])
    said: dict[Digest, str | Error] = {v.pin.digest: IN_LEDGER for v in wanted if v.pin.digest in known}
    todo = [version for version in wanted if version.pin.digest not in known]
    for python in dict.fromkeys(version.python for version in todo):
        said |= _keep_together(ledger, [version for version in todo if version.python == python], python)
    return said


def _keep_together(ledger: Ledger, todo: Sequence[Loadable], python: str) -> dict[Digest, str | Error]:
    said: dict[Digest, str | Error] = {}
    try:
        interpreter = interpreter_here(python)
    except Error as error:
        return dict(leave_to_host(ledger, todo, error.message))
    say(f"computing golden predictions of {len(todo)} versions in isolated processes")
    goldens: dict[str, dict[str, Any]] = {}
    manifests: dict[str, dict[str, Any]] = {}
    computed = compute_goldens([version.path for version in todo], python=interpreter)
    for version, golden in zip(todo, computed, strict=True):
        pin, path = version.pin, version.path
        if isinstance(golden, Error):
            said[pin.digest] = Error(f"does not load and predict: {golden.message}", hint=golden.hint)
            continue
        manifests[pin.digest] = _manifest(pin, path)
        said[pin.digest] = NO_EXAMPLE
        if golden is not None:
            goldens[pin.digest] = golden
            said[pin.digest] = f"golden predictions of {_rows(golden['predictions'])} rows stored in the ledger"
    try:
        ledger.put_manifests(manifests)
        ledger.put_goldens(list(goldens.items()))
    except Error as error:
        said |= {v.pin.digest: _not_stored(error) for v in todo if v.pin.digest in manifests}
    return said


def leave_to_host(ledger: Ledger, versions: Sequence[Loadable], why: str = "") -> dict[Digest, str]:
    """Keeps the manifests alone, in one commit; by digest, that the host computes the golden predictions, and why."""
    said = "golden predictions are left to the host" + (f": {why}" if why else "")
    try:
        ledger.put_manifests({one.pin.digest: _manifest(one.pin, one.path) for one in versions})
    except Error as error:
        said = f"the manifest could not be stored ({error.message}); {said}"
    return {one.pin.digest: said for one in versions}


def _not_stored(error: Error) -> str:
    return f"golden predictions could not be stored ({error.message}): the host will compute them"


def _manifest(pin: ModelPin, path: Path) -> dict[str, Any]:
    """What the digest stands for, file by file: the registry may lose it."""
    return {"schema": 1, "digest": pin.digest, "files": json.loads(manifest_json(manifest(path)))}


def refused(history: History, bundle: Bundle, pin: ModelPin) -> str:
    """Why this version may not move forward in `bundle`: it was rejected, alone or with what else is there. Empty: it may."""
    wanted: tuple[ComponentKey, str] = (model_key(pin.name), str(pin.digest))
    components = {**bundle.components(), wanted[0]: wanted[1]}
    recorded = history.bundle(bundle.service)
    if recorded is not None and recorded.components().get(wanted[0]) == wanted[1]:
        return ""
    for rejection in reversed(history.rejections):
        if (
            rejection.service == bundle.service
            and wanted in rejection.components
            and rejection.components <= set(components.items())
        ):
            return f"{pin.name} {pin.version} was rejected in {history.environment} by {rejection.actor}: {rejection.reason}"
    return ""


def check_alias(alias: str) -> str:
    """The alias, if it can be one. Raises `UsageError` for what MLflow reserves, as for an empty one."""
    from mlrelease.spec import values  # noqa: PLC0415 - with the spec, not by `--help`
    from mlrelease.spec.rules import WrongValueError  # noqa: PLC0415

    if not alias:
        raise UsageError("which alias?", hint="name it: --alias champion")
    try:
        return values.alias(alias)
    except WrongValueError as error:
        raise UsageError(f"{error.message}: {alias!r}", hint="name one that somebody set: --alias champion") from error


def listed(names: Iterable[str]) -> str:
    """Names for a hint: sorted, at most ten, or `none`."""
    found = sorted(names)
    return ", ".join(found[:10]) + (f" and {len(found) - 10} more" if len(found) > 10 else "") if found else "none"


def _rows(predictions: object) -> int:
    return len(predictions) if isinstance(predictions, list) else 1
