"""`release verify vX.Y.Z`: the record against git, ledger, MLflow and image registries, one line for each thing looked at."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from mlrelease.commands.output import say
from mlrelease.commands.release import proofs
from mlrelease.commands.release.images import of_images
from mlrelease.commands.release.proofs import Line, Status
from mlrelease.commands.release.tagged import Tagged, find_tagged
from mlrelease.commands.workspace import Workspace, cache_folder
from mlrelease.delivery.source import spec_at
from mlrelease.errors import Error
from mlrelease.model.bundle import ModelPin
from mlrelease.model.release import ReleasedEnvironment
from mlrelease.model.spec import EnvironmentSpec, Spec
from mlrelease.model.version import VersionFacts
from mlrelease.model.when import iso
from mlrelease.registries.asking import ask
from mlrelease.registries.interface import ModelRegistry
from mlrelease.render.report import Report

HEADERS = ("what", "check", "result", "reason")


@dataclass(frozen=True, slots=True)
class VerifyOptions:
    """`deep`: the artifacts of every model are downloaded and hashed again. `images`: the image registries are asked."""

    deep: bool = False
    images: bool = False


def verify(workspace: Workspace, tag: str, options: VerifyOptions) -> Report:
    """Proves the release. 5 when something is not as recorded, 1 when something could not be asked.

    Raises `Error` where there is no such tag, or it carries no record that can be read.
    """
    found = find_tagged(workspace, tag)
    lines = [*proofs.of_git(workspace, found), *_ledgers(workspace, found)]
    for name, environment in sorted(found.record.environments.items()):
        lines += _registry(workspace, found, name, environment, deep=options.deep)
        if options.images:
            lines += of_images(workspace, environment)
        else:
            lines.append(Line(name, "images", Status.SKIPPED, "not asked: --images asks their registries"))
    return _report(found, lines)


def _ledgers(workspace: Workspace, found: Tagged) -> Iterator[Line]:
    ledger = workspace.ledger()
    for name, environment in sorted(found.record.environments.items()):
        try:
            view = ledger.read(name)
            links = ledger.chain(name, fetch=False)
            changed = ledger.verify(name)
        except Error as error:
            yield Line(name, "ledger", Status.ERRORED, error.message)
            continue
        if not view.online:
            yield Line(
                name, "ledger", Status.ERRORED, f"{workspace.branch.remote} did not answer: this is the last known ledger"
            )
        yield from proofs.of_ledger(environment, links, changed)


def _registry(
    workspace: Workspace, found: Tagged, name: str, environment: ReleasedEnvironment, *, deep: bool
) -> Iterator[Line]:
    """MLflow's word on every pin: that the version is there, and is the one that was recorded."""
    spec = _spec_of(workspace, found, name)
    models = {model.pin: model for service in environment.services.values() for model in service.models}
    if spec is None:
        yield Line(name, "mlflow", Status.ERRORED, "the environment's file cannot be read: nobody knows whom to ask")
        return
    try:
        registry = workspace.site(spec).registry()
        answers = ask(registry, list(models))
    except Error as error:
        yield Line(name, "mlflow", Status.ERRORED, error.message)
        return
    for pin, model in sorted(models.items()):
        subject, facts = f"{pin.name} {pin.version}", answers[pin]
        if isinstance(facts, str):
            yield Line(subject, "mlflow", Status.ERRORED, facts)
        elif facts is None:
            yield Line(subject, "mlflow", Status.FAILED, f"the version is gone from {registry.where}")
        else:
            recorded = {"run": model.run_id, "logged model": model.model_id, "registered": model.registered_at}
            yield _metadata(subject, facts, recorded)
            if deep:
                yield _bytes(workspace, subject, pin, facts, registry)


def _metadata(subject: str, facts: VersionFacts, recorded: Mapping[str, str]) -> Line:
    now = {
        "run": facts.run_id,
        "logged model": facts.model_id,
        "registered": iso(facts.created_at) if facts.created_at else "",
    }
    other = [
        f"{what} {now[what] or 'none'} instead of {value}" for what, value in recorded.items() if value and now[what] != value
    ]
    if other:
        return Line(subject, "mlflow", Status.FAILED, f"it is another version under this number: {'; '.join(other)}")
    known = ", ".join(f"{what} {value}" for what, value in recorded.items() if value)
    return Line(subject, "mlflow", Status.PASSED, known or "it exists; the record has nothing to compare it with")


def _bytes(workspace: Workspace, subject: str, pin: ModelPin, facts: VersionFacts, registry: ModelRegistry) -> Line:
    from mlrelease.registries.cache import ArtifactCache  # noqa: PLC0415 - only a deep look pays for it

    say(f"{subject}: reading its artifacts")
    try:
        digest, _ = ArtifactCache(cache_folder(workspace.variables)).fetch(facts, registry)
    except Error as error:
        return Line(subject, "digest", Status.ERRORED, error.message)
    if digest != pin.digest:
        return Line(subject, "digest", Status.FAILED, f"its artifacts were changed: {digest} instead of {pin.digest}")
    return Line(subject, "digest", Status.PASSED, str(pin.digest))


def _spec_of(workspace: Workspace, found: Tagged, name: str) -> EnvironmentSpec | None:
    """The environment as the tracked branch has it (MLflow may have moved), else as it was released."""
    specs: list[Spec] = [spec_at(workspace.git, revision) for revision in (found.tip, found.tag.commit)]
    return next((spec.environments[name] for spec in specs if name in spec.environments), None)


def _report(found: Tagged, lines: list[Line]) -> Report:
    count = {status: sum(line.status is status for line in lines) for status in Status}
    bad = [f"{count[status]} {status}" for status in (Status.FAILED, Status.ERRORED) if count[status]]
    tag = found.record.version.tag
    proved = f"{count[Status.PASSED]} proved"
    skipped = f", {count[Status.SKIPPED]} not asked" if count[Status.SKIPPED] else ""
    return Report(
        verdict=f"{tag}: {', '.join([*bad, proved])}{skipped}",
        data={
            "release": tag,
            "commit": found.tag.commit,
            "lines": [{"what": x.what, "check": x.check, "result": str(x.status), "reason": x.reason} for x in lines],
        },
        headers=HEADERS,
        rows=[(line.what, line.check, str(line.status), line.reason) for line in lines],
        next="" if not bad else f"git show {tag}",
        exit_code=1 if count[Status.ERRORED] else 5 if count[Status.FAILED] else 0,
    )
