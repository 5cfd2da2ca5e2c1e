"""One pull request per subject: commits on the tool's own branch, pushed, and the pull request opened or refreshed.

Whatever a killed run left is gone on with: what is on the branch counts, and the text is made from that. Never merges.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mlrelease.commands.workspace import Workspace
from mlrelease.delivery.source import Desired, spec_at
from mlrelease.errors import Error, UnavailableError
from mlrelease.forge import branches
from mlrelease.ledger.identity import authored
from mlrelease.model.bundle import IMAGE, SETTINGS, ComponentKey, canonical_json, model_key, sha256_digest
from mlrelease.model.spec import ServiceSpec, Spec
from mlrelease.render.report import cell

if TYPE_CHECKING:
    from mlrelease.forge.github.client import GitHub
    from mlrelease.forge.github.pulls import PullRequest

TRIES = 6
"""So often a branch is looked at anew when others move it; each of them moves it once."""

WITHDRAWN = "<!-- mlrelease:withdrawn -->"
"""In the text of a pull request that this tool closed: no person said no to its pins."""

Pins = Mapping[ComponentKey, tuple[str, str]]
"""What a pull request is about: each component with its label and its digest."""


@dataclass(frozen=True, slots=True)
class Subject:
    """What one pull request is about: one model of a service, or (without `model`) the service with all of its pins.

    `others` are the services that move together with it, by one branch for them all.
    """

    verb: str
    environment: str
    service: str
    model: str = ""
    others: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The model's, or the service's; `several`, which a service may be called too, has another sign in it."""
        return "several+" if self.others else self.model or self.service

    @property
    def branch(self) -> str:
        """The branch of its own."""
        return branches.branch_name(self.verb, self.environment, self.name)

    @property
    def marker(self) -> str:
        """The hidden marker. Two hyphens would end the HTML comment that it stands in."""
        return f"mlrelease:{self.verb}:{self.environment}:{self.name}".replace("--", "-%2D")

    def services_in(self, spec: Spec) -> dict[str, ServiceSpec]:
        """All services that `spec` has there, by name; none where the environment cannot be read."""
        environment = spec.environments.get(self.environment)
        return dict(environment.services) if environment and not spec.blocking(self.environment) else {}

    def service_in(self, spec: Spec) -> ServiceSpec | None:
        """The service as `spec` has it; None where it has findings or is not there."""
        return self.services_in(spec).get(self.service)

    def pins(self, spec: Spec) -> Pins:
        """Its components in `spec`; empty where it cannot be read there.

        Where several services move by one branch, those of the whole environment: another set of services would leave
        its own pins behind on that branch.
        """
        services = self.services_in(spec)
        if self.others:
            return {
                ComponentKey(f"{name}/{key}"): pin
                for name, service in sorted(services.items())
                for key, pin in _pins(service).items()
            }
        service = services.get(self.service)
        found = _pins(service) if service else {}
        return {key: pin for key, pin in found.items() if not self.model or key == model_key(self.model)}


def _pins(service: ServiceSpec) -> dict[ComponentKey, tuple[str, str]]:
    models = {model_key(m.name): (m.pin.version, str(m.pin.digest)) for m in service.models}
    settings = str(sha256_digest(canonical_json(dict(service.env))))
    return models | {IMAGE: (service.image.short, str(service.image.digest)), SETTINGS: ("", settings)}


@dataclass(frozen=True, slots=True)
class Edit:
    """One commit: files with their new bytes, and why."""

    files: Mapping[str, bytes]
    message: str


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is proposed on top of `base`. `explain` gives title and text for what a commit of the branch has.

    `again`: also where a person closed it. `newest_wins`: an open pull request for a newer version is left as it is.
    """

    subject: Subject
    base: Desired
    edits: tuple[Edit, ...]
    explain: Callable[[Spec], tuple[str, str]]
    again: bool = False
    newest_wins: bool = False


@dataclass(frozen=True, slots=True)
class Proposed:
    """What came of it. `sha` is the branch's commit (empty where nothing is proposed), `number` 0 without a pull request."""

    what: str
    sha: str = ""
    number: int = 0
    url: str = ""
    opened: bool = False

    def to_json(self) -> dict[str, object]:
        """Stable keys."""
        return {"number": self.number, "url": self.url, "opened": self.opened, "commit": self.sha}


def tip_to_propose_on(workspace: Workspace) -> Desired:
    """The tip of the tracked branch as its host has it now. Raises `UnavailableError` when it does not answer."""
    branch = workspace.branch
    if not branch.remote:
        raise Error("there is no remote to open a pull request at", hint="git remote add origin URL")
    desired = workspace.desired()
    if not desired.online:
        raise UnavailableError(f"{branch.remote} did not answer: nothing was proposed", hint=f"git fetch {branch.remote}")
    return desired


def propose(workspace: Workspace, github: GitHub, wanted: Wanted) -> Proposed:
    """The one pull request of the subject, with these edits on its branch; says what had to be done.

    Raises `Error` when somebody else's commit is on the branch, `PushRefusedError` when the remote takes no push to it.
    """
    from mlrelease.forge.github import pulls  # noqa: PLC0415 - requests costs 0.1 s that `--help` does not pay

    git, branch, subject = workspace.git, workspace.branch, wanted.subject
    made, asked = _made(workspace, wanted)
    pushed = told = opened = False
    for _ in range(TRIES):
        there = branches.find(git, branch.remote, subject.branch)
        pull = pulls.find(github, head=subject.branch, base=branch.branch)
        closed = () if pull else pulls.listed(github, head=subject.branch, base=branch.branch, state="closed")
        if not wanted.again and (no := _declined(workspace, closed, asked)):
            return no
        found = spec_at(git, there) if there else None
        standing = subject.pins(found) if found else {}
        # A branch without a pull request is left over from a closed one, or somebody is opening one just now.
        left_over = any(one.head_sha == there for one in closed)
        newer = wanted.newest_wins and not left_over and _is_newer(standing, asked)
        if pull and newer and not told:
            return Proposed(_older(pull, standing), there or "", pull.number, pull.html_url)
        # Whoever pushed after us has the last word; then the text is made to say what is on the branch.
        keeps = newer or pushed or (standing == asked and there is not None and _merges(workspace, there, wanted))
        if there is None or not keeps:
            _refuse_foreign(workspace, there, subject)
            if not branches.put(git, branch.remote, subject.branch, made, expected=there):
                continue
            there, pushed, found = made, True, None
        spec = found or spec_at(git, there)
        title, text = wanted.explain(spec)
        body = f"{_markers(subject, spec)}\n\n{text}"
        pull, is_new = pulls.open_or_refresh(github, head=subject.branch, base=branch.branch, title=title, body=body)
        told, opened = True, opened or is_new
        if branches.find(git, branch.remote, subject.branch) == there:
            did = "opened" if opened else "refreshed" if pushed else "proposed already in"
            what = _older(pull, standing) if newer else f"{did} #{pull.number}"
            return Proposed(what, there, pull.number, pull.html_url, opened)
    raise Error(f"{subject.branch} moves under every look", hint="run it again", where=subject.branch)


def push(workspace: Workspace, wanted: Wanted) -> str:
    """The commit of the subject's branch with these edits, without a pull request: for where there is no GitHub to ask."""
    git, branch, subject = workspace.git, workspace.branch, wanted.subject
    made, asked = _made(workspace, wanted)
    for _ in range(TRIES):
        there = branches.find(git, branch.remote, subject.branch)
        if there and subject.pins(spec_at(git, there)) == asked and _merges(workspace, there, wanted):
            return there
        _refuse_foreign(workspace, there, subject)
        if branches.put(git, branch.remote, subject.branch, made, expected=there):
            return made
    raise Error(f"{subject.branch} moves under every look", hint="run it again", where=subject.branch)


def withdraw(workspace: Workspace, github: GitHub, subject: Subject, why: str, *, pins: Pins) -> str:
    """Closes the subject's open pull request if it proposes just these pins; says so, empty when there is none."""
    from mlrelease.forge.github import comments, pulls  # noqa: PLC0415 - as above

    pull = pulls.find(github, head=subject.branch, base=workspace.branch.branch)
    there = branches.find(workspace.git, workspace.branch.remote, subject.branch) if pull else None
    if pull is None or there is None:
        return ""
    found = subject.pins(spec_at(workspace.git, there))
    if any(found.get(key) != pin for key, pin in pins.items()):
        return ""
    comments.sticky(github, pull.number, marker=subject.marker, body=f"Closed: {cell(why)}\n")
    first, _, rest = pull.body.partition("\n")
    body = pull.body if WITHDRAWN in pull.body else f"{first}\n{WITHDRAWN}\n{rest}"
    github.patch(f"pulls/{pull.number}", {"state": "closed", "body": body})
    return f"closed #{pull.number}"


def _made(workspace: Workspace, wanted: Wanted) -> tuple[str, Pins]:
    """The edits as commits on the base that no branch has yet, and the pins that they come to."""
    git = workspace.git
    # A job or a host may have no git identity; a person's own counts where there is one.
    extra = None if git.config_user() else authored(workspace.now())
    sha = wanted.base.revision
    for edit in wanted.edits:
        sha = git.graft(sha, edit.files, f"{edit.message.rstrip()}\n\n{branches.TRAILER}\n", extra=extra)
    return sha, wanted.subject.pins(spec_at(git, sha))


def _refuse_foreign(workspace: Workspace, there: str | None, subject: Subject) -> None:
    if there is not None and not branches.is_ours(workspace.git, there):
        raise Error(
            f"somebody else's commit {there[:9]} is on {subject.branch}: it is not overwritten",
            hint=f"merge it, or give it up: git push {workspace.branch.remote} --delete {subject.branch}",
            where=subject.branch,
        )


def _merges(workspace: Workspace, there: str, wanted: Wanted) -> bool:
    """Whether the tracked branch left the edited files alone since the branch began: else merging it would conflict.

    In a shallow clone that cannot be told, and GitHub will.
    """
    git = workspace.git
    base = git.merge_base(there, wanted.base.revision)
    if base is None:
        return True
    paths = [f":(top,literal){path}" for edit in wanted.edits for path in edit.files]
    return git.call("diff", "--quiet", base, wanted.base.revision, "--", *paths).code == 0


def _declined(workspace: Workspace, closed: Sequence[PullRequest], asked: Pins) -> Proposed | None:
    """Where a person merged or closed a pull request with just these pins before; None: nobody has judged them."""
    for pull in closed:
        if _pins_marker(asked) in pull.body and WITHDRAWN not in pull.body:
            did = f"merged, and {workspace.branch} has left it since" if pull.merged else "closed by a person"
            what = f"not proposed again: #{pull.number} was {did} (--reopen asks once more)"
            return Proposed(what, number=pull.number, url=pull.html_url)
    return None


def _older(pull: PullRequest, standing: Pins) -> str:
    return f"left as it is: #{pull.number} proposes {_label(standing)}, which is newer"


def _is_newer(standing: Pins, asked: Pins) -> bool:
    """Whether the branch has a newer version of the one model that is asked for."""
    versions = [(standing[key][0], label) for key, (label, _) in asked.items() if key in standing]
    return any(one.isdecimal() and other.isdecimal() and int(one) > int(other) for one, other in versions)


def _label(pins: Pins) -> str:
    return ", ".join(f"{key.removeprefix('model:')} {label}" for key, (label, _) in sorted(pins.items()) if label)


def _markers(subject: Subject, spec: Spec) -> str:
    from mlrelease.forge.github.text import marker_line  # noqa: PLC0415 - as above

    return f"{marker_line(subject.marker)}\n{_pins_marker(subject.pins(spec))}"


def _pins_marker(pins: Pins) -> str:
    """The pins as a hidden line: equal for equal pins."""
    content = {str(key): list(pin) for key, pin in pins.items()}
    return f"<!-- mlrelease:pins:{sha256_digest(canonical_json(content))[7:27]} -->"
