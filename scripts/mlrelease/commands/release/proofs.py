"""What proves a release record: lines of git's and the ledger's word on it, each passed, failed or errored with its reason."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

from mlrelease.commands.release.tagged import Tagged
from mlrelease.commands.release.versioned import FILE
from mlrelease.commands.workspace import Workspace
from mlrelease.delivery.source import spec_at
from mlrelease.ledger.chain import Link, breaks
from mlrelease.model.change import Outcome
from mlrelease.model.event import Approved, DeployFinished
from mlrelease.model.release import Release, ReleasedEnvironment, ReleasedService
from mlrelease.model.spec import EnvironmentSpec, State


class Status(StrEnum):
    """Failed: it is not as recorded. Errored: it could not be asked. Skipped: it was not asked."""

    PASSED = "passed"
    FAILED = "failed"
    ERRORED = "errored"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class Line:
    """One thing that was looked at."""

    what: str
    check: str
    status: Status
    reason: str


def of_git(workspace: Workspace, found: Tagged) -> Iterator[Line]:
    """Tag, commit, record, pins and VERSION against each other and against the tracked branch."""
    git, record, tag = workspace.git, found.record, found.tag
    name, path, commit = tag.name, record.version.path, tag.commit
    yield _line(name, "annotated", tag.annotated, "an object with a tagger and a date", "a plain name that anybody can move")
    if found.here is not None and found.here.target != tag.target:
        yield Line(
            name, "tag", Status.FAILED, f"here it is {found.here.target[:9]}, at {workspace.branch.remote} {tag.target[:9]}"
        )
    elif not found.online:
        yield Line(name, "tag", Status.ERRORED, f"{workspace.branch.remote} did not answer: this is the tag of this clone")
    else:
        yield Line(name, "tag", Status.PASSED, f"points at commit {commit[:9]}")
    merged = git.is_ancestor(commit, found.tip)
    yield _line(name, "branch", merged, f"is on {workspace.branch}", f"is not on {workspace.branch}")
    at_tag, at_tip = git.blobs([f"{commit}:{path}", f"{found.tip}:{path}"])
    yield _line(path, "unchanged", at_tag == at_tip, "as it was tagged", f"another on {workspace.branch} than in the tag")
    known = git.resolve(record.revision) is not None
    before = known and git.is_ancestor(record.revision, commit)
    yield _line(
        path, "revision", before, f"made from {record.revision[:9]}", f"{record.revision[:9]} is not in the tag's history"
    )
    said = (git.blobs([f"{commit}:{FILE}"])[0] or b"").decode(errors="replace").strip()
    yield _line(FILE, "version", said == str(record.version), said, f"says {said[:40] or 'nothing'}")
    yield from of_pins(workspace, record, commit)


def of_pins(workspace: Workspace, record: Release, commit: str) -> Iterator[Line]:
    """The pins in the files of a commit against those of the record."""
    spec = spec_at(workspace.git, commit)
    for environment, one in sorted(record.environments.items()):
        yield from _pins(spec.environments.get(environment), one)


def _pins(spec: EnvironmentSpec | None, released: ReleasedEnvironment) -> Iterator[Line]:
    if spec is None:
        yield Line(released.name, "pins", Status.FAILED, "the commit has no environment of this name that can be read")
        return
    present = {name: service for name, service in spec.services.items() if service.state is State.PRESENT}
    for name in sorted(set(present) | set(released.services)):
        service, recorded = present.get(name), released.services.get(name)
        if service is None or recorded is None:
            where = "only in the record" if service is None else "not in the record"
            yield Line(f"{released.name}/{name}", "pins", Status.FAILED, f"the service is {where}")
        else:
            same = recorded.is_of(service.bundle)
            good = f"bundle {recorded.bundle}, {len(recorded.models)} models"
            yield _line(f"{released.name}/{name}", "pins", same, good, "the files of the commit pin something else")


def of_ledger(released: ReleasedEnvironment, links: Sequence[Link], changed: Sequence[str]) -> Iterator[Line]:
    """The chain up to the recorded head, and the receipts and approvals that the record names."""
    name, height = released.name, released.height
    then = links[:height]
    if len(links) < height:
        yield Line(name, "ledger", Status.FAILED, f"it has {len(links)} events; when it was released it had {height}")
    elif broken := next(breaks(then), ""):
        yield Line(name, "ledger", Status.FAILED, f"the chain does not hold: {broken}")
    elif then and then[-1].digest != released.head:
        yield Line(name, "ledger", Status.FAILED, f"event {height} is {then[-1].digest}, not {released.head}")
    elif files := {link.name for link in then} & {line.partition(" ")[0] for line in changed}:
        yield Line(name, "ledger", Status.FAILED, f"{min(files)} was changed or removed after it was written")
    else:
        yield Line(name, "ledger", Status.PASSED, f"the chain holds up to event {height}")
    events = {link.event.id: link.event for link in then}
    for service in released.services.values():
        what = f"{name}/{service.name}"
        yield _receipt(what, service, events.get(service.receipt))
        for approval in service.approvals:
            event = events.get(approval.event)
            good = (
                isinstance(event, Approved)
                and event.approver == approval.approver
                and event.service == service.name
                and _holds(dict(event.after), service)
            )
            yield _line(
                what, "approval", good, f"by {approval.approver}, {approval.event}", f"{approval.event} does not say so"
            )


def _receipt(what: str, service: ReleasedService, event: object) -> Line:
    if not isinstance(event, DeployFinished) or service.name not in event.services:
        return Line(what, "receipt", Status.FAILED, f"the ledger has no receipt {service.receipt} of it")
    one = event.services[service.name]
    good = one.outcome is Outcome.SUCCEEDED and one.after is not None and one.after.id == service.bundle
    return _line(what, "receipt", good, f"{service.receipt} proved it", f"{service.receipt} proved something else")


def _holds(after: dict[str, str], service: ReleasedService) -> bool:
    """Whether the approved components are those of the record, as far as the record names them."""
    wanted = {"image": str(service.image.digest)} | {f"model:{m.pin.name}": str(m.pin.digest) for m in service.models}
    return all(after.get(key) == value for key, value in wanted.items())


def _line(what: str, check: str, is_good: bool, good: str, bad: str) -> Line:
    return Line(what, check, Status.PASSED if is_good else Status.FAILED, good if is_good else bad)
