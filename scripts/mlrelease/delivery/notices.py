"""What people are told when nobody watches: an automatic rollback, a deploy that failed, one that errors on and on.

Owns what is news, and keeps it on this host until it was told: `notices/open/` holds what people know of, `notices/out/` one
file a message and channel. Both follow from plan and history alone, so a pass that was killed before this is made up for by
the next one, and nothing is told twice. Who sends them is `notices_sending`'s business.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from mlrelease import atomic
from mlrelease.delivery.site import Site
from mlrelease.errors import Error
from mlrelease.forge.command import without_credentials
from mlrelease.history.fold import Attempt, History
from mlrelease.listing import listed
from mlrelease.log import get
from mlrelease.model.change import Change, Outcome, Plan
from mlrelease.render.plan import label
from mlrelease.render.report import one_line

SCHEMA = 1

ERRORED_TRIES = 6
"""So many errored tries in a row are news: with the waits between them (5, 10, 20 … s) some three minutes."""

KEPT = 200
"""Messages that wait at most: a receiver that is gone for ever must not fill the disk."""

RECOVERED = "recovered"

_KINDS = (Outcome.ROLLED_BACK.value, Outcome.FAILED.value, Outcome.ERRORED.value, RECOVERED)
_TYPES: Mapping[str, tuple[type, ...]] = {"str": (str,), "int": (int,), "float": (int, float)}


@dataclass(frozen=True, slots=True)
class Notice:
    """One piece of news of a service. `id` is the same however often it is made, so that a receiver can tell a repeat.

    `kind` is an outcome (`rolled_back`, `failed`, `errored`) or `recovered`; `subject` names what it is about, for both, and
    `origin` is the revision at which the trouble began, `paths` its pin files: they lead to who brought it.
    """

    id: str
    subject: str
    kind: str
    environment: str
    service: str
    revision: str
    at: float
    reason: str
    before: str
    after: str
    tries: int
    next: str
    origin: str
    paths: tuple[str, ...] = ()

    @property
    def title(self) -> str:
        """One line for people."""
        what = {
            Outcome.ROLLED_BACK.value: f"{self.after} was rolled back automatically",
            Outcome.FAILED.value: f"{self.after} failed, and nothing verified serves it",
            Outcome.ERRORED.value: f"{self.after} cannot be deployed: errored {self.tries} times",
            RECOVERED: "is well again",
        }[self.kind]
        return f"{self.environment}/{self.service}: {what}"

    def to_json(self) -> dict[str, Any]:
        """As the files hold it."""
        return {"schema": SCHEMA} | asdict(self)


def notice_from_json(data: Mapping[str, Any]) -> Notice:
    """The notice that `to_json` wrote. Raises `ValueError` for anything else."""
    try:
        notice = Notice(**{key: value for key, value in data.items() if key != "schema"} | {"paths": tuple(data["paths"])})
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"no notice: {error}") from error
    named = [
        one.name for one in fields(notice) if not isinstance(getattr(notice, one.name), _TYPES.get(str(one.type), (tuple,)))
    ]
    if named or notice.kind not in _KINDS or not all(isinstance(path, str) for path in notice.paths):
        raise ValueError(f"no notice: {', '.join(named) or 'kind or paths'} cannot be told")
    return notice


def troubles(site: Site, plan: Plan, history: History) -> tuple[Notice, ...]:
    """What is wrong now and worth waking somebody for: one notice for each service whose wanted bundle did not make it."""
    found = []
    for change in plan.changes:
        attempt = history.attempts.get((change.service, change.after.id)) if change.after is not None else None
        if attempt is not None and _is_news(attempt):
            found.append(_trouble(site, plan, change, attempt))
    return tuple(found)


def _is_news(attempt: Attempt) -> bool:
    if attempt.outcome is Outcome.ERRORED:
        return attempt.count >= ERRORED_TRIES
    return attempt.outcome in (Outcome.ROLLED_BACK, Outcome.FAILED)


def _trouble(site: Site, plan: Plan, change: Change, attempt: Attempt) -> Notice:
    name, service = plan.environment, change.service
    assert change.after is not None  # noqa: S101 - the caller looked its attempt up by it
    subject = f"{name}/{service}/{change.after.id}"
    step = f"rollback {name} --service {service} --last-good" if change.before else f"logs {name} {service}"
    if attempt.outcome is Outcome.ERRORED:
        step = f"plan {name}"
    return Notice(
        id=f"{subject}/{attempt.outcome}/{int(attempt.at * 1000)}",
        subject=subject,
        kind=attempt.outcome.value,
        environment=name,
        service=service,
        revision=plan.revision,
        at=attempt.at,
        reason=without_credentials(one_line(attempt.reason)),
        before=label(change.before),
        after=label(change.after),
        tries=attempt.count,
        next=f"mlrelease {step}",
        origin=plan.revision,
        paths=_paths(site, service),
    )


def _paths(site: Site, service: str) -> tuple[str, ...]:
    """The pin files of a service, by which the commit that moved it is found."""
    spec = site.environment.services.get(service)
    return () if spec is None else (spec.path, *(model.path for model in spec.models))


class Notices:
    """The notices of one environment on this host, told through `channels` (names; none: nobody wants to be told)."""

    def __init__(self, folder: Path, channels: Iterable[str]) -> None:
        self._open = folder / "open"
        self._out = folder / "out"
        self._channels = tuple(channels)

    def note(self, site: Site, plan: Plan, history: History) -> int:
        """Puts what is news into the outbox; returns how many notices. Raises `Error` when the disk refuses."""
        if not self._channels:
            return 0
        known = {notice.subject: notice for notice in self.open()}
        now = troubles(site, plan, history)
        fresh = [notice for notice in now if notice.subject not in known or known[notice.subject].kind != notice.kind]
        for notice in fresh:
            self._put(notice)
            atomic.write(self._open / f"{_file(notice.subject)}.json", _bytes(notice))
        over = self._over(known, {notice.subject for notice in now}, plan, history)
        for notice in over:
            self._put(notice)
            (self._open / f"{_file(notice.subject)}.json").unlink(missing_ok=True)
        return len(fresh) + len(over)

    def open(self) -> tuple[Notice, ...]:
        """What people were told of and is not well yet."""
        return tuple(notice for _, notice in _read(self._open))

    def waiting(self, channel: str) -> tuple[tuple[Path, Notice], ...]:
        """What is to be told through a channel, oldest first."""
        return tuple(_read(self._out, f"*@{channel}.json"))

    def _put(self, notice: Notice) -> None:
        moment = f"{int(notice.at * 1000):015d}"
        for channel in self._channels:
            atomic.write(self._out / f"{moment}-{_file(notice.subject)}-{notice.kind}@{channel}.json", _bytes(notice))
        for path in listed(self._out)[: -KEPT * len(self._channels)]:
            get("notices").warning("nobody takes it: a notice is dropped", file=path.name)
            path.unlink(missing_ok=True)

    def _over(self, known: Mapping[str, Notice], standing: set[str], plan: Plan, history: History) -> list[Notice]:
        """The good news: for each open notice whose service runs what git wants, or is wanted no more."""
        changes = {change.service: change for change in plan.changes}
        found = []
        for subject, notice in known.items():
            change = changes.get(notice.service)
            entry = history.recorded.get(notice.service)
            if subject in standing or change is None or change.after != history.bundle(notice.service):
                continue
            at = max(notice.at, entry.at if entry is not None else notice.at)
            found.append(
                Notice(
                    id=f"{subject}/{RECOVERED}/{int(at * 1000)}",
                    subject=subject,
                    kind=RECOVERED,
                    environment=notice.environment,
                    service=notice.service,
                    revision=plan.revision,
                    at=at + 0.002,  # of names that count milliseconds, never sorted before the trouble that it ends
                    reason=f"what git wants is what was proved: {label(change.after)}",
                    before=notice.after,
                    after=label(change.after),
                    tries=0,
                    next=f"mlrelease status {notice.environment}",
                    origin=notice.origin,
                    paths=notice.paths,
                )
            )
        return found


def _file(subject: str) -> str:
    """Names of environments and services are plain folder names; ids are hex."""
    return subject.replace("/", "~")


def _bytes(notice: Notice) -> bytes:
    return json.dumps(notice.to_json(), indent=2, sort_keys=True).encode()


def _read(folder: Path, pattern: str = "*.json") -> list[tuple[Path, Notice]]:
    found = []
    for path in listed(folder, pattern):
        try:
            found.append((path, notice_from_json(json.loads(path.read_bytes()))))
        except FileNotFoundError:
            continue  # told by another process since it was listed
        except OSError as error:
            raise Error(f"{path} cannot be read: {error.strerror}", hint="give this user the folder") from error
        except ValueError as error:
            # What is news is made anew from the ledger; a torn file would stand in the way for ever.
            get("notices").warning("a notice that cannot be read is dropped", file=path.name, error=str(error))
            path.unlink(missing_ok=True)
    return found
