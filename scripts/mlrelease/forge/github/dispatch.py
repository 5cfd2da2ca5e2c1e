"""Starting workflows: by their file, or by an event of the repository."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mlrelease.errors import UsageError
from mlrelease.forge.github.client import GitHub, part

MOST_INPUTS = 25
MOST_KEYS = 10
"""Top-level keys of a `client_payload` (GitHub's documentation of repository_dispatch)."""


def workflow(github: GitHub, file: str, ref: str, inputs: Mapping[str, str]) -> None:
    """Starts the workflow of that file at a branch or tag. Raises `InvalidError` for inputs that it does not declare.

    Never repeated: where the answer is lost, `MaybeDoneError` leaves it to the caller to look at the runs.
    """
    if len(inputs) > MOST_INPUTS:
        raise UsageError(f"a workflow takes at most {MOST_INPUTS} inputs, not {len(inputs)}")
    github.post(f"actions/workflows/{part(file)}/dispatches", {"ref": ref, "inputs": dict(inputs)})


def repository(github: GitHub, event_type: str, payload: Mapping[str, Any]) -> None:
    """Sends an event: workflows on the default branch with `on: repository_dispatch` of that type start. As `workflow`."""
    if len(payload) > MOST_KEYS:
        raise UsageError(f"a payload has at most {MOST_KEYS} keys, not {len(payload)}", hint="nest the others in one of them")
    github.post("dispatches", {"event_type": event_type, "client_payload": dict(payload)})
