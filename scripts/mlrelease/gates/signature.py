"""`signature`: whoever could ask the baseline can ask this version, and gets an answer of the same form.

Options: `required` (default true: a version without a signature fails; false: it is not compared). No minimum sample,
no numbers. Compared is what two `MLmodel` files declare; no model is loaded.

A request is safe when MLflow's enforcement of the candidate's signature accepts whatever the baseline's accepted. Tried
out on MLflow 3.17, through the JSON protocol that the server speaks:

- an input that the candidate does not know is ignored, so one may be dropped, required or not;
- an optional input (MLflow's word for a column that may be left out) may be new, but none may be required that was not;
- types may widen as in `WIDER`. JSON numbers are read into the declared type without a word, so that a *narrower* one
  would answer wrongly instead of refusing: 0.5 becomes 0 in a long, 2**53 + 1 becomes 1 in an integer. A long is safe in
  a double up to 2**53, and callers of the Python API that pass a frame of int64 are refused there; it is widened all the
  same, since a column of whole numbers becomes one of doubles as soon as a single value is missing.

Answers go the other way: the same names, each of a type that the baseline's holds. `Schema ==` of MLflow depends on the
order of columns and is no such check.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from mlrelease.gates.interface import Column, Evidence, Signature, Subject, not_moving, word
from mlrelease.model.bundle import ModelPin
from mlrelease.model.gate import GateResult, GateStatus, SkipReason

ID = "signature"

WIDER: Mapping[str, frozenset[str]] = MappingProxyType(
    {
        "integer": frozenset({"long", "double"}),
        "long": frozenset({"double"}),
        "float": frozenset({"double"}),
    }
)
"""Type → the types that hold each of its values. A boolean in a number, anything in a string: MLflow reads them so from
JSON, but the model would see another thing than it was trained on. `any` holds everything."""

_TENSOR = re.compile(r"tensor\((\w+), \[((?:-?[0-9]+(?:, -?[0-9]+)*)?)\]\)")
_MOST = 3  # so many columns are named in the reason; the evidence has them all


def evaluate(options: Mapping[str, Any], subject: Subject, evidence: Evidence) -> GateResult:
    """Failed with the columns named; inconclusive where the baseline's files are no longer to be had."""
    unknown = sorted(set(options) - {"required"})
    if unknown:
        return word(ID, subject, GateStatus.ERRORED, f"the gate has no option {unknown[0]!r}")
    if still := not_moving(ID, subject):
        return still
    label = f"{subject.pin.name} version {subject.pin.version}"
    mine = evidence.signature
    if mine is None:
        if evidence.asked and evidence.facts is None:
            return word(ID, subject, GateStatus.FAILED, f"{label} does not exist: it has no signature")
        problem = evidence.digest_error or evidence.error or "its files were not read, or are not the pin's"
        return word(ID, subject, GateStatus.ERRORED, problem)
    if mine.inputs is None:
        if options.get("required", True):
            reason = f"{label} declares no inputs: log it with a signature or an input example"
            return word(ID, subject, GateStatus.FAILED, reason)
        reason = "it has no signature, and none is required"
        return word(ID, subject, GateStatus.SKIPPED, reason, skip_reason=SkipReason.NOT_APPLICABLE)
    if subject.baseline is None:
        reason = f"it declares {_size(mine)}; first deploy here: nothing to compare with"
        return word(ID, subject, GateStatus.SKIPPED, reason, skip_reason=SkipReason.FIRST_DEPLOY)
    return _against(subject.baseline, subject, mine, evidence)


def _against(pin: ModelPin, subject: Subject, mine: Signature, evidence: Evidence) -> GateResult:
    base = evidence.baseline_signature
    origin = {"version": pin.version, "origin": subject.baseline_origin.value}
    label = f"version {pin.version} ({subject.baseline_origin})"
    if base is None:
        if evidence.baseline_gone:
            reason = f"nothing to compare with: the baseline, {label}, {evidence.baseline_gone}"
            return word(ID, subject, GateStatus.INCONCLUSIVE, reason, baseline=origin)
        problem = evidence.baseline_error or "its files were not read"
        reason = f"the baseline, {label}, cannot be read: {problem}"
        return word(ID, subject, GateStatus.ERRORED, reason, baseline=origin)
    if base.inputs is None and base.outputs is None:
        reason = f"the baseline, {label}, declares no signature: nothing was promised"
        return word(ID, subject, GateStatus.SKIPPED, reason, skip_reason=SkipReason.NOT_APPLICABLE, baseline=origin)
    broken = [*_requests(base, mine), *_answers(base, mine)]
    if broken:
        more = f" (and {len(broken) - _MOST} more)" if len(broken) > _MOST else ""
        reason = f"{'; '.join(broken[:_MOST])}{more}, against {label}"
        return word(ID, subject, GateStatus.FAILED, reason, broken=broken, baseline=origin)
    notes = _notes(base, mine)
    reason = "; ".join([f"it accepts what {label} accepted, and answers in the same form", *notes[:_MOST]])
    return word(ID, subject, GateStatus.PASSED, reason, notes=notes, baseline=origin)


def _requests(base: Signature, mine: Signature) -> list[str]:
    """Why a request that the baseline accepted would be refused, or misread."""
    if base.inputs is None or mine.inputs is None:  # a baseline without inputs promised nothing about them
        return []
    before, now = _named(base.inputs), _named(mine.inputs)
    if _is_tensor(base.inputs) is not _is_tensor(mine.inputs):
        kinds = ("columns", "tensors") if _is_tensor(mine.inputs) else ("tensors", "columns")
        return [f"it takes {kinds[1]} where {kinds[0]} were taken"]
    broken = []
    for name, column in now.items():
        earlier = before.get(name)
        if earlier is None:
            if column.required:
                broken.append(f"new required input {name} ({column.type})")
        elif not _holds(earlier.type, column.type):
            broken.append(f"input {name} was {earlier.type} and is {column.type}")
        elif column.required and not earlier.required:
            broken.append(f"input {name} could be left out and is now required")
    if _is_tensor(base.inputs):
        broken += [f"input {name} is gone" for name in before if name not in now]
    return broken


def _answers(base: Signature, mine: Signature) -> list[str]:
    """Why whoever reads the baseline's answers could not read these."""
    if base.outputs is None:
        return []
    if mine.outputs is None:
        return ["it no longer declares what it answers"]
    before, now = _named(base.outputs), _named(mine.outputs)
    broken = [f"output {name} is gone" for name in before if name not in now]
    broken += [f"new output {name} ({column.type})" for name, column in now.items() if name not in before]
    for name, column in now.items():
        earlier = before.get(name)
        if earlier is not None and not _holds(column.type, earlier.type):
            broken.append(f"output {name} was {earlier.type} and is {column.type}")
        elif earlier is not None and earlier.required and not column.required:
            broken.append(f"output {name} was always there and may now be left out")
    return broken


def _holds(inner: str, outer: str) -> bool:
    """Whether every value of the one type is one of the other's, and is read as the same."""
    if outer in (inner, "any") or outer in WIDER.get(inner, ()):
        return True
    left, right = _TENSOR.fullmatch(inner), _TENSOR.fullmatch(outer)
    if left is None or right is None or left[1] != right[1]:
        return False
    sizes, frame = (re.findall("-?[0-9]+", found[2]) for found in (left, right))
    return len(sizes) == len(frame) and all(room in ("-1", size) for size, room in zip(sizes, frame, strict=True))


def _notes(base: Signature, mine: Signature) -> list[str]:
    """What changed without breaking anybody."""
    if base.inputs is None or mine.inputs is None:  # nothing was said of them, so nothing of them is new
        return []
    before, now = _named(base.inputs), _named(mine.inputs)
    notes = [f"input {name} is no longer used" for name in before if name not in now]
    notes += [f"new optional input {name}" for name in now if name not in before]
    notes += [
        f"input {name} was {before[name].type} and is {column.type}"
        for name, column in now.items()
        if name in before and before[name].type != column.type
    ]
    return notes


def _named(columns: tuple[Column, ...]) -> dict[str, Column]:
    """The columns by name; those without one by their place, as MLflow takes them."""
    return {column.name or f"#{place}": column for place, column in enumerate(columns, 1)}


def _is_tensor(columns: tuple[Column, ...]) -> bool:
    return any(column.type.startswith("tensor(") for column in columns)


def _size(signature: Signature) -> str:
    inputs, outputs = len(signature.inputs or ()), len(signature.outputs or ())
    return f"{inputs} input{'' if inputs == 1 else 's'} and {outputs} output{'' if outputs == 1 else 's'}"
