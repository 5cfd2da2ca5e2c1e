"""`bump ENV MODEL --to VERSION`: the digest resolved, golden predictions computed in isolation, the pin moved, one commit."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from mlrelease.commands.output import say
from mlrelease.commands.pins import check_edit, edited_pin, model_of
from mlrelease.commands.workspace import Workspace, cache_folder, environment_of
from mlrelease.delivery.artifacts import compute_golden
from mlrelease.delivery.source import ENVIRONMENTS
from mlrelease.errors import Error
from mlrelease.history.fold import fold
from mlrelease.ledger.ledger import Ledger
from mlrelease.model.bundle import ModelPin, model_key
from mlrelease.model.spec import EnvironmentSpec
from mlrelease.registries.digest import manifest, manifest_json
from mlrelease.registries.interface import VersionFacts
from mlrelease.render.report import Report


@dataclass(frozen=True, slots=True)
class BumpOptions:
    """`to` is a version (empty: the newest that is registered)."""

    to: str
    commit: bool = True
    push: bool = False


def bump(workspace: Workspace, environment: str, model: str, options: BumpOptions) -> Report:
    """Moves one pin. Exit code 5 when the version was rejected here, 0 with nothing changed when it is pinned already.

    Raises `Error` when the version does not exist, cannot be read, or does not load and predict in isolation.
    """
    from mlrelease.registries.cache import ArtifactCache  # noqa: PLC0415 - requests costs 0.1 s
    from mlrelease.registries.connect import connect  # noqa: PLC0415
    from mlrelease.spec.expand import expand  # noqa: PLC0415

    env = environment_of(workspace.worktree_spec(), environment)
    service, spec = model_of(env, model)
    registry = connect(expand(env.tracking_uri, workspace.variables), workspace.variables)
    version = options.to or _newest(registry.versions(model), model, registry.where)
    facts = registry.describe([(model, version)])[model, version]
    if facts is None:
        known = ", ".join(v.version for v in registry.versions(model)[:10]) or "none"
        raise Error(f"{model} has no version {version} at {registry.where}", hint=f"versions there, newest first: {known}")
    say(f"{model} {version}: reading its artifacts")
    digest, path = ArtifactCache(cache_folder(workspace.variables)).fetch(facts, registry)
    pin = ModelPin(model, version, digest)
    if pin == spec.pin:
        return _report(env, spec.pin, pin, "already pinned: nothing to do", f"mlrelease plan {environment}", {})
    ledger = workspace.ledger()
    refused = _refused(ledger, env, service.name, pin)
    if refused:
        return _report(
            env, spec.pin, pin, refused, f'mlrelease unreject {environment} {model} {version} --reason "…"', {}, code=5
        )
    notes = _golden(ledger, pin, path)
    files = dict(workspace.git.worktree(ENVIRONMENTS))
    changed = edited_pin(files, spec, pin)
    check_edit(files, changed, environment, service.name)
    if not options.commit:
        for name, data in changed.items():
            (workspace.git.root() / name).write_bytes(data)
        return _report(env, spec.pin, pin, "edited, not committed", f"git commit {spec.path}", notes)
    subject = f"Pin {model} {version} in {environment}"
    body = f"{spec.pin.version} → {version}\n\nDigest {digest}" + (f"\nRun {facts.run_id}" if facts.run_id else "")
    sha = workspace.git.commit_paths(changed, f"{subject}\n\n{body}\n")
    branch = workspace.branch
    if options.push:
        workspace.git.push(branch.remote, branch.branch)
        return _report(env, spec.pin, pin, f"committed as {sha[:9]} and pushed", f"mlrelease deploy {environment}", notes)
    after = f"git push {branch.remote} {branch.branch}" if branch.remote else f"mlrelease deploy {environment}"
    return _report(env, spec.pin, pin, f"committed as {sha[:9]}", after, notes)


def _golden(ledger: Ledger, pin: ModelPin, path: Path) -> dict[str, str]:
    """Sees to it that the ledger has the version's golden predictions; what is to be said about them."""
    if ledger.golden(pin.digest) is not None:
        return {"golden": "golden predictions are in the ledger already"}
    say(f"{pin.name} {pin.version}: computing golden predictions in an isolated process")
    try:
        golden = compute_golden(path)
    except Error as error:
        raise Error(f"{pin.name} {pin.version} does not load and predict: {error.message}", hint=error.hint) from error
    try:
        # What the digest stands for, file by file, is kept once: the registry may lose it.
        files = json.loads(manifest_json(manifest(path)))
        ledger.put_manifest(pin.digest, {"schema": 1, "digest": pin.digest, "files": files})
        if golden is not None:
            ledger.put_golden(pin.digest, golden)
    except Error as error:
        return {"golden": f"golden predictions could not be stored ({error.message}): the host will compute them"}
    if golden is None:
        return {"golden": "the version has no input example: golden probes will be skipped (log_model(input_example=…))"}
    return {"golden": f"golden predictions of {_rows(golden['predictions'])} rows stored in the ledger"}


def _refused(ledger: Ledger, environment: EnvironmentSpec, service: str, pin: ModelPin) -> str:
    """Why this version may not move forward here: it was rejected, alone or with what else is pinned."""
    history = fold(environment.name, ledger.read(environment.name).events)
    wanted = (model_key(pin.name), str(pin.digest))
    bundle = environment.services[service].bundle
    components = {**bundle.components(), wanted[0]: wanted[1]}
    recorded = history.bundle(service)
    if recorded is not None and recorded.components().get(wanted[0]) == wanted[1]:
        return ""
    for rejection in reversed(history.rejections):
        if rejection.service == service and wanted in rejection.components and rejection.components <= set(components.items()):
            return f"{pin.name} {pin.version} was rejected in {environment.name} by {rejection.actor}: {rejection.reason}"
    return ""


def _newest(versions: tuple[VersionFacts, ...], model: str, where: str) -> str:
    if not versions:
        raise Error(f"there is no registered model {model!r} at {where}", hint="mlflow.register_model registers one")
    return versions[0].version


def _rows(predictions: object) -> int:
    return len(predictions) if isinstance(predictions, list) else 1


def _report(
    environment: EnvironmentSpec,
    before: ModelPin,
    after: ModelPin,
    what: str,
    command: str,
    notes: dict[str, str],
    code: int = 0,
) -> Report:
    same = before.version == after.version
    move = f"{after.version} (its digest)" if same and before != after else f"{before.version} → {after.version}"
    return Report(
        verdict=f"{environment.name}: {after.name} {move}: {what}",
        data={
            "environment": environment.name,
            "model": after.name,
            "before": {"version": before.version, "digest": before.digest},
            "after": {"version": after.version, "digest": after.digest},
        },
        notes=list(notes.values()),
        next=command,
        exit_code=code,
    )
