"""What is known of one environment when it is released: that it is in sync, and what proves each of its pins."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from mlrelease.commands.workspace import FindingsError, Workspace, environment_of
from mlrelease.delivery.passes import look
from mlrelease.delivery.site import Site
from mlrelease.delivery.source import Desired
from mlrelease.errors import Error, UsageError
from mlrelease.history.fold import History
from mlrelease.history.releases import Events, proof_of
from mlrelease.ledger.chain import Link
from mlrelease.model.bundle import Digest, ModelPin
from mlrelease.model.change import ChangeKind, Plan, Sync
from mlrelease.model.release import Problem, ReleasedEnvironment, ReleasedModel, ReleasedService
from mlrelease.model.spec import EnvironmentSpec, ServiceSpec, State
from mlrelease.model.version import VersionFacts
from mlrelease.model.when import from_iso, iso
from mlrelease.registries.asking import ask, measure

FRESH_S = 900.0
"""A heartbeat as old as this says nothing of now; the ledger's word is taken then, and the record says so."""

METRICS_KEPT = 20
"""So many metrics of a version stand in the record beside those that gates name: a training run may log thousands."""


@dataclass(frozen=True, slots=True)
class Known:
    """What MLflow says of pins: their facts (None: gone) and metrics."""

    facts: Mapping[ModelPin, VersionFacts | None] = field(default_factory=dict)
    metrics: Mapping[ModelPin, Mapping[str, float]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Seen:
    """One environment as it was found, or why it cannot be released. `events` are all of its ledger."""

    spec: EnvironmentSpec | None
    history: History
    events: Events = ()
    checked: str = "ledger"
    links: tuple[Link, ...] = ()
    known: Known = field(default_factory=Known)
    problems: tuple[Problem, ...] = ()


def see(workspace: Workspace, desired: Desired, name: str, older: Sequence[ModelPin]) -> Seen:
    """Looks at git, ledger, target (or heartbeat) and MLflow. `older` are pins of before whose metrics are wanted too."""
    try:
        environment = environment_of(desired.spec, name)
    except FindingsError as error:
        return Seen(None, History(name), problems=(Problem(error.message, error.hint, 4),))
    except UsageError as error:
        return Seen(None, History(name), problems=(Problem(error.message, f"--environment NAME; {error.hint}", 1),))
    site = workspace.site(environment)
    try:
        plan, history, _ = look(site, desired, judged=False, observe=site.runs_here)
        view = site.ledger.read(name, fetch=False)
    except Error as error:
        return Seen(environment, History(name), problems=(Problem(f"{name}: {error.message}", error.hint, 1),))
    problems = list(_out_of_sync(name, plan))
    checked, said = _looked(site, plan)
    problems += said
    if not view.online:
        problems.append(Problem(f"{name}: the ledger at {site.branch.remote} did not answer", "try again when it does", 1))
    if view.spooled:
        problems.append(
            Problem(
                f"{name}: {view.spooled} events wait on this host for the git host",
                f"mlrelease deploy {name} brings them in",
                1,
            )
        )
    known, unknown = _asked(site, _pins(environment), older)
    problems += unknown
    links = site.ledger.chain(name, fetch=False)
    return Seen(environment, history, view.events, checked, links, known, tuple(problems))


def record_of(seen: Seen) -> ReleasedEnvironment:
    """The environment's part of the record; call it for one without problems."""
    environment = seen.spec
    if environment is None or not seen.links:
        raise Error(f"nothing was ever deployed to {seen.history.environment}", hint="mlrelease deploy it first")
    services = {s.name: _service(seen, s) for s in environment.services.values() if s.state is State.PRESENT}
    return ReleasedEnvironment(environment.name, seen.checked, len(seen.links), Digest(seen.links[-1].digest), services)


def _service(seen: Seen, service: ServiceSpec) -> ReleasedService:
    bundle = service.bundle
    proof = proof_of(seen.events, service.name, bundle)
    if proof is None:
        raise Error(f"no receipt proves {service.name} in {seen.history.environment}", hint="mlrelease deploy it first")
    gated = {
        model.name: {str(gate.options["metric"]) for gate in model.gates if "metric" in gate.options}
        for model in service.models
    }
    return ReleasedService(
        name=service.name,
        bundle=bundle.id,
        image=bundle.image,
        models=tuple(
            _model(seen.known, pin, proof.gates.get(pin.name, {}), gated.get(pin.name, set())) for pin in bundle.models
        ),
        receipt=proof.receipt,
        verified_at=iso(proof.at),
        revision=proof.revision,
        settings=tuple(name for name, _ in bundle.settings),
        exercised=proof.exercised,
        approvals=proof.approvals,
    )


def _model(known: Known, pin: ModelPin, gates: Mapping[str, str], gated: set[str]) -> ReleasedModel:
    facts, metrics = known.facts.get(pin), known.metrics.get(pin, {})
    kept = gated | set(sorted(metrics)[:METRICS_KEPT])
    return ReleasedModel(
        pin=pin,
        run_id=facts.run_id if facts else "",
        model_id=facts.model_id if facts else "",
        registered_at=iso(facts.created_at) if facts and facts.created_at else "",
        gates=gates,
        metrics={name: value for name, value in metrics.items() if name in kept},
    )


def _pins(environment: EnvironmentSpec) -> list[ModelPin]:
    return [m.pin for s in environment.services.values() if s.state is State.PRESENT for m in s.models]


def _out_of_sync(name: str, plan: Plan) -> list[Problem]:
    """One problem for each service that is not what git says, as far as ledger and target tell."""
    found = []
    for change in plan.changes:
        sync = plan.sync[change.service]
        if change.kind is ChangeKind.NOOP and not change.blocked and sync in (Sync.IN_SYNC, Sync.UNKNOWN):
            continue
        why = change.blocked or "; ".join(change.drift) or change.reason
        code = 4 if change.blocked_by in ("findings", "undeclared") else 5
        found.append(Problem(f"{name}: {change.service} is {sync}: {why}", f"mlrelease deploy {name}", code))
    return found


def _looked(site: Site, plan: Plan) -> tuple[str, list[Problem]]:
    """How the environment was looked at, and what its agent says where it runs elsewhere.

    An agent that has no word for a service (it could not look) has not vouched for the environment.
    """
    if site.runs_here:
        return "observed", []
    beat = site.ledger.heartbeat(site.environment.name)
    try:
        age_s = site.now() - from_iso(str(beat["at"])) if beat else FRESH_S
    except (KeyError, ValueError):
        age_s = FRESH_S
    words = beat.get("sync") if beat else None
    if not isinstance(words, dict) or age_s >= FRESH_S:
        return "ledger", []
    name = site.environment.name
    wrong = {service: word for service, word in sorted(words.items()) if word != Sync.IN_SYNC and service in plan.sync}
    return "heartbeat" if plan.sync.keys() <= words.keys() else "ledger", [
        Problem(f"{name}: its agent says that {service} is {word}", f"mlrelease status {name} on its host")
        for service, word in wrong.items()
    ]


def _asked(site: Site, pins: Sequence[ModelPin], older: Sequence[ModelPin]) -> tuple[Known, list[Problem]]:
    """What MLflow says; that it cannot be asked about a pin of now is a problem, of an older one it is not."""
    name = site.environment.name
    wanted = [*pins, *(pin for pin in older if pin not in pins)]
    if not wanted:
        return Known(), []
    try:
        registry = site.registry()
        answers = ask(registry, wanted)
        found = {pin: facts for pin, facts in answers.items() if isinstance(facts, VersionFacts)}
        measured = measure(registry, found)
    except Error as error:  # no answer, or a variable of the address that is not set
        return Known(), [Problem(f"{name}: {error.message}", error.hint, 1)]
    problems = []
    for pin in pins:
        answer = answers[pin]
        if answer is None:
            problems.append(
                Problem(f"{name}: {pin.name} {pin.version} is gone from {registry.where}", "pin a version that exists")
            )
        elif isinstance(answer, str):
            problems.append(Problem(f"{name}: {pin.name} {pin.version}: {answer}", "", 1))
    errors = sorted({m.error for pin, m in measured.items() if m.error and pin in pins})
    problems += [Problem(f"{name}: metrics could not be read: {error}", "", 1) for error in errors[:1]]
    return Known(found, {pin: m.values for pin, m in measured.items() if not m.error}), problems
