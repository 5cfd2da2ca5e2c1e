"""What is known of where a bundle came from, as values and as JSON with stable keys; the words are `why.py`'s. Pure."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from mlrelease.history.fold import History
from mlrelease.history.landings import PinCommit
from mlrelease.history.lineage import Fate, Origin, Run, approval_of
from mlrelease.history.moments import Era, Stretch
from mlrelease.model.bundle import IMAGE, SETTINGS, Bundle
from mlrelease.model.event import Approved, DeployFinished, ServiceReceipt
from mlrelease.model.event_json import receipt_to_json
from mlrelease.model.run import RunFacts
from mlrelease.model.when import iso

NEVER = "–"
LEDGER, GIT, MLFLOW, GITHUB = "ledger", "git", "MLflow", "GitHub"


@dataclass(frozen=True, slots=True)
class Pull:
    """A pull request. `approvers` is None where GitHub was not asked; `source` says who gave the number."""

    number: int
    source: str
    title: str = ""
    author: str = ""
    url: str = ""
    approvers: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class Trained:
    """What MLflow and the ledger hold of a model version; `problem` is why MLflow did not say (empty: it did)."""

    run: RunFacts | None = None
    where: str = ""
    problem: str = ""
    golden: str = ""
    golden_rows: int = 0


@dataclass(frozen=True, slots=True)
class Told:
    """One component, and all that was found of it. `before` is what was known when it came, `first` its first proof here."""

    name: str
    origin: Origin
    before: History
    first: DeployFinished | None = None
    commit: PinCommit | None = None
    pull: Pull | None = None
    trained: Trained | None = None
    fates: tuple[Fate, ...] = ()

    def first_gates(self, service: str) -> list[dict[str, Any]]:
        """What the gates said when it was first proved here, before it went and came back; empty if it never went."""
        if self.first is None or self.first.id == self.origin.event.id:
            return []
        return [dict(r) for r in self.first.services[service].gate_results if r.get("component") == self.origin.key]


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why a bundle ran in an environment. `proof` is the receipt that proved it, else the newest one that tried to."""

    environment: str
    service: str
    bundle: Bundle
    proof: DeployFinished
    era: Era | None
    now: Stretch
    components: tuple[Told, ...]
    left_out: int = 0
    runs: tuple[Run, ...] = ()

    @property
    def receipt(self) -> ServiceReceipt:
        """What that pass did to this service."""
        return self.proof.services[self.service]


def explanation_json(explanation: Explanation) -> dict[str, Any]:
    """The same with stable keys, whole."""
    proof, era = explanation.proof, explanation.era
    return {
        "environment": explanation.environment,
        "service": explanation.service,
        "bundle": explanation.bundle.to_json(),
        "serves_now": explanation.now.bundle is not None and explanation.now.bundle.id == explanation.bundle.id,
        "certainty_now": explanation.now.certainty.value,
        "since": moment_json(era.began) if era else "",
        "until": moment_json(era.ended) if era else "",
        "receipt": {
            "id": proof.id,
            "at": iso(proof.at),
            "started_at": iso(proof.started_at),
            "revision": proof.revision,
            "actor": proof.actor,
            "trigger": proof.trigger,
            "run_url": proof.run_url,
        }
        | receipt_to_json(explanation.receipt),
        "components": {told.origin.key: _component_json(explanation, told) for told in explanation.components},
        "left_out": explanation.left_out,
        "runs": [
            {
                "environment": run.environment,
                "service": run.service,
                "since": moment_json(run.era.began),
                "until": moment_json(run.era.ended),
                "event": run.era.event,
            }
            for run in explanation.runs
        ],
    }


def commit_json(commit: PinCommit | None) -> dict[str, Any] | None:
    """A commit with stable keys."""
    if commit is None:
        return None
    return {
        "sha": commit.sha,
        "subject": commit.subject,
        "message": commit.body,
        "author": commit.author,
        "authored_at": iso(commit.authored_at),
        "landed_at": iso(commit.landed_at),
        "written_by": commit.written,
        "pull": commit.pull,
    }


def approval_json(approval: Approved | None) -> dict[str, Any] | None:
    """An approval with stable keys."""
    if approval is None:
        return None
    return {
        "id": approval.id,
        "approver": approval.approver,
        "at": iso(approval.at),
        "run_url": approval.run_url,
        "reason": approval.reason,
    }


def when(moment: float) -> str:
    """The moment to the second; a dash for one that lies before or after everything."""
    return iso(moment)[:19] + "Z" if math.isfinite(moment) else NEVER


def moment_json(moment: float) -> str:
    """ISO, empty for one that lies before or after everything."""
    return iso(moment) if math.isfinite(moment) else ""


def _component_json(explanation: Explanation, told: Told) -> dict[str, Any]:
    event, receipt, trained = told.origin.event, told.origin.receipt, told.trained
    hold = told.before.pinned_hold(explanation.service, event.started_at)
    run = trained.run if trained else None
    pull = told.pull
    return {
        "name": told.name,
        "value": told.origin.value,
        "event": event.id,
        "at": iso(event.at),
        "first_proved": {"event": told.first.id, "at": iso(told.first.at)} if told.first else None,
        "change": receipt.change.value,
        "outcome": receipt.outcome.value,
        "commit": commit_json(told.commit) if hold is None else None,
        "held_at": hold.pinned_to if hold else "",
        "pull": {
            "number": pull.number,
            "source": pull.source,
            "title": pull.title,
            "author": pull.author,
            "url": pull.url,
            "approvers": list(pull.approvers) if pull.approvers is not None else None,
        }
        if pull
        else None,
        "approval": approval_json(approval_of(told.before, event, explanation.service)),
        "gates": [dict(result) for result in receipt.gate_results if result.get("component") == told.origin.key],
        "first_gates": told.first_gates(explanation.service),
        "run": _run_json(run) if run else None,
        "run_problem": trained.problem if trained else "",
        "golden": {"digest": trained.golden, "rows": trained.golden_rows} if trained and trained.golden else None,
        "since": [
            {"what": f.kind.value, "at": iso(f.at), "actor": f.actor, "reason": f.reason, "event": f.event} for f in told.fates
        ],
    }


def _run_json(run: RunFacts) -> dict[str, Any]:
    return {
        "id": run.run_id,
        "name": run.name,
        "status": run.status,
        "user": run.user,
        "experiment": run.experiment,
        "started_at": iso(run.started_at) if run.started_at else "",
        "ended_at": iso(run.ended_at) if run.ended_at else "",
        "git_commit": run.git_commit,
        "entry": run.entry,
        # JSON knows no NaN and no infinity
        "metrics": {key: value if math.isfinite(value) else str(value) for key, value in sorted(run.metrics.items())},
        "params": dict(sorted(run.params.items())),
        "datasets": [
            {"name": d.name, "digest": d.digest, "source_type": d.source_type, "source": d.source, "context": d.context}
            for d in run.datasets
        ],
    }


def component_name(origin: Origin, bundle: Bundle) -> str:
    """What people call a component with its value: `wine 2`, `image acme/serve:0.3`, `settings`."""
    if origin.key == IMAGE:
        return f"image {bundle.image.short.rpartition('/')[2]}"
    if origin.key == SETTINGS:
        return "settings"
    name = origin.key.removeprefix("model:")
    return f"{name} {bundle.versions().get(name, '')}".rstrip()


def person(actor: str) -> str:
    """The person without the address: that stands in the ledger, and in JSON."""
    return actor.partition(" <")[0]
