"""`validate`: every finding in the files; then each pin against the ledger, MLflow and its gates. Loads no model."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from mlrelease.commands.online import online_spec
from mlrelease.commands.output import say
from mlrelease.commands.workspace import Workspace, cache_folder
from mlrelease.delivery.source import ENVIRONMENTS, Tracked
from mlrelease.errors import Error, UnavailableError
from mlrelease.history.fold import History, fold
from mlrelease.model.gate import GateResult, GateStatus
from mlrelease.model.spec import EnvironmentSpec, Spec
from mlrelease.registries.interface import ModelRegistry
from mlrelease.render import findings as findings_text
from mlrelease.render.report import Report

if TYPE_CHECKING:
    from mlrelease.delivery.proposal import Proposed

HEADERS = ("environment", "service", "model", "version", "gate", "status", "reason")
_ENVIRONMENTS = 4  # at once: one whose MLflow does not answer delays no other


@dataclass(frozen=True, slots=True)
class Checked:
    """What was found: the files' spec with its findings, and (unless `offline`) the gates' word on every pin.

    `base` are the environments at the merge base with the tracked branch, `histories` those of the ledger.
    """

    spec: Spec
    offline: bool
    base: Mapping[str, EnvironmentSpec] = field(default_factory=dict)
    histories: Mapping[str, History | None] = field(default_factory=dict)
    judged: tuple[tuple[Proposed, GateResult], ...] = ()


def validate(workspace: Workspace, *, offline: bool) -> Report:
    """Exit code 4 for findings, 5 when a gate failed or a changed pin is rejected, 1 when something could not be asked."""
    return report_of(check(workspace, offline=offline))


def check(workspace: Workspace, *, offline: bool, proposed: bool = False) -> Checked:
    """All that there is to find out. Loads no model; with `offline` nobody is asked.

    `proposed`: these files are somebody's proposal, so only servers that the merge base names too get this run's credentials.
    Raises `Error` when the ledger of an environment does not hold together.
    """
    if offline:
        return Checked(workspace.worktree_spec(), offline)
    spec = online_spec(workspace)
    base = base_of(workspace)
    histories = _histories(workspace, spec)
    trusted = frozenset(environment.tracking_uri for environment in base.values()) if proposed else None
    with ThreadPoolExecutor(_ENVIRONMENTS) as pool:
        judged = list(
            pool.map(lambda e: _judge(workspace, e, base.get(e.name), histories, trusted), spec.environments.values())
        )
    return Checked(spec, offline, base, histories, tuple(pair for pairs in judged for pair in pairs))


def report_of(checked: Checked) -> Report:
    """The report; the findings go to stderr, in GitHub Actions as annotations."""
    spec = checked.spec
    if checked.offline:
        verdict = f"{_count(spec)} (files only, nothing was asked)"
        return _report(spec, verdict, (), {"gates": []}, 4 if spec.findings else 0)
    rows: list[tuple[str, ...]] = []
    results: list[dict[str, object]] = []
    notes: list[str] = []
    codes = {4} if spec.findings else {0}
    for proposed, result in checked.judged:
        subject = proposed.subject
        place = (subject.environment, subject.service, subject.pin.name, subject.pin.version)
        results.append(result.to_json() | {"environment": place[0], "service": place[1], "version": place[3]})
        is_warning = result.gate == "rejected" and result.status is not GateStatus.PASSED
        if is_warning and result.opens:
            notes.append(f"warning: {place[0]}: {result.reason}")
        if not proposed.stands or not result.opens or is_warning or result.gate in ("exists", "digest"):
            rows.append((*place, result.gate, result.status.value, result.reason))
        if not result.opens:
            codes.add(5 if result.status in (GateStatus.FAILED, GateStatus.INCONCLUSIVE) else 1)
    rows.sort(key=lambda row: row[5] in ("passed", "skipped"))  # in a fleet, what does not open must not drown in what does
    opened = sum(result.opens for _, result in checked.judged)
    verdict = f"{_count(spec)}; gates {opened} of {len(results)}"
    code = next((c for c in (1, 5, 4) if c in codes), 0)
    return _report(spec, verdict, rows, {"gates": results}, code, notes)


def _report(
    spec: Spec,
    verdict: str,
    rows: Sequence[tuple[str, ...]],
    more: Mapping[str, object],
    code: int,
    notes: Sequence[str] = (),
) -> Report:
    if spec.findings and os.environ.get("GITHUB_ACTIONS") == "true":
        sys.stderr.write(findings_text.github(spec.findings))
    elif spec.findings:
        say(findings_text.text(spec.findings).rstrip("\n"))
    bad = next((row for row in rows if row[5] not in ("passed", "skipped")), None)
    command = ""
    if code == 0:
        command = "git push" if rows else "mlrelease validate"
    elif spec.findings:
        command = "mend the files named above, then: mlrelease validate"
    elif bad and bad[5] == GateStatus.ERRORED:
        command = "mlrelease validate"
    elif bad:
        command = f"mlrelease bump {bad[0]} {bad[2]} --to VERSION"
    return Report(
        verdict=verdict,
        data={"findings": findings_text.as_json(spec.findings)} | dict(more),
        headers=HEADERS,
        rows=rows,
        notes=notes,
        next=command,
        exit_code=code,
    )


def _count(spec: Spec) -> str:
    services = [service for environment in spec.environments.values() for service in environment.services.values()]
    models = sum(len(service.models) for service in services)
    found = _plural(len(spec.findings), "finding")
    parts = [_plural(len(spec.environments), "environment"), _plural(len(services), "service"), _plural(models, "model")]
    return f"{found} in {', '.join(parts)}"


def _plural(count: int, word: str) -> str:
    return f"{count} {word}{'' if count == 1 else 's'}"


def _histories(workspace: Workspace, spec: Spec) -> dict[str, History | None]:
    """The history of every environment of the files; None where its ledger does not hold together."""
    ledger = workspace.ledger()
    views = {name: ledger.read(name, fetch=not place) for place, name in enumerate(spec.environments)}
    return {name: None if view.broken else fold(name, view.events) for name, view in views.items()}


def _judge(
    workspace: Workspace,
    environment: EnvironmentSpec,
    base: EnvironmentSpec | None,
    histories: Mapping[str, History | None],
    trusted: frozenset[str] | None,
) -> tuple[tuple[Proposed, GateResult], ...]:
    """The gates' word on every pin. Files are read for pins that differ from the merge base; of all others metadata.

    A server whose address is not among the `trusted` ones (None: all are) is not asked, and its pins are errored.
    """
    from mlrelease.delivery.proposal import judge_proposal  # noqa: PLC0415 - requests costs 0.1 s
    from mlrelease.delivery.reports import Reports  # noqa: PLC0415
    from mlrelease.registries.cache import ArtifactCache  # noqa: PLC0415

    def registry() -> ModelRegistry:
        if trusted is not None and environment.tracking_uri not in trusted:
            # whoever proposes it would be sent our token, or see variables of ours in the path
            raise UnavailableError(
                f"the tracking_uri of {environment.name} is not on the tracked branch: it is not asked with these credentials",
                hint="propose the address alone first, or run mlrelease validate where you trust it",
            )
        return workspace.registry(environment)

    history = histories[environment.name]
    if history is None:
        raise Error(
            f"the ledger of {environment.name} does not hold together", hint=f"see where: mlrelease history {environment.name}"
        )
    folder = cache_folder(workspace.variables)
    return judge_proposal(
        environment,
        base,
        history,
        histories.get(environment.promotes_from),
        registry=registry,
        cache=ArtifactCache(folder),
        reports=Reports(folder.parent / "reports"),
        now=workspace.now(),
    )


def base_of(workspace: Workspace) -> Mapping[str, EnvironmentSpec]:
    """The environments at the merge base with the tracked branch; none when there is no base."""
    from mlrelease.spec.load import load  # noqa: PLC0415

    branch: Tracked = workspace.branch
    head, tip = workspace.git.head(), workspace.git.resolve(branch.ref)
    base = workspace.git.merge_base(head, tip) if head and tip else None
    return {} if base is None else load(workspace.git.tree(base, ENVIRONMENTS)).environments
