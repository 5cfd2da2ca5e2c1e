"""What a reviewer of moved pins is told: gathered from MLflow, the ledger and the gates for whatever a branch has.

A registry or a ledger that cannot be asked is said so in the text: the proposal stands without it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from mlrelease.commands.proposals import Subject
from mlrelease.commands.workspace import Workspace, cache_folder
from mlrelease.errors import Error
from mlrelease.gates.interface import Origin
from mlrelease.history.fold import History, fold
from mlrelease.model.bundle import ImagePin, ModelPin
from mlrelease.model.gate import GateResult
from mlrelease.model.spec import EnvironmentSpec, ServiceSpec, Spec
from mlrelease.model.version import VersionFacts
from mlrelease.render.pull_request import Explanation, Measured, PinMove


def explain(
    workspace: Workspace, subject: Subject, before: Spec, after: Spec, *, evidence: Sequence[str] = (), judged: bool = True
) -> Explanation:
    """What moves between two specs for the subject, with metrics, gates (`judged`) and the ways on.

    Raises `Error` when `after` has findings where the subject is: there is nothing to be explained then.
    """
    services, olds = subject.services_in(after), subject.services_in(before)
    service, old = services.get(subject.service), olds.get(subject.service)
    if service is None:
        raise Error(
            f"{subject.branch} has findings in {subject.environment}/{subject.service}", hint="mlrelease validate --offline"
        )
    environment = before.environments[subject.environment]
    pins = _moved(old, service, subject)
    for name in subject.others:
        pins += _moved(olds.get(name), services[name], subject) if name in services else []
    models = [pin for pin, _ in pins if isinstance(pin, ModelPin)]
    problems: list[str] = []
    history = _history(workspace, environment.name, problems)
    baselines = _baselines(history, old)
    facts = _facts(workspace, environment, [*models, *baselines.values()], problems)
    gates = _gates(workspace, environment, after, service, problems) if judged and history is not None else ()
    moved = {f"model:{pin.name}" for pin in models}
    return Explanation(
        title=_title(subject, pins),
        environment=environment.name,
        service=service.name,
        pins=tuple(_pin_move(pin, label, facts) for pin, label in pins),
        measured=_measured(workspace, environment, models, baselines, history, facts),
        gates=tuple(result for result in gates if result.component in moved),
        evidence=tuple(evidence),
        merging=_merging(environment, subject),
        undoing=_undoing(environment, subject, service),
        problems=tuple(dict.fromkeys(problems)),
    )


def _title(subject: Subject, pins: Sequence[tuple[ModelPin | ImagePin, str]]) -> str:
    named = [f"{pin.name} {pin.version}" if isinstance(pin, ModelPin) else "image" for pin, _ in pins]
    what = ", ".join(named[:3]) + (f" and {len(named) - 3} more" if len(named) > 3 else "")
    match subject.verb:
        case "promote":
            return f"Promote {what or subject.name} to {subject.environment}"
        case "rollback":
            return f"Roll back {subject.name} in {subject.environment} to {what or 'other settings'}"
    return f"Pin {what or subject.name} in {subject.environment}"


def _moved(old: ServiceSpec | None, new: ServiceSpec, subject: Subject) -> list[tuple[ModelPin | ImagePin, str]]:
    """The pins that differ, each with the label of what it replaces; the image first."""
    found: list[tuple[ModelPin | ImagePin, str]] = []
    if not subject.model and (old is None or old.image != new.image):
        found.append((new.image, old.image.short if old else "nothing"))
    pins = {model.name: model.pin for model in old.models} if old else {}
    for model in new.models:
        if subject.model in ("", model.name) and pins.get(model.name) != model.pin:
            known = pins.get(model.name)
            found.append((model.pin, known.version if known else "nothing"))
    return found


def _pin_move(pin: ModelPin | ImagePin, before: str, facts: Mapping[ModelPin, VersionFacts]) -> PinMove:
    if isinstance(pin, ImagePin):
        return PinMove("image", before, pin.short, str(pin.digest))
    known = facts.get(pin)
    named = (("run", known.run_id), ("logged model", known.model_id)) if known else ()
    return PinMove(
        pin.name, before, pin.version, str(pin.digest), ", ".join(f"{what} {value}" for what, value in named if value)
    )


def _history(workspace: Workspace, environment: str, problems: list[str]) -> History | None:
    view = workspace.ledger().read(environment)
    if view.broken:
        problems.append(f"the ledger of {environment} does not hold together: {view.broken}")
        return None
    return fold(environment, view.events)


def _baselines(history: History | None, old: ServiceSpec | None) -> dict[str, ModelPin]:
    """What each model is compared with: what is recorded here, else what the tracked branch pins (DESIGN §2)."""
    pinned = {model.name: model.pin for model in old.models} if old else {}
    recorded = history.bundle(old.name) if history and old else None
    if recorded is not None:
        return {pin.name: pin for pin in recorded.models}
    return pinned if history is None or not history.height else {}


def _facts(
    workspace: Workspace, environment: EnvironmentSpec, pins: Sequence[ModelPin], problems: list[str]
) -> dict[ModelPin, VersionFacts]:
    from mlrelease.registries.asking import ask  # noqa: PLC0415 - requests costs 0.1 s that `--help` does not pay

    found: dict[ModelPin, VersionFacts] = {}
    try:
        answers = ask(workspace.registry(environment), pins)
    except Error as error:
        problems.append(error.message)
        return found
    for pin, answer in answers.items():
        if isinstance(answer, VersionFacts):
            found[pin] = answer
        else:
            problems.append(f"{pin.name} {pin.version}: {answer or 'MLflow has no such version'}")
    return found


def _measured(
    workspace: Workspace,
    environment: EnvironmentSpec,
    models: Sequence[ModelPin],
    baselines: Mapping[str, ModelPin],
    history: History | None,
    facts: Mapping[ModelPin, VersionFacts],
) -> tuple[Measured, ...]:
    from mlrelease.registries.asking import measure  # noqa: PLC0415 - as above

    asked = {pin for pin in (*models, *(baselines[m.name] for m in models if m.name in baselines)) if pin in facts}
    numbers = measure(workspace.registry(environment), {pin: facts[pin] for pin in sorted(asked)}) if asked else {}
    origin = Origin.RECORDED if history is not None and history.height else Origin.MERGE_BASE
    found = []
    for pin in models:
        baseline = baselines.get(pin.name)
        if pin not in numbers:
            continue
        if baseline is None:
            said = "There is nothing to compare it with: it never served here."
        elif origin is Origin.RECORDED:
            said = f"Compared with version {baseline.version}, which {environment.name} has recorded."
        else:
            said = f"Compared with version {baseline.version}, which {workspace.branch} pins: nothing is recorded yet."
        compared = numbers[baseline].values if baseline in numbers else {}
        found.append(Measured(pin.name, pin.version, said, numbers[pin].values, compared, numbers[pin].error))
    return tuple(found)


def _gates(
    workspace: Workspace, environment: EnvironmentSpec, after: Spec, service: ServiceSpec, problems: list[str]
) -> tuple[GateResult, ...]:
    """The gates' word on the service's models, as a check of the pull request will have it. Loads no model."""
    from mlrelease.delivery.proposal import judge_proposal  # noqa: PLC0415 - as above
    from mlrelease.delivery.reports import Reports  # noqa: PLC0415
    from mlrelease.registries.cache import ArtifactCache  # noqa: PLC0415

    def only(one: EnvironmentSpec) -> EnvironmentSpec:
        kept = {name: spec for name, spec in one.services.items() if name == service.name}
        return replace(one, services=kept, invalid=frozenset())

    ledger = workspace.ledger()
    history = fold(environment.name, ledger.read(environment.name, fetch=False).events)
    upstream = ledger.read(environment.promotes_from, fetch=False) if environment.promotes_from else None
    source = fold(environment.promotes_from, upstream.events) if upstream and not upstream.broken else None
    folder = cache_folder(workspace.variables)
    try:
        said = judge_proposal(
            only(after.environments[environment.name]),
            only(environment),
            history,
            source,
            registry=lambda: workspace.registry(environment),
            cache=ArtifactCache(folder),
            reports=Reports(folder.parent / "reports"),
            now=workspace.now(),
        )
    except Error as error:
        problems.append(f"the gates could not be asked: {error.message}")
        return ()
    return tuple(result for _, result in said)


def _merging(environment: EnvironmentSpec, subject: Subject) -> tuple[str, ...]:
    name = environment.name
    then = f"The host of {name} then rolls it out, proves it, and goes back by itself when the proof fails."
    if subject.verb == "rollback":
        then = "It runs already, by a hold; when this is merged, the hold ends by itself."
    if environment.approval_required and subject.verb != "rollback":
        then = f"Then it waits for an approval: in the environment {name} on GitHub, or: mlrelease approve {name}"
    return (
        "Squash and merge: one commit is one step, and comes back with one revert. No program merges it.",
        then,
    )


def _undoing(environment: EnvironmentSpec, subject: Subject, service: ServiceSpec) -> tuple[str, ...]:
    name = environment.name
    if subject.verb == "rollback":
        lift = f"mlrelease unhold {name} --service {service.name} --reason …"
        return (f"Closing this does not end the hold: {lift} does, and {name} goes where the tracked branch is.",)
    which = f"--model {subject.model}" if subject.model else f"--service {service.name}"
    return (
        f"Before the merge: close it, and it is not proposed again (mlrelease {subject.verb} … --reopen asks once more).",
        f"After the merge: the button Revert, git revert, or on the host: mlrelease rollback {name} {which} --now",
        "Do not merge this branch a second time after a revert: git would bring back what was left.",
    )
