"""Holds that say what should run: a rolled-back service is desired as its commit has it, until the tracked branch agrees.

The commit waits in a pull request, because the tracked branch takes no push (DESIGN §5.5). Fail static: while it cannot be
read, nothing of that service moves.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path

from mlrelease.delivery.site import Site
from mlrelease.delivery.source import spec_at
from mlrelease.errors import Error
from mlrelease.forge import branches
from mlrelease.forge.git import Git
from mlrelease.history.fold import History
from mlrelease.log import get
from mlrelease.model.change import ChangeKind, Plan
from mlrelease.model.event import Held
from mlrelease.model.spec import EnvironmentSpec, ServiceSpec

COMMITS_SEARCHED = 100
"""So many commits of the tracked branch are looked through for the pins; who merged later than that lifts the hold."""


@dataclass(frozen=True, slots=True)
class Pinned:
    """A service whose hold names the commit that is desired; `problem` is why that cannot be read (empty: it can)."""

    hold: Held
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Obeyed:
    """What is desired with the holds obeyed: the site with its services as their commits have them.

    `history` leaves out the holds that are obeyed: they stop no move to what they ask for. `over` are holds whose pins
    the tracked branch has, or had since.
    """

    site: Site
    history: History
    pinned: Mapping[str, Pinned] = field(default_factory=dict)
    over: tuple[Held, ...] = ()


def obey(site: Site, history: History, revision: str) -> Obeyed:
    """What is desired at `revision` of the tracked branch. Fetches a commit that is not here; raises nothing for it."""
    names = sorted({hold.service for hold in history.holds if hold.service and hold.pinned_to})
    holds = [hold for name in names if (hold := history.pinned_hold(name, site.now())) is not None]
    if not holds:
        return Obeyed(site, history)
    environment, pinned, over = site.environment, {}, []
    for hold in holds:
        found = _service_of(site, hold)
        if isinstance(found, str):
            pinned[hold.service] = Pinned(hold, found)
            environment = _without(environment, hold.service)
        elif _is_over(site, hold, found, revision):
            over.append(hold)
        else:
            pinned[hold.service] = Pinned(hold)
            environment = _with(environment, found)
    known = {hold.id for hold in holds}
    free = replace(history, holds=tuple(hold for hold in history.holds if hold.id not in known))
    return Obeyed(replace(site, environment=environment), free, pinned, tuple(over))


def explained(plan: Plan, obeyed: Obeyed) -> Plan:
    """The plan with the holds named where they decide; a service whose commit cannot be read is blocked, not judged."""
    if not obeyed.pinned:
        return plan
    changes = []
    for change in plan.changes:
        pinned = obeyed.pinned.get(change.service)
        if pinned is None:
            changes.append(change)
            continue
        hold = pinned.hold
        where = f"held at {hold.pinned_to[:9]} by {hold.actor} until {obeyed.site.branch} has its pins"
        if not pinned.problem:
            changes.append(replace(change, reason=f"{change.reason}; {where}: {hold.reason}"))
        elif change.kind is ChangeKind.REPAIR:
            changes.append(replace(change, reason=f"keeps what is recorded: {where}, and that commit cannot be read"))
        else:
            why = f"{where}, and that commit cannot be read: {pinned.problem}"
            changes.append(replace(change, reason=where, blocked=why, blocked_by="hold:errored"))
    return replace(plan, changes=tuple(changes))


def keep(site: Site, hold: Held) -> None:
    """Keeps the commit of a hold in this clone: no branch here has it, and `git gc` takes what nothing points at."""
    site.git.call("update-ref", _ref(hold), hold.pinned_to)


def let_go(site: Site, hold: Held) -> None:
    """The commit of a hold that is over may go."""
    site.git.call("update-ref", "-d", _ref(hold))


def _ref(hold: Held) -> str:
    return f"refs/mlrelease/pinned/{hold.environment}/{hold.service}"


def _service_of(site: Site, hold: Held) -> ServiceSpec | str:
    """The service as the commit of the hold has it, or why it cannot be said."""
    if site.git.resolve(hold.pinned_to) is None:
        problem = _fetch(site, hold)
        if site.git.resolve(hold.pinned_to) is None:
            get("pinned").warning("the commit of a hold is not here", service=hold.service, commit=hold.pinned_to)
            return problem or f"{site.branch.remote or 'this repository'} does not have it"
        keep(site, hold)
    try:
        found = _read(site.git.root(), hold.pinned_to, hold.environment, hold.service)
    except Error as error:
        return error.message
    return found or f"{hold.service} has findings there, or is not there"


def _fetch(site: Site, hold: Held) -> str:
    """Brings the commit here: from the branches of rollbacks, or by its id, which GitHub gives out for merged ones too."""
    git, remote = site.git, site.branch.remote
    if not remote:
        return ""
    try:
        refs = branches.listed(git, remote, f"refs/heads/{branches.branch_name('rollback', hold.environment, '*')}")
        for wanted in ([*refs], [hold.pinned_to]) if refs else ([hold.pinned_to],):
            branches.bring(git, remote, *wanted)
            if git.resolve(hold.pinned_to) is not None:
                return ""
    except Error as error:
        return error.message
    return ""


def _is_over(site: Site, hold: Held, wanted: ServiceSpec, revision: str) -> bool:
    """Whether the tracked branch has these pins, or had them in a commit that came after the hold's own base.

    Had them: the pull request was merged and the next version after it, between two looks of the host.
    """
    here = site.environment.services.get(hold.service)
    if here is not None and _same(here, wanted):
        return True
    git = site.git
    tip = git.resolve(revision)
    base = git.merge_base(hold.pinned_to, tip) if tip else None
    if tip is None or base is None:
        return False
    if base == git.resolve(hold.pinned_to):
        return True
    paths = {wanted.path, *(model.path for model in wanted.models)}
    literal = [f":(top,literal){path}" for path in sorted(paths)]
    listed = git.run("rev-list", f"--max-count={COMMITS_SEARCHED}", f"{base}..{tip}", "--", *literal)
    root = git.root()
    found = (_read(root, commit, hold.environment, hold.service) for commit in listed.split())
    return any(one is not None and _same(one, wanted) for one in found)


def _same(one: ServiceSpec, other: ServiceSpec) -> bool:
    return one.state is other.state and one.bundle.components() == other.bundle.components()


@lru_cache(maxsize=256)
def _read(root: Path, commit: str, environment: str, service: str) -> ServiceSpec | None:
    """The service at a commit; None where its files have findings or are not there. An agent asks at every look."""
    spec = spec_at(Git(root), commit)
    if spec.blocking(environment) or environment not in spec.environments:
        return None
    return spec.environments[environment].services.get(service)


def _with(environment: EnvironmentSpec, service: ServiceSpec) -> EnvironmentSpec:
    services = {**environment.services, service.name: service}
    return replace(environment, services=services, invalid=environment.invalid - {service.name})


def _without(environment: EnvironmentSpec, service: str) -> EnvironmentSpec:
    services = {name: spec for name, spec in environment.services.items() if name != service}
    return replace(environment, services=services, invalid=environment.invalid | {service})
