"""The entries of `gates` and `waivers`: one pydantic type per gate, told apart by the key `gate`.

What an option means is the gate's own business (`mlrelease.gates`); here stand its type, and what makes no sense
whatever the model. The JSON Schemas for editors are generated from these types.
"""

from __future__ import annotations

import datetime as dt
import math
import re
import sys
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, PlainValidator, WithJsonSchema, model_validator

from mlrelease.model.gate import MAX_GROWTH, WAIVABLE, GateSpec, Waiver
from mlrelease.spec.rules import WrongValueError
from mlrelease.spec.values import VERSION, exact_version

PERCENT = r"^[0-9]{1,4}(\.[0-9]{1,6})?%$"
DATE = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$"
# MLflow's rule for the name of a metric, without what would need quoting on a terminal
METRIC_NAME = r"^[A-Za-z0-9_][A-Za-z0-9_.:/ -]{0,249}$"
# a name that Python imports, what MLflow loads with, or a file of the version (see `gates.scan`)
GLOBAL = r"^((loader:)?[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)*(\.\*)?|file:[^*\n]+(/\*)?)$"


def _tolerance(value: object) -> float | str:
    """A share such as `5%`, or a plain number of the metric's own unit; neither below zero."""
    if isinstance(value, str) and re.fullmatch(PERCENT, value):
        return value
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= sys.float_info.max:
        return value
    raise WrongValueError("bad-value", "not a tolerance", "a percentage such as 5%, or a number of 0 or more")


def _share(text: str) -> str:
    if not re.fullmatch(PERCENT, text):
        raise WrongValueError("bad-value", "not a share", "a percentage such as 50%")
    return text


def _finite(value: float) -> float:
    if not math.isfinite(value):
        raise WrongValueError("bad-value", "not a finite number", "a finite number")
    return value


def _metric_name(text: str) -> str:
    if not re.fullmatch(METRIC_NAME, text):
        raise WrongValueError("bad-name", "no metric can have this name", "letters, digits, blanks and _ . : / -, at most 250")
    return text


def _global_name(text: str) -> str:
    if not re.fullmatch(GLOBAL, text):
        expected = "package.module.Name, package.module.*, loader:module, file:path or file:folder/*"
        raise WrongValueError("bad-value", "not the name of something that loading can run", expected)
    return text


def _waivable(text: str) -> str:
    if text not in WAIVABLE:
        raise WrongValueError("not-waivable", "no waiver opens this gate", "one of: " + ", ".join(WAIVABLE))
    return text


def _date(text: str) -> str:
    try:
        if re.fullmatch(DATE, text):
            dt.date.fromisoformat(text)
            return text
    except ValueError:
        pass
    raise WrongValueError("bad-value", "not a date", 'a day in quotes, such as "2026-12-31"')


Number = Annotated[float | None, AfterValidator(lambda v: v if v is None else _finite(v)), WithJsonSchema({"type": "number"})]
MetricName = Annotated[str, AfterValidator(_metric_name), WithJsonSchema({"type": "string", "pattern": METRIC_NAME})]
Tolerance = Annotated[
    Any,
    PlainValidator(_tolerance),
    WithJsonSchema({"anyOf": [{"type": "number", "minimum": 0}, {"type": "string", "pattern": PERCENT}]}),
]
GlobalName = Annotated[str, AfterValidator(_global_name), WithJsonSchema({"type": "string", "pattern": GLOBAL})]


class _Entry(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    gate: str


class ExistsGate(_Entry):
    """The version is in MLflow and ready."""

    gate: Literal["exists"] = Field(description="exists: the version is in MLflow and ready.")


class DigestGate(_Entry):
    """The version's artifacts are those of the pin."""

    gate: Literal["digest"] = Field(description="digest: the version's artifacts are those of the pin.")


class MetricGate(_Entry):
    """A metric of the version is within its bounds, and not worse than the baseline's by more than is allowed."""

    gate: Literal["metric"] = Field(description="metric: a logged metric keeps its bounds; several on one model are fine.")
    metric: MetricName = Field(description="The name under which the metric was logged.")
    min: Number = Field(default=None, description="The least value that opens.")
    max: Number = Field(default=None, description="The greatest value that opens.")
    max_regression: Tolerance = Field(
        default=None, description="How much worse than the baseline it may be: a share (5%) or a number of the metric's unit."
    )
    direction: Annotated[Literal["lower", "higher"] | None, WithJsonSchema({"enum": ["lower", "higher"]})] = Field(
        default=None, description="Which way is better; needed with max_regression unless min or max alone says it."
    )
    min_samples: Annotated[int | None, Field(ge=1), WithJsonSchema({"type": "integer", "minimum": 1})] = Field(
        default=None, description="On so many rows at least the metric must have been measured; fewer are inconclusive."
    )
    samples: Annotated[MetricName | None, WithJsonSchema({"type": "string", "pattern": METRIC_NAME})] = Field(
        default=None, description="The name of the logged metric that counts those rows."
    )

    @model_validator(mode="after")
    def _makes_sense(self) -> Self:
        if self.min is None and self.max is None and self.max_regression is None:
            raise WrongValueError("missing-key", "the gate has no bound", "min, max or max_regression", found="")
        if self.min is not None and self.max is not None and self.min > self.max:
            raise WrongValueError("bad-value", "min is above max: nothing opens", "min: not above max", found="")
        if self.max_regression is not None and self.direction is None and (self.min is None) is (self.max is None):
            expected = "direction: lower (or higher)"
            raise WrongValueError("missing-key", "nothing says which way is better", expected, found="")
        if (self.min_samples is None) is not (self.samples is None):
            expected = "min_samples and samples together"
            raise WrongValueError("missing-key", "min_samples and samples need each other", expected, found="")
        return self


class SignatureGate(_Entry):
    """The version accepts what the baseline accepted, and answers in the same form."""

    gate: Literal["signature"] = Field(description="signature: it accepts what the baseline accepted, and answers alike.")
    required: bool = Field(default=True, description="Whether a version without a signature is refused.")


class SizeGate(_Entry):
    """The version's files are not much larger than the baseline's."""

    gate: Literal["size"] = Field(description="size: the files are not much larger than those that serve now.")
    max_growth: Annotated[str, AfterValidator(_share), WithJsonSchema({"type": "string", "pattern": PERCENT})] = Field(
        default=MAX_GROWTH, description="By what share of the baseline's size they may grow; 100%: to twice as much."
    )
    max_mb: Annotated[
        float | None, Field(gt=0, allow_inf_nan=False), WithJsonSchema({"type": "number", "exclusiveMinimum": 0})
    ] = Field(default=None, description="How many megabytes (1,000,000 bytes) they may have.")


class ScanGate(_Entry):
    """Loading the version would run nothing that is not allowed."""

    gate: Literal["scan"] = Field(description="scan: loading the files would run nothing that is not allowed.")
    allow: list[GlobalName] = Field(
        default=[],
        description="What loading may run besides: package.Name, package.*, loader:module, file:path or file:folder/*.",
    )


class SmokeGate(_Entry):
    """The version loads and predicts its own example in a process of its own."""

    gate: Literal["smoke"] = Field(description="smoke: it loads and predicts its own example, alone in a process.")
    max_seconds: Annotated[float | None, Field(gt=0, le=3600), WithJsonSchema({"type": "number", "exclusiveMinimum": 0})] = (
        Field(default=None, description="How long loading may take.")
    )
    allow_nan: bool = Field(default=False, description="Whether predictions may be NaN or infinite.")


GateEntry = Annotated[
    ExistsGate | DigestGate | MetricGate | SignatureGate | SizeGate | ScanGate | SmokeGate, Field(discriminator="gate")
]

BY_ID: dict[str, type[_Entry]] = {
    get_args(kind.model_fields["gate"].annotation)[0]: kind
    for kind in (ExistsGate, DigestGate, MetricGate, SignatureGate, SizeGate, ScanGate, SmokeGate)
}
"""Gate id → the type of its entry: the gates that a file may name."""


def gate_spec(entry: _Entry) -> GateSpec:
    """The gate as configured, with the options that the file gives."""
    return GateSpec(entry.gate, entry.model_dump(exclude={"gate"}, exclude_unset=True))


def _no_twins(entries: list[Any]) -> list[Any]:
    """Two entries that answer one question: the second would silently replace the first."""
    seen: set[str] = set()
    for entry in entries:
        key = gate_spec(entry).key
        if key in seen:
            raise WrongValueError(
                "gate-twice", f"the gate {key} is listed twice", "each gate once (metric: once a metric)", found=key
            )
        seen.add(key)
    return entries


Gates = Annotated[
    list[GateEntry],
    AfterValidator(_no_twins),
    Field(description="The checks that must open before a new version goes live."),
]


class WaiverEntry(_Entry):
    """A gate that a person opens for one version, for a reason and a time."""

    gate: Annotated[str, AfterValidator(_waivable), WithJsonSchema({"enum": list(WAIVABLE)})] = Field(
        description="The gate that the waiver opens."
    )
    metric: Annotated[MetricName | None, WithJsonSchema({"type": "string", "pattern": METRIC_NAME})] = Field(
        default=None, description="Only the metric gate of this metric; without it every metric gate."
    )
    version: Annotated[str, AfterValidator(exact_version), WithJsonSchema({"type": "string", "pattern": VERSION})] = Field(
        description="The one version it is for, in quotes."
    )
    reason: str = Field(description="Why the version may go live all the same.")
    approver: str = Field(description="Who says so.")
    expires: Annotated[str, AfterValidator(_date), WithJsonSchema({"type": "string", "format": "date"})] = Field(
        description="The last day (UTC) on which it holds, in quotes."
    )

    @model_validator(mode="after")
    def _names_a_metric_of_a_metric_gate(self) -> Self:
        if self.metric is not None and self.gate != "metric":
            raise WrongValueError("bad-value", "only the gate metric has metrics", "gate: metric, or no metric", found="")
        return self

    def waiver(self) -> Waiver:
        """The waiver as a value."""
        return Waiver(self.gate, self.version, self.reason, self.approver, self.expires, self.metric or "")


Waivers = Annotated[list[WaiverEntry], Field(description="Gates that a person opened for one version, reviewed like a pin.")]
