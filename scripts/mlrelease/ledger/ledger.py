"""The append-only history of all environments on one git branch: read, append, golden predictions, manifests, heartbeat.

Layout of the branch (DESIGN §5.3): `<env>/events/<ulid>.json`, `golden/<digest>.json`, `manifests/<digest>.json`. It is
never checked out. What an event means is `history/`'s business; who holds the lock is `lock.py`'s.
"""

from __future__ import annotations

import json
import random
import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlrelease.deadlines import DEADLINES_S
from mlrelease.errors import Error, UnavailableError, UsageError
from mlrelease.forge.command import PushRefusedError
from mlrelease.forge.git import Git
from mlrelease.ledger.chain import Link, breaks, grown, stored
from mlrelease.ledger.contents import Contents
from mlrelease.ledger.filelock import Busy
from mlrelease.ledger.heartbeat import Heartbeat
from mlrelease.ledger.identity import authored
from mlrelease.ledger.pending import Pending, new_by_environment
from mlrelease.ledger.ref import LedgerRef, RewrittenError, Tip
from mlrelease.ledger.spool import Spool, Spooled
from mlrelease.log import get
from mlrelease.model.event import Event, UnknownEvent
from mlrelease.model.event_json import event_to_json

BACKOFF_S = 0.02
BACKOFF_MAX_S = 1.0

_FOLDER = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


class LedgerMoved(Error):  # noqa: N818 - a state, not a mistake
    """Somebody else appended to the environment since it was read."""

    def __init__(self, environment: str, expected: int, found: int) -> None:
        super().__init__(
            f"the ledger of {environment} moved on: it has {found} events, {expected} were expected",
            hint="read it again and decide anew",
        )
        self.expected = expected
        self.found = found


@dataclass(frozen=True, slots=True)
class LedgerView:
    """One environment's history as one look found it.

    `events` are in chain order, those still in this host's spool last; `height` counts them all and is the fencing
    number; `online` is False when the remote could not be asked (then this is the last known tip); `spooled` counts
    those that wait here; `broken` says where the chain does not hold (empty: it holds).
    """

    events: tuple[Event | UnknownEvent, ...]
    height: int
    online: bool = True
    spooled: int = 0
    broken: str = ""


@dataclass(frozen=True, slots=True)
class Appended:
    """`height` of the environment appended to (the first event's; 0 for blobs alone), and how many events wait in the spool."""

    height: int
    spooled: int = 0


class Ledger:
    """The ledger of the repository `git`, at `remote` (None: on a branch here). `spool` is a folder on this host.

    Several processes and hosts may use it at once. One object belongs to one thread.
    """

    def __init__(
        self, git: Git, *, remote: str | None, spool: Path, now: Callable[[], float], branch: str = "mlrelease/ledger"
    ) -> None:
        self._git = git
        self._ref = LedgerRef(git, remote, branch)
        self._spool = Spool(spool)
        self._now = now
        self._heartbeat = Heartbeat(git, remote, now)
        self._online = True
        self._rewritten = ""
        self._contents = Contents(git)

    # -- reading ---------------------------------------------------------------------------------------------------

    def read(self, environment: str, *, fetch: bool = True) -> LedgerView:
        """The history of one environment. With `fetch` the remote is asked first; one that does not answer is no error."""
        _check_folder(environment)
        waiting = self._spool.events()  # before the tip: see spool.py
        if fetch:
            self._look()
        links = self._contents.links(environment, self._ref.known())
        known = {one.event.id for one in links}
        spooled = [one.event for one in waiting if one.event.environment == environment and one.event.id not in known]
        events = (*(one.event for one in links), *spooled)
        broken = self._rewritten or next(breaks(links), "")
        return LedgerView(events, len(events), online=self._online, spooled=len(spooled), broken=broken)

    def chain(self, environment: str, *, fetch: bool = True) -> tuple[Link, ...]:
        """The event files of one environment in chain order, with their digests; not what still waits in the spool."""
        _check_folder(environment)
        if fetch:
            self._look()
        return self._contents.links(environment, self._ref.known())

    def environments(self, *, fetch: bool = True) -> tuple[str, ...]:
        """The environments that have events, sorted: whether or not any file names them. With `fetch` as in `read`."""
        waiting = self._spool.events()  # before the tip: see spool.py
        if fetch:
            self._look()
        names = {one.event.environment for one in waiting}
        return tuple(sorted(names | self._contents.environments(self._ref.known())))

    def verify(self, environment: str) -> tuple[str, ...]:
        """Every place where the history of an environment does not hold: the chain, and files changed or removed later."""
        _check_folder(environment)
        self._look()
        tip = self._ref.known()
        found = [self._rewritten] if self._rewritten else []
        found += breaks(self._contents.links(environment, tip))
        found += self._contents.spoilt(environment, tip)
        return tuple(found)

    def golden(self, digest: str) -> dict[str, Any] | None:
        """The golden predictions stored for a model digest; None when there are none."""
        return self.goldens([digest]).get(digest)

    def goldens(self, digests: Sequence[str], *, fetch: bool = True) -> dict[str, dict[str, Any]]:
        """The golden predictions stored for these model digests, by digest, in one look; those without are not in it.

        With `fetch` the remote is asked for those that are not known here.
        """
        return self._blobs({digest: _blob_path("golden", digest) for digest in digests}, fetch=fetch)

    def manifest(self, digest: str) -> dict[str, Any] | None:
        """The manifest stored for a digest; None when there is none."""
        return self._blobs({digest: _blob_path("manifests", digest)}).get(digest)

    def heartbeat(self, environment: str) -> dict[str, Any] | None:
        """What the agent of an environment last said of itself; None when none ever did."""
        _check_folder(environment)
        return self._heartbeat.read(environment)

    # -- writing ---------------------------------------------------------------------------------------------------

    def append(
        self, events: Sequence[Event], *, expect_height: int | None = None, blobs: Mapping[str, bytes] | None = None
    ) -> Appended:
        """Adds events (of any environments) and blobs (by path) in one commit, with whatever waits in the spool before them.

        With `expect_height` the events are a claim, of one environment: `LedgerMoved` when its height is another at the
        moment of the swap. When the remote is not reached, events go to the spool, and a claim is checked against what
        is known here. When the remote refuses the push, a claim is an error and everything else is spooled.
        """
        contents = [event_to_json(event) for event in events]
        for content in contents:
            _check_folder(content["environment"])
        if expect_height is not None and len({event.environment for event in events}) != 1:
            raise ValueError("expect_height needs events of exactly one environment")
        with ExitStack() as stack:
            if expect_height is not None:
                # Two claims of one host must not pass each other, one online and one into the spool.
                stack.enter_context(self._spool.lock())
            return self._append(contents, dict(blobs or {}), expect_height)

    def flush(self) -> Appended:
        """Brings what waits in the spool into the ledger. When the remote is not reached it goes on waiting."""
        return self.append([])

    def put_golden(self, digest: str, data: Mapping[str, Any]) -> None:
        """Stores the golden predictions of a model digest, once: the first writer wins."""
        self.put_goldens([(digest, data)])

    def put_goldens(self, goldens: Iterable[tuple[str, Mapping[str, Any]]]) -> None:
        """The same of many versions, in one commit."""
        self.append([], blobs={_blob_path("golden", digest): stored(data) for digest, data in goldens})

    def put_manifest(self, digest: str, data: Mapping[str, Any]) -> None:
        """Stores the manifest of a digest, once: the first writer wins."""
        self.put_manifests({digest: data})

    def put_manifests(self, manifests: Mapping[str, Mapping[str, Any]]) -> None:
        """The same of many digests, in one commit."""
        self.append([], blobs={_blob_path("manifests", digest): stored(data) for digest, data in manifests.items()})

    def beat(self, environment: str, data: Mapping[str, Any]) -> bool:
        """Says that the agent of an environment lives, with `data`. Returns whether it was heard; why not is logged."""
        _check_folder(environment)
        return self._heartbeat.write(environment, data)

    # -- inside ----------------------------------------------------------------------------------------------------

    def _look(self) -> None:
        try:
            self._ref.look()
        except UnavailableError as error:
            self._online = False
            get("ledger").warning("remote not reached: using the last known ledger", error=error.message)
        except RewrittenError as error:
            self._online, self._rewritten = True, error.message
        else:
            self._online, self._rewritten = True, ""

    def _append(self, contents: list[dict[str, Any]], blobs: dict[str, bytes], expect: int | None) -> Appended:
        deadline = time.monotonic() + DEADLINES_S["ledger.append"]
        pause = BACKOFF_S
        while True:
            try:
                done = self._try(contents, blobs, expect)
            except UnavailableError as error:
                self._online = False
                return self._to_spool(contents, blobs, expect, error)
            except (PushRefusedError, RewrittenError) as error:
                if expect is not None or not (contents or blobs):
                    raise
                return self._to_spool(contents, blobs, expect, error)
            if done is not None:
                self._online = True
                return done
            if time.monotonic() > deadline:
                busy = Error(
                    f"the ledger was written by others for {DEADLINES_S['ledger.append']:g} s without a gap", hint="try again"
                )
                if expect is not None:
                    raise busy
                return self._to_spool(contents, blobs, expect, busy)
            time.sleep(random.uniform(pause / 2, pause))  # noqa: S311 - spreads writers, hides nothing
            pause = min(pause * 2, BACKOFF_MAX_S)

    def _try(self, contents: list[dict[str, Any]], blobs: Mapping[str, bytes], expect: int | None) -> Appended | None:
        """One attempt; None when somebody else was faster."""
        waiting, waiting_blobs = self._spool.events(), self._spool.blobs()
        tip = self._ref.look()
        pending = self._pending(tip.commit, waiting, waiting_blobs, contents, blobs)
        height = self._check_height(contents, pending, tip.commit, expect)
        files = dict(self._files(pending, tip.commit))
        # Nothing to add, but a remote that is behind this clone is brought forward all the same.
        if files or tip.commit != tip.at_remote:
            commit = self._commit(tip, files, pending) if files else str(tip.commit)
            if not self._ref.swap(commit, tip):
                return None
        self._spool.remove(pending.spooled, pending.spooled_blobs)
        return Appended(height, 0)

    def _commit(self, tip: Tip, files: Mapping[str, bytes], pending: Pending) -> str:
        durable = self._ref.is_local  # with a remote the record is kept there; here is a copy
        return self._git.graft(tip.commit, files, pending.message(), extra=authored(self._now()), durable=durable)

    def _to_spool(self, contents: list[dict[str, Any]], blobs: Mapping[str, bytes], expect: int | None, why: Error) -> Appended:
        with ExitStack() as stack:
            if expect is None:  # a claim holds the lock already
                try:
                    stack.enter_context(self._spool.lock())
                except Busy as busy:
                    # What happened must not be lost for a lock that only keeps claims apart.
                    get("ledger").warning("writing to the spool without its lock", error=busy.message)
            waiting = self._spool.events()
            tip = self._ref.known()
            pending = self._pending(tip, waiting, {}, contents, blobs)
            height = self._check_height(contents, pending, tip, expect)
            new = [content for group in pending.new.values() for content in group]
            self._spool.add(new, pending.blobs, self._now())
            total = sum(len(group) for group in (*pending.old.values(), *pending.new.values()))
        if new or pending.blobs:
            get("ledger").warning("kept in the spool for later", events=len(new), waiting=total, reason=why.message)
        return Appended(height, total)

    def _pending(
        self,
        tip: str | None,
        waiting: Sequence[Spooled],
        waiting_blobs: Mapping[str, bytes],
        contents: Sequence[Mapping[str, Any]],
        blobs: Mapping[str, bytes],
    ) -> Pending:
        names = {one.event.environment for one in waiting} | {content["environment"] for content in contents}
        known = {one.event.id for name in names for one in self._contents.links(name, tip)}
        old = new_by_environment([one.content for one in waiting], known)
        new = new_by_environment(contents, known)
        wanted = {**blobs, **waiting_blobs}
        there = self._contents.files(list(wanted), tip)
        missing = {path: data for path, data in wanted.items() if path not in there}
        return Pending(tuple(waiting), old, new, missing, tuple(waiting_blobs))

    def _check_height(
        self, contents: Sequence[Mapping[str, Any]], pending: Pending, tip: str | None, expect: int | None
    ) -> int:
        """The height after the append of the first event's environment. Raises `LedgerMoved` for another one before it."""
        if not contents:
            return 0
        environment = contents[0]["environment"]
        before = len(self._contents.links(environment, tip)) + len(pending.old.get(environment, ()))
        added = len(pending.new.get(environment, ()))  # none when an earlier try got through after all
        if expect is not None and added and before != expect:
            raise LedgerMoved(environment, expect, before)
        return before + added

    def _files(self, pending: Pending, tip: str | None) -> Iterator[tuple[str, bytes]]:
        yield from pending.blobs.items()
        for environment in sorted({*pending.old, *pending.new}):
            events = (*pending.old.get(environment, ()), *pending.new.get(environment, ()))
            yield from grown(environment, self._contents.links(environment, tip), events, self._now())

    def _blobs(self, paths: Mapping[str, str], *, fetch: bool = True) -> dict[str, dict[str, Any]]:
        """The JSON objects at these paths, by the keys given: the spool's, else those known here, else the remote's."""
        spool = self._spool.blobs()
        found = {path: spool[path] for path in paths.values() if path in spool}
        found |= self._contents.files([path for path in paths.values() if path not in found], self._ref.known())
        if fetch and len(found) < len(set(paths.values())):
            before = self._ref.known()
            self._look()
            tip = self._ref.known()
            if tip != before:
                found |= self._contents.files([path for path in paths.values() if path not in found], tip)
        contents: dict[str, dict[str, Any]] = {}
        for key, path in paths.items():
            if path not in found:
                continue
            try:
                content = json.loads(found[path])
            except (ValueError, RecursionError) as e:
                raise Error(f"{path} in the ledger is damaged", hint="git log mlrelease/ledger shows who wrote it") from e
            if isinstance(content, dict):
                contents[key] = content
        return contents


def _blob_path(kind: str, digest: str) -> str:
    name = digest.replace(":", "-")
    _check_folder(name)
    return f"{kind}/{name}.json"


def _check_folder(name: str) -> None:
    """A name that becomes a path must be one plain folder name."""
    if not _FOLDER.fullmatch(name):
        raise UsageError(f"{name!r} cannot be a name in the ledger", hint="letters, digits, dots, dashes and underscores")
