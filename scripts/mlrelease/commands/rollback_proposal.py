"""A rollback whose commit waits in a pull request: the branch, the hold that makes its pins count at once, the request.

In this order, so that a kill leaves nothing in the way: a branch alone does nothing, the hold alone rolls back, and the
pull request only makes the tracked branch agree.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from mlrelease.commands.explanations import explain
from mlrelease.commands.github import github_of, github_or_none
from mlrelease.commands.output import say
from mlrelease.commands.proposals import Edit, Subject, Wanted, propose, push
from mlrelease.commands.workspace import Workspace
from mlrelease.delivery.pinned import keep
from mlrelease.delivery.site import Site
from mlrelease.delivery.source import Desired
from mlrelease.errors import Error
from mlrelease.history.fold import fold
from mlrelease.model.event import Held
from mlrelease.model.spec import Spec
from mlrelease.render.pull_request import pull_request_text


@dataclass(frozen=True, slots=True)
class Waiting:
    """The commit that the hold names, and what is to be said of the pull request; `url` is empty without one.

    `spooled`: the ledger took no hold yet, it waits on this machine.
    """

    sha: str
    what: str
    url: str = ""
    number: int = 0
    notes: tuple[str, ...] = ()
    spooled: bool = False


def check_github(workspace: Workspace) -> None:
    """Raises `Error` where no pull request could be opened: before anything is written."""
    if not workspace.branch.remote:
        raise Error("there is no remote to open a pull request at", hint="git remote add origin URL")
    github_of(workspace)


def wait_in_pull_request(
    workspace: Workspace, site: Site, desired: Desired, services: Sequence[str], changed: Mapping[str, bytes], message: str
) -> Waiting:
    """The changed files on the rollback's own branch, a hold on each service with that commit, and the pull request.

    The rollback counts once the holds are written: what GitHub does not do after that is a note. Raises `Error` when
    the remote takes no push to that branch either.
    """
    name = site.environment.name
    subject = Subject("rollback", name, services[0], others=tuple(services[1:]))

    def explained(spec: Spec) -> tuple[str, str]:
        about = explain(workspace, subject, desired.spec, spec, judged=False)
        lead = f"{workspace.actor.partition(' <')[0]} rolled this back: {message.partition(chr(10))[0]}."
        return about.title, pull_request_text(replace(about, lead=lead))

    # Asked for by a person now: that somebody closed one like it before is no reason to wait.
    wanted = Wanted(subject, desired, (Edit(changed, message),), explained, again=True)
    sha = push(workspace, wanted)
    say(f"pushed {sha[:9]} to {subject.branch}")
    waits = [service for service in services if not _hold(workspace, site, service, sha, message.partition("\n")[0])]
    done = _requested(workspace, wanted, sha)
    if not waits:
        return done
    late = f"the ledger took nothing from here yet: the hold on {', '.join(waits)} waits on this machine"
    return replace(done, spooled=True, notes=(*done.notes, late))


def _requested(workspace: Workspace, wanted: Wanted, sha: str) -> Waiting:
    """The pull request of what is pushed and held."""
    subject = wanted.subject
    try:
        github = github_or_none(workspace)
        if github is None:
            why = f"no pull request was opened (no GitHub, or no token): merge {subject.branch} into {workspace.branch.branch}"
            return Waiting(sha, f"held at {sha[:9]}", notes=(why,))
        done = propose(workspace, github, wanted)
    except Error as error:
        why = f"no pull request was opened ({error.message}): run this again, or merge {subject.branch} yourself"
        return Waiting(sha, f"held at {sha[:9]}", notes=(why,))
    return Waiting(sha, f"{done.what}, held at {sha[:9]} until it is merged", done.url, done.number)


def _hold(workspace: Workspace, site: Site, service: str, sha: str, reason: str) -> bool:
    """One hold with this commit, once; False when it waits in this machine's spool."""
    name = site.environment.name
    standing = fold(name, site.ledger.read(name).events).pinned_hold(service, workspace.now())
    if standing is not None and standing.pinned_to == sha:
        return True
    event = Held(workspace.new_id(), name, workspace.now(), workspace.actor, reason, service, pinned_to=sha)
    appended = site.ledger.append([event])
    keep(site, event)
    say(f"{service} is held at {sha[:9]} until {workspace.branch} has its pins")
    return not appended.spooled
