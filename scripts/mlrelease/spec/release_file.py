"""releases/vX.Y.Z.yaml: the immutable record of a release as a pydantic document, its text, and back.

A record is written by mlrelease alone. It may hold a thousand models, so it is not read through the tree with positions
that the three files of pins go through; aliases, tags and anchors are refused here too.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from mlrelease.errors import Error
from mlrelease.model.bundle import Digest, ImagePin, ModelPin
from mlrelease.model.release import (
    FOLDER,
    ApprovedBy,
    Release,
    ReleasedEnvironment,
    ReleasedModel,
    ReleasedService,
    Version,
)
from mlrelease.spec.documents import Image, ModelName, Name, PinDigest, Schema
from mlrelease.spec.documents import Version as ModelVersion
from mlrelease.spec.secrets import without
from mlrelease.spec.shown import shown

MAX_BYTES = 16 * 1024 * 1024
"""A thousand models make about a megabyte."""

MAX_DEPTH = 20
"""A record has eight levels."""

SCHEMA_LINE = f"# yaml-language-server: $schema={'../' * (FOLDER.count('/') + 1)}templates/schemas/release.v1.json\n"
HEADER = SCHEMA_LINE + "# Written by `mlrelease release`; never edited. `mlrelease release verify` proves it.\n"

Text = Annotated[str, StringConstraints(max_length=2000)]
Sha = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{40}([0-9a-f]{24})?$")]
Moment = Annotated[str, StringConstraints(pattern=r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:.]{8,15}Z$")]
Tag = Annotated[str, StringConstraints(pattern=r"^v[0-9]+\.[0-9]+\.[0-9]+$")]


class _Document(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class ModelEntry(_Document):
    """One model pin with its evidence."""

    model: ModelName = Field(description="The registered name in MLflow.")
    version: ModelVersion = Field(description="The exact version.")
    digest: PinDigest = Field(description="SHA-256 of the version's artifacts.")
    run_id: Text = Field(default="", description="MLflow's run that made it.")
    model_id: Text = Field(default="", description="MLflow's logged model.")
    registered_at: Text = Field(default="", description="When MLflow registered this version.")
    gates: dict[Text, Text] = Field(default={}, description="Each gate's word when it moved here.")
    metrics: dict[Text, float] = Field(default={}, description="MLflow's metrics of the version when the release was cut.")


class ApprovalEntry(_Document):
    """An approval of exactly this bundle."""

    event: Text = Field(description="The event in the ledger.")
    approver: Text = Field(description="Who said yes.")
    at: Moment = Field(description="When.")
    run_url: Text = Field(default="", description="The run in which it was given.")


class ServiceEntry(_Document):
    """One service as it answered."""

    bundle: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{12}$")] = Field(description="The id of the bundle.")
    image: Image = Field(description="The image pin.")
    settings: list[Text] = Field(default=[], description="Names of the variables that belong to the bundle.")
    receipt: Text = Field(description="The event in the ledger that proved it.")
    verified_at: Moment = Field(description="When it was proved.")
    revision: Text = Field(description="The commit that the receipt applied.")
    exercised: list[Text] = Field(default=[], description="The parts of the bundle that really ran.")
    approvals: list[ApprovalEntry] = Field(default=[], description="Who approved exactly this bundle.")
    models: list[ModelEntry] = Field(default=[], description="The models that it serves.")


class LedgerEntry(_Document):
    """The ledger of the environment when the release was cut."""

    height: int = Field(ge=0, description="How many events it had.")
    head: PinDigest = Field(description="The SHA-256 of its newest event.")


class EnvironmentEntry(_Document):
    """One environment: all that ran there."""

    checked: Literal["observed", "heartbeat", "ledger"] = Field(description="How it was seen to be in sync.")
    ledger: LedgerEntry
    services: dict[Name, ServiceEntry]


class ReleaseFile(_Document):
    """releases/vX.Y.Z.yaml: the whole state of what was released, with its evidence. Written by `mlrelease release`."""

    schema_version: Schema
    release: Tag = Field(description="The tag.")
    previous: Tag | Literal[""] = Field(default="", description="The release before; empty for the first.")
    at: Moment = Field(description="When it was cut.")
    actor: Text = Field(description="Who cut it.")
    revision: Sha = Field(description="The commit whose pins these are.")
    environments: dict[Name, EnvironmentEntry]


def dump(release: Release) -> bytes:
    """The record's file: keys in the order of the schema, empty ones left out."""
    data: dict[str, Any] = {
        "schema": 1,
        "release": release.version.tag,
        "previous": release.previous,
        "at": release.at,
        "actor": release.actor,
        "revision": release.revision,
        "environments": {name: _environment(one) for name, one in sorted(release.environments.items())},
    }
    text = yaml.dump(data, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=10_000, default_flow_style=False)
    return (HEADER + text).encode()


def load(path: str, data: bytes) -> Release:
    """The release that `dump` wrote. Raises `Error` naming the first thing that is not of a record's form."""
    if len(data) > MAX_BYTES:
        raise _bad(path, f"is larger than {MAX_BYTES // 2**20} MiB")
    try:
        text = data.decode()
        values = depth = 0
        for event in yaml.parse(text, Loader=yaml.CSafeLoader):
            if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
                raise _bad(path, "uses an anchor or alias")
            if getattr(event, "tag", None):
                raise _bad(path, "uses a tag")
            values += isinstance(event, yaml.NodeEvent)
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            if depth > MAX_DEPTH:  # libyaml takes the square of the depth
                raise _bad(path, "is nested too deeply")
        found = yaml.load(text, Loader=yaml.CSafeLoader)
        if values and _size(found) != values:  # PyYAML lets the last of two equal keys win
            raise _bad(path, "gives a key twice")
        document = ReleaseFile.model_validate(found)
    except ValidationError as e:
        first = e.errors(include_url=False, include_input=False)[0]
        place = shown(without(".".join(str(part) for part in first["loc"])), 200)
        raise _bad(path, f"is no release record: {place or 'the file'}: {first['msg']}") from e
    except (yaml.YAMLError, RecursionError, ValueError) as e:  # a ValueError, too, for a date or a number that is none
        raise _bad(path, "is not YAML in UTF-8") from e
    version = Version.parse(document.release)
    if version is None or path != version.path:
        raise _bad(path, f"says that it is {document.release}")
    return Release(
        version=version,
        previous=document.previous,
        at=document.at,
        actor=document.actor,
        revision=document.revision,
        environments={name: _released(name, entry) for name, entry in document.environments.items()},
    )


def _size(value: Any) -> int:
    """How many keys, values and collections it has, itself included."""
    if isinstance(value, dict):
        return 1 + len(value) + sum(map(_size, value.values()))
    return 1 + sum(map(_size, value)) if isinstance(value, list) else 1


def _bad(path: str, why: str) -> Error:
    return Error(f"{path} {why}", hint=f"git log -p -- {path} shows who changed it", where=path)


def _environment(one: ReleasedEnvironment) -> dict[str, Any]:
    return {
        "checked": one.checked,
        "ledger": {"height": one.height, "head": str(one.head)},
        "services": {name: _service(service) for name, service in sorted(one.services.items())},
    }


def _service(one: ReleasedService) -> dict[str, Any]:
    return _filled(
        bundle=one.bundle,
        image=one.image.reference,
        settings=list(one.settings),
        receipt=one.receipt,
        verified_at=one.verified_at,
        revision=one.revision,
        exercised=list(one.exercised),
        approvals=[_filled(event=a.event, approver=a.approver, at=a.at, run_url=a.run_url) for a in one.approvals],
        models=[_model(model) for model in one.models],
    )


def _model(one: ReleasedModel) -> dict[str, Any]:
    return _filled(
        model=one.pin.name,
        version=one.pin.version,
        digest=str(one.pin.digest),
        run_id=one.run_id,
        model_id=one.model_id,
        registered_at=one.registered_at,
        gates=dict(sorted(one.gates.items())),
        metrics={name: float(value) for name, value in sorted(one.metrics.items())},
    )


def _filled(**pairs: Any) -> dict[str, Any]:
    return {key: value for key, value in pairs.items() if value not in ("", [], {})}


def _released(name: str, entry: EnvironmentEntry) -> ReleasedEnvironment:
    services = {
        key: ReleasedService(
            name=key,
            bundle=one.bundle,
            image=ImagePin(one.image),
            models=tuple(
                ReleasedModel(
                    ModelPin(m.model, m.version, Digest(m.digest)), m.run_id, m.model_id, m.registered_at, m.gates, m.metrics
                )
                for m in one.models
            ),
            receipt=one.receipt,
            verified_at=one.verified_at,
            revision=one.revision,
            settings=tuple(one.settings),
            exercised=tuple(one.exercised),
            approvals=tuple(ApprovedBy(a.event, a.approver, a.at, a.run_url) for a in one.approvals),
        )
        for key, one in entry.services.items()
    }
    return ReleasedEnvironment(name, entry.checked, entry.ledger.height, Digest(entry.ledger.head), services)


class _Dumper(yaml.SafeDumper):
    """Lists indented below their key, as people write them, and no anchors for equal values."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:  # noqa: ARG002 - the signature is PyYAML's
        super().increase_indent(flow, False)

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002 - the same
        return True


__all__ = ["HEADER", "MAX_BYTES", "ReleaseFile", "dump", "load"]
