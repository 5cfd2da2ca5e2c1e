"""One Service moving from one Bundle to another, written once over the Target protocol (DESIGN §2 Rollout, §5.5)."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from mlrelease.deadlines import DEADLINES_S
from mlrelease.delivery import probes
from mlrelease.delivery.artifacts import make_launch
from mlrelease.delivery.probes import VerificationFailed
from mlrelease.delivery.site import Site
from mlrelease.delivery.steps import Steps
from mlrelease.errors import Error
from mlrelease.history.direction import left_behind, moved_forward
from mlrelease.history.fold import History, Recorded
from mlrelease.log import get
from mlrelease.model.bundle import IMAGE, SETTINGS, Bundle, BundleId, model_key
from mlrelease.model.change import Change, ChangeKind, Direction, Outcome
from mlrelease.model.event import Component, Probe, ServiceReceipt
from mlrelease.model.live import Instance, Observation, Role
from mlrelease.plan.drift import settings_of
from mlrelease.targets.interface import Fenced, Target

DRAIN_POLL_S = 0.02


@dataclass(slots=True)
class Rollout:
    """One Change being carried out. `proofs` are the probes so far; `switched` is when the traffic has moved.

    `proven` names the models that answered as the same bytes before.
    """

    site: Site
    change: Change
    revision: str
    steps: Steps
    before: Observation
    settings: Mapping[str, Any]
    proven: frozenset[str] = frozenset()
    switched: bool = False
    proofs: list[Probe] = field(default_factory=list)

    @property
    def target(self) -> Target:
        """Where it happens."""
        return self.site.target

    @property
    def service(self) -> str:
        """What moves."""
        return self.change.service


def roll_out(
    site: Site, change: Change, history: History, steps: Steps, *, revision: str, meanwhile: Callable[[], None] = lambda: None
) -> ServiceReceipt:
    """Carries the Change out and returns what happened, whatever the outcome. Only `Fenced` and interrupts leave it.

    A failure before the switch leaves what serves as it was. After it, a forward move goes back; a rollback stays.
    `meanwhile` is called once its instances load.
    """
    settings = _settings(site, change, history)
    try:
        seen = site.target.observe(change.service)
    except Fenced:
        raise
    except (Error, OSError) as error:
        blind = (change.kind, change.direction, str(error), change.before, change.after)
        return ServiceReceipt(Outcome.ERRORED, *blind, settings=settings)
    rollout = Rollout(site, change, revision, steps, seen, settings, proven=_proven(change, history, settings))
    try:
        if change.kind is ChangeKind.REMOVE:
            _remove(rollout)
        else:
            _converge(rollout, meanwhile)
    except Fenced:
        raise
    except VerificationFailed as failure:
        rollout.proofs.append(failure.probe)
        return _failed(rollout, failure.probe.reason)
    except (Error, OSError) as error:
        get("rollout").warning("errored", service=change.service, error=str(error))
        return _errored(rollout, history, str(error))
    except KeyboardInterrupt:
        _, problem = _put_back(rollout, restore=False)
        return _receipt(rollout, Outcome.ABORTED, f"interrupted{problem}")
    # Taking a service away says nothing against the versions that it served.
    rejects = () if change.kind is ChangeKind.REMOVE else left_behind(change.components)
    return _receipt(rollout, Outcome.SUCCEEDED, change.reason, rejects=rejects)


def _converge(rollout: Rollout, meanwhile: Callable[[], None]) -> None:
    """Brings the service to its bundle: start → ready → identity → golden → traffic → proof → drain → stop or keep warm."""
    bundle = _bundle(rollout)
    target, steps = rollout.target, rollout.steps

    # (1): everything that will be loaded lies verified on this host.
    with steps.step("artifacts") as detail:
        launch = make_launch(rollout.site, bundle, rollout.settings)
        detail.append(f"{len(launch.artifacts)} verified")

    # (2): instances that fit, beside what serves.
    with steps.step("start") as detail:
        fitting = target.start(launch)
        detail.append(f"{len(fitting)} instances")
    with steps.step("ready"):
        meanwhile()
        instances = probes.wait_ready(target, rollout.service, [i.id for i in fitting], models=len(launch.artifacts))

    # (3): each says who it is and predicts what it should, before it gets a request.
    with steps.step("identity"):
        rollout.proofs += probes.identity(target, instances, bundle)
    with steps.step("golden"):
        rollout.proofs += probes.golden(target, instances, launch.artifacts, unchanged=rollout.proven)

    # (4): the traffic, confirmed by the proxy.
    with steps.step("switch") as detail:
        rollout.switched = True
        _route(rollout, bundle.id, instances)
        target.keep([i.id for i in instances], 0.0)
        detail.append(f"all traffic to {bundle.id}")

    # (5): settled and proved, through the proxy and of every instance.
    with steps.step("proof"):
        changed = [a for a in launch.artifacts if a.name not in rollout.proven]
        rollout.proofs += probes.settled(target, instances, bundle, changed or launch.artifacts)

    # (6): what served before has nothing in flight; it is kept warm, or stopped when it is of the same bundle.
    with steps.step("drain"):
        _drain(rollout, [i.id for i in _others(rollout, instances)])
    with steps.step("retire") as detail:
        detail.append(_retire(rollout, instances))


def _proven(change: Change, history: History, settings: Mapping[str, Any]) -> frozenset[str]:
    """The models that answered here as the same bytes under the same image, variables and interpreter as they now would.

    A repair or new settings prove every model in full: there something other than the models is in question.
    """
    if change.before is None or change.after is None or change.kind not in (ChangeKind.UPDATE, ChangeKind.ROLLBACK):
        return frozenset()
    before, after = change.before.components(), change.after.components()
    recorded = history.recorded.get(change.service)
    pythons = (recorded.settings.get("python") if recorded else None, settings.get("python"))
    if (before[IMAGE], before[SETTINGS]) != (after[IMAGE], after[SETTINGS]) or pythons[0] != pythons[1]:
        return frozenset()
    return frozenset(pin.name for pin in change.after.models if before.get(model_key(pin.name)) == pin.digest)


def _remove(rollout: Rollout) -> None:
    """Takes the route away, waits for what is in flight, stops every instance."""
    instances = [i for i in rollout.before.instances if i.service == rollout.service]
    with rollout.steps.step("switch"):
        rollout.switched = True
        rollout.target.route(
            rollout.service, {}, instances=(), prefix=f"/{rollout.service}/", revision=rollout.revision, timeout_s=0.0
        )
    with rollout.steps.step("drain"):
        _drain(rollout, [i.id for i in instances if i.role is Role.ACTIVE])
    with rollout.steps.step("retire") as detail:
        for instance in instances:
            rollout.target.stop(instance.id, drain_s=DEADLINES_S["instance.drain"])
        detail.append(f"{len(instances)} instances stopped")


def _failed(rollout: Rollout, reason: str) -> ServiceReceipt:
    """Verification said no: the candidate goes, what was verified serves on; a rollback stays on its target."""
    if rollout.change.kind in (ChangeKind.REPAIR, ChangeKind.SETTINGS) or rollout.change.direction is not Direction.FORWARD:
        problem = "" if rollout.switched else _put_back(rollout, restore=False)[1]
        return _receipt(rollout, Outcome.FAILED, f"{reason}{problem}")
    restored, problem = _put_back(rollout, restore=True)
    rejects = moved_forward(rollout.change.components)
    outcome = Outcome.ROLLED_BACK if restored else Outcome.FAILED
    return _receipt(rollout, outcome, f"{reason}{problem}", rejects=rejects)


def _errored(rollout: Rollout, history: History, reason: str) -> ServiceReceipt:
    """We could not tell: put back what served, reject nothing. After a rollback's switch, stay and name what is older."""
    if rollout.switched and rollout.change.direction is Direction.BACK:
        older = _next_older(history, rollout.change)
        hint = f"; the next older verified bundle is {older.bundle.id}" if older and older.bundle else ""
        return _receipt(rollout, Outcome.ERRORED, f"{reason}{hint}")
    if rollout.change.kind in (ChangeKind.CREATE, ChangeKind.UPDATE, ChangeKind.ROLLBACK):
        reason += _put_back(rollout, restore=True)[1]
    return _receipt(rollout, Outcome.ERRORED, reason)


def _next_older(history: History, change: Change) -> Recorded | None:
    """The newest good entry from before the target was first verified; what the rollback left is newer, and no way out.

    A target that never was verified as a whole is as old as what it left.
    """
    entries = history.verified.get(change.service, ())
    known = [entry.bundle.id if entry.bundle else None for entry in entries]
    first = next((known.index(b.id) for b in (change.after, change.before) if b is not None and b.id in known), 0)
    return replace(history, verified={change.service: entries[:first]}).last_good(change.service, before=None)


def _put_back(rollout: Rollout, *, restore: bool) -> tuple[bool, str]:
    """Whether the bundle before was seen to serve again, and what came in the way, to be said behind the reason.

    The candidate goes in any case; `restore`: what served before gets its traffic back first.
    """
    restored = False
    try:
        restored = restore and _restore(rollout)
        _tidy(rollout)
    except Fenced:
        raise
    except (Error, OSError) as error:
        return restored, f"; and putting back failed: {error}"
    return restored, ""


def _restore(rollout: Rollout) -> bool:
    """Sees to it that the bundle before serves. True when it does; without one the candidate's route is taken away."""
    before = rollout.change.before
    serving = [i for i in rollout.before.of(rollout.service, before.id) if i.ready] if before else []
    if before is None or not serving:
        if rollout.switched and before is None:
            rollout.target.route(
                rollout.service, {}, instances=(), prefix=f"/{rollout.service}/", revision=rollout.revision, timeout_s=0.0
            )
        return False
    if rollout.switched or _weights(rollout.before, rollout.service) != {before.id: 100}:
        with rollout.steps.step("switch_back"):
            revision = rollout.before.routes[rollout.service].revision if rollout.service in rollout.before.routes else ""
            _route(replace(rollout, revision=revision or rollout.revision), before.id, serving)
    return True


def _tidy(rollout: Rollout) -> None:
    """Stops what this rollout started and does not route to: nothing of a candidate is left behind."""
    known = {i.id for i in rollout.before.instances}
    after = rollout.change.after
    seen = rollout.target.observe(rollout.service)
    if after is None or after.id in _weights(seen, rollout.service):
        # Same bundle as the one that serves: only what is new and unrouted could go, and a repair will take it up.
        return
    for instance in seen.of(rollout.service, after.id):
        if instance.id not in known or instance.role is Role.CANDIDATE:
            rollout.target.stop(instance.id, drain_s=DEADLINES_S["instance.drain"])


def _retire(rollout: Rollout, instances: Sequence[Instance]) -> str:
    """Other bundles that served are kept warm; the rest is stopped: same-bundle instances that no longer fit,
    leftovers, strays, and warm ones without a supervisor, which no later rollout could take over.
    """
    bundle, site = _bundle(rollout), rollout.site
    warm = []
    stopped = 0
    for instance in _others(rollout, instances):
        was_serving = rollout.change.before is not None and instance.bundle == rollout.change.before.id != bundle.id
        if was_serving and instance.supervised and instance.ready and site.environment.keep_warm_s > 0:
            warm.append(instance.id)
        elif instance.role is not Role.WARM or instance.bundle == bundle.id or not instance.supervised:
            rollout.target.stop(instance.id, drain_s=DEADLINES_S["instance.drain"])
            stopped += 1
    if warm:
        rollout.target.keep(warm, site.now() + site.environment.keep_warm_s)
    return f"{len(warm)} kept warm, {stopped} stopped"


def _others(rollout: Rollout, instances: Sequence[Instance]) -> list[Instance]:
    """Every other instance of the service that was seen before this rollout began."""
    fitting = {i.id for i in instances}
    return [i for i in rollout.before.instances if i.service == rollout.service and i.id not in fitting]


def _route(rollout: Rollout, bundle: BundleId, instances: Sequence[Instance]) -> None:
    rollout.target.route(
        rollout.service,
        {bundle: 100},
        instances=[i.id for i in instances],
        prefix=f"/{rollout.service}/",
        revision=rollout.revision,
        timeout_s=float(rollout.settings.get("timeout_s", DEADLINES_S["proxy.request"])),
    )


def _drain(rollout: Rollout, instances: Sequence[str]) -> None:
    """Waits until the proxy has nothing in flight to these, twice in a row; at the deadline stopping drains on."""
    end = time.monotonic() + DEADLINES_S["instance.drain"]
    quiet = 0 if instances else 2
    while quiet < 2 and time.monotonic() < end:
        quiet = quiet + 1 if rollout.target.idle(instances) else 0
        if quiet < 2:
            time.sleep(DRAIN_POLL_S)


def _weights(observation: Observation, service: str) -> Mapping[BundleId, int]:
    route = observation.routes.get(service)
    return dict(route.weights) if route else {}


def _bundle(rollout: Rollout) -> Bundle:
    if rollout.change.after is None:
        raise Error(f"{rollout.service}: a {rollout.change.kind} without a bundle", hint="please report this")
    return rollout.change.after


def _receipt(rollout: Rollout, outcome: Outcome, reason: str, rejects: tuple[Component, ...] = ()) -> ServiceReceipt:
    return ServiceReceipt(
        outcome=outcome,
        change=rollout.change.kind,
        direction=rollout.change.direction,
        reason=reason,
        before=rollout.change.before,
        after=rollout.change.after,
        rejects=rejects,
        gate_results=tuple(result.to_json() for result in rollout.change.gate_results),
        probes=tuple(rollout.proofs),
        steps=tuple(rollout.steps.done),
        exercised=rollout.target.exercises if rollout.change.after else (),
        settings=rollout.settings,
    )


def _settings(site: Site, change: Change, history: History) -> Mapping[str, Any]:
    """Those of the service file; where it cannot be read, those that are recorded."""
    service = site.environment.services.get(change.service)
    if service is not None:
        return settings_of(site.environment, service)
    recorded = history.recorded.get(change.service)
    return recorded.settings if recorded else {}
