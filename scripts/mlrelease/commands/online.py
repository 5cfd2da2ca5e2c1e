"""The spec of the work tree with what only the world outside the files knows: variables, and what the ledger has running."""

from __future__ import annotations

from dataclasses import replace

from mlrelease.commands.workspace import Workspace
from mlrelease.delivery.source import ENVIRONMENTS
from mlrelease.history.fold import fold
from mlrelease.model.spec import Spec


def online_spec(workspace: Workspace) -> Spec:
    """The spec with the findings that need variables and the ledger, too.

    An environment whose MLflow address lacks its variable is left out, for nothing of it can be asked.
    """
    from mlrelease.plan.undeclared import undeclared  # noqa: PLC0415 - pydantic costs 0.1 s that `--help` does not pay
    from mlrelease.spec.load import load  # noqa: PLC0415

    files = workspace.git.worktree(ENVIRONMENTS)
    spec = load(files, workspace.variables)
    ledger = workspace.ledger()
    histories = {name: fold(name, ledger.read(name, fetch=False).events) for name in ledger.environments()}
    return replace(spec, findings=tuple(sorted({*spec.findings, *undeclared(files, histories)})))
