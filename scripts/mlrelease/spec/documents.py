"""The three files as pydantic documents: keys, types and defaults exactly as written. Values are judged by `values`.

Nothing here knows positions or other files. The JSON Schemas for editors are generated from these types.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, WithJsonSchema

from mlrelease.model.spec import GOLDEN_RTOL
from mlrelease.spec import gates, values
from mlrelease.spec.gates import Gates, Waivers


def _text(pattern: str) -> WithJsonSchema:
    return WithJsonSchema({"type": "string", "pattern": pattern})


Name = Annotated[str, AfterValidator(values.name), _text(values.NAME)]
ModelName = Annotated[str, AfterValidator(values.model_name), _text(values.MODEL_NAME)]
Alias = Annotated[str, AfterValidator(values.alias), _text(values.MODEL_NAME)]
Version = Annotated[str, AfterValidator(values.exact_version), _text(values.VERSION)]
PinDigest = Annotated[str, AfterValidator(values.digest), _text(values.DIGEST)]
Image = Annotated[str, AfterValidator(values.image), _text(values.IMAGE)]
Duration = Annotated[str, AfterValidator(values.duration), _text(values.DURATION)]
Timeout = Annotated[str, AfterValidator(values.timeout), _text(values.DURATION)]
Listen = Annotated[str, AfterValidator(values.listen), _text(values.LISTEN)]
TrackingUri = Annotated[str, AfterValidator(values.tracking_uri), _text(r"^(https?://|sqlite:///|\$\{)")]
Variable = Annotated[str, AfterValidator(values.variable), _text(values.VARIABLE)]
Template = Annotated[str, AfterValidator(values.template)]
Python = Annotated[str, AfterValidator(values.python), _text(values.PYTHON)]
Present = Annotated[
    Literal["present", "absent"], Field(description="absent: take it away. Deleting the file takes nothing away.")
]
Schema = Annotated[Literal[1], Field(alias="schema", description="The version of this file's format.")]


class _Document(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class TargetBlock(_Document):
    """Where the environment runs."""

    kind: Literal["local"] = Field(description="local: processes on this machine behind one proxy.")
    listen: Listen = Field(description="host:port of the environment's one listener.")
    state_dir: Template = Field(
        default="",
        description="Folder for sockets, proxy files, caches and logs. Empty: below the user's or the system's state folder.",
    )


class EnvironmentFile(_Document):
    """environments/<environment>/environment.yaml: where things run, and under which policy."""

    schema_version: Schema
    environment: Name = Field(description="The name; equal to the folder's.")
    promotes_from: Name = Field(
        default="", description="The environment in which a bundle must have been verified before it moves forward here."
    )
    soak: Duration = Field(default="0s", description="For how long it must have run there.")
    approval: Literal["required", "none"] = Field(default="none", description="Whether forward changes wait for an approval.")
    tracking_uri: TrackingUri = Field(
        description="The MLflow server; ${NAME} is replaced by the variable where mlrelease runs."
    )
    alias: Alias = Field(default="", description="The MLflow alias that is written after verification.")
    target: TargetBlock = Field(description="Where the environment runs.")
    keep_warm: Duration = Field(
        default="10m", description="How long the bundle before stays up, so that going back is a switch."
    )
    gates: Gates = Field(default_factory=list)
    state: Present = "present"


class DeliveryBlock(_Document):
    """How a service moves from one bundle to the next."""

    strategy: Literal["blue_green"] = Field(default="blue_green", description="blue_green: start beside, verify, switch.")
    timeout: Timeout = Field(default="60s", description="How long one request to the service may take.")


class RuntimeBlock(_Document):
    """What runs a service's model server where the target runs no image."""

    python: Python = Field(
        default="",
        description="Absolute path of a Python interpreter with mlrelease[serve] on the host. Empty: mlrelease's own.",
    )


class ServiceFile(_Document):
    """environments/<environment>/services/<service>.yaml: one image pin, how many replicas, how it rolls out."""

    schema_version: Schema
    service: Name = Field(description="The name; equal to the file's.")
    image: Image = Field(description="The image pin: repository:tag@sha256:…; the tag is for people, the digest decides.")
    replicas: int = Field(default=1, ge=1, le=64, description="How many instances answer.")
    delivery: DeliveryBlock = Field(default_factory=DeliveryBlock, description="How the service rolls out.")
    runtime: RuntimeBlock = Field(
        default_factory=RuntimeBlock, description="What runs the model server where the target runs no image."
    )
    env: dict[Variable, Template] = Field(
        default={},
        description="Variables of the service's processes; ${NAME} is replaced where mlrelease runs.",
        json_schema_extra={"additionalProperties": False},
    )
    state: Present = "present"


class GoldenBlock(_Document):
    """How golden predictions are compared."""

    rtol: float = Field(
        default=GOLDEN_RTOL, ge=0, lt=1, allow_inf_nan=False, description="Relative tolerance of golden predictions."
    )


class ModelFile(_Document):
    """environments/<environment>/models/<model>.yaml: one model pin and the model's own gates."""

    schema_version: Schema
    service: Name = Field(description="The service that answers for this model.")
    model: ModelName = Field(description="The registered name in MLflow; equal to the file's.")
    version: Version = Field(description="The exact version, in quotes.")
    digest: PinDigest = Field(
        description="SHA-256 of the version's artifacts; written by `mlrelease bump`, checked everywhere."
    )
    gates: Gates = Field(default_factory=list)
    waivers: Waivers = Field(default_factory=list)
    golden: GoldenBlock = Field(default_factory=GoldenBlock, description="How golden predictions are compared.")
    state: Present = "present"


_BLOCKS: dict[str, type[BaseModel]] = {
    "target": TargetBlock,
    "delivery": DeliveryBlock,
    "golden": GoldenBlock,
    "runtime": RuntimeBlock,
    "waivers": gates.WaiverEntry,
}


def known_keys(document: type[BaseModel], loc: tuple[Any, ...]) -> tuple[str, ...]:
    """The keys that the mapping at `loc` of a document may have, as written in the file."""
    here: type[BaseModel] = document
    if loc:  # pydantic puts a gate's id behind its index
        here = gates.BY_ID[loc[2]] if loc[0] == "gates" else _BLOCKS[loc[0]]
    return tuple(info.alias or key for key, info in here.model_fields.items())
