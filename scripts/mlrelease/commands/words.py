"""A person's word in the ledger: `hold`, `unhold`, `reject`, `unreject`. One event with a reason; nothing moves by it."""

from __future__ import annotations

from dataclasses import dataclass

from mlrelease.commands.workspace import Workspace, environment_of
from mlrelease.errors import Error, UsageError
from mlrelease.history.fold import History, fold
from mlrelease.model.bundle import IMAGE, Bundle, model_key
from mlrelease.model.event import Component, DeployFinished, Event, Held, Rejected, Unheld, UnknownEvent, Unrejected
from mlrelease.model.spec import EnvironmentSpec
from mlrelease.model.when import iso
from mlrelease.render.report import Report


@dataclass(frozen=True, slots=True)
class Named:
    """What a rejection is about: a model's version, or (with `image`) the image of a service."""

    service: str = ""
    model: str = ""
    version: str = ""
    image: str = ""


def hold(workspace: Workspace, environment: str, *, service: str, reason: str, until: float) -> Report:
    """No forward change of the service (of all, without one) until then; rollbacks and repairs pass."""
    env = environment_of(workspace.worktree_spec(), environment)
    _known(env, service)
    _given(reason)
    ends = f"until {_moment(until)}" if until else "until it is lifted"
    event = Held(workspace.new_id(), environment, workspace.now(), workspace.actor, reason, service, until)
    return _written(workspace, environment, event, f"{service or 'every service'} is held {ends}: {reason}")


def unhold(workspace: Workspace, environment: str, *, service: str, reason: str) -> Report:
    """Lifts the holds on exactly this service, or on the environment. Raises `Error` when there is none."""
    _given(reason)
    history, now = _history(workspace, environment), workspace.now()
    if not any(held.service == service for held in history.holds_on(service, now)):
        standing = {held.service for held in history.holds if held in history.holds_on(held.service, now)}
        holds = ", ".join(sorted(name or "every service" for name in standing)) or "none"
        raise Error(f"{service or 'the environment'} is not held in {environment}", hint=f"holds there: {holds}")
    event = Unheld(workspace.new_id(), environment, workspace.now(), workspace.actor, reason, service)
    return _written(workspace, environment, event, f"{service or 'every service'} may move forward again")


def reject(workspace: Workspace, environment: str, named: Named, *, reason: str) -> Report:
    """The named component may not move forward here again, and is no rollback target."""
    _given(reason)
    service, component, label = _component(workspace, environment, named)
    event = Rejected(workspace.new_id(), environment, workspace.now(), workspace.actor, reason, service, (component,))
    return _written(workspace, environment, event, f"{label} of {service} is rejected: {reason}")


def unreject(workspace: Workspace, environment: str, named: Named, *, reason: str) -> Report:
    """Lifts every rejection that names the component. Raises `Error` when none does."""
    _given(reason)
    service, component, label = _component(workspace, environment, named)
    standing = [r for r in _history(workspace, environment).rejections if r.service == service and component in r.components]
    if not standing:
        raise Error(f"{label} of {service} is not rejected in {environment}", hint=f"mlrelease history {environment}")
    event = Unrejected(workspace.new_id(), environment, workspace.now(), workspace.actor, reason, service, (component,))
    return _written(
        workspace, environment, event, f"{label} of {service} may move forward again; it was: {standing[-1].reason}"
    )


def _written(workspace: Workspace, environment: str, event: Event, verdict: str) -> Report:
    appended = workspace.ledger().append([event])
    notes = ["the git host did not answer: the event waits on this machine"] if appended.spooled else []
    return Report(
        verdict=f"{environment}: {verdict}",
        data={"environment": environment, "event": event.KIND, "id": event.id},
        notes=notes,
        next=f"mlrelease plan {environment}",
    )


def _history(workspace: Workspace, environment: str) -> History:
    return fold(environment, workspace.ledger().read(environment).events)


def _given(reason: str) -> None:
    if not reason.strip():
        raise UsageError("why? a reason stands in the ledger", hint='--reason "…"')


def _moment(at: float) -> str:
    try:
        return iso(at)
    except (ValueError, OverflowError) as error:
        raise UsageError("the end of the hold is no moment", hint="--hours 48, or nothing: until it is lifted") from error


def _known(environment: EnvironmentSpec, service: str) -> None:
    if service and service not in environment.services and service not in environment.invalid:
        known = ", ".join(sorted(environment.services)) or "none"
        raise UsageError(f"{environment.name} has no service {service!r}", hint=f"services there: {known}")


def _component(workspace: Workspace, environment: str, named: Named) -> tuple[str, Component, str]:
    """The service, the component by digest, and what people call it; looked up in the ledger, then in the work tree."""
    if not named.image and not (named.model and named.version):
        raise UsageError("which version?", hint="name a model and its version, or --image repository:tag")
    bundles = [*_bundles(workspace.ledger().read(environment).events)]
    spec = workspace.worktree_spec().environments.get(environment)
    bundles += [service.bundle for service in spec.services.values()] if spec else []
    what = named.image or f"{named.model} version {named.version}"
    found: dict[str, tuple[str, Component, str]] = {}
    for bundle in reversed(bundles):
        if named.service in ("", bundle.service) and (hit := _hit(bundle, named)):
            found.setdefault(bundle.service, (bundle.service, *hit))
    if len(found) > 1:
        raise UsageError(f"several services have had {what}", hint=f"--service, one of {', '.join(sorted(found))}")
    if not found:
        raise Error(f"{what} was never pinned in {environment}", hint=f"mlrelease history {environment}")
    return next(iter(found.values()))


def _hit(bundle: Bundle, named: Named) -> tuple[Component, str] | None:
    """The component of the bundle that is named, and what people call it."""
    if named.image:
        is_it = bundle.image.reference in (named.image, f"{named.image}@{bundle.image.digest}")
        return ((IMAGE, str(bundle.image.digest)), named.image.partition("@")[0]) if is_it else None
    pin = next((pin for pin in bundle.models if (pin.name, pin.version) == (named.model, named.version)), None)
    return ((model_key(pin.name), str(pin.digest)), f"{pin.name} {pin.version}") if pin else None


def _bundles(events: tuple[Event | UnknownEvent, ...]) -> list[Bundle]:
    receipts = [receipt for e in events if isinstance(e, DeployFinished) for _, receipt in sorted(e.services.items())]
    return [bundle for receipt in receipts for bundle in (receipt.before, receipt.after) if bundle is not None]
