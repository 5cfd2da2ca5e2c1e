"""Events that could not reach the remote yet, one file each, on this host. Nothing is forgotten by a kill or a power cut.

A file appears as a whole (fsync, then rename) and goes only after its event is in the ledger. Who reads both looks at
the spool *first*: what is flushed between the two looks is then seen twice, never not at all, and ids tell.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlrelease.deadlines import DEADLINES_S
from mlrelease.errors import Error
from mlrelease.ledger.chain import newest_name, next_name, stored
from mlrelease.ledger.filelock import held
from mlrelease.listing import listed, unusable
from mlrelease.log import get
from mlrelease.model.event import Event, UnknownEvent
from mlrelease.model.event_json import event_from_json

BLOBS = "blobs"


@dataclass(frozen=True, slots=True)
class Spooled:
    """One waiting event: its file, its JSON as it will be stored (without `prev`), and itself."""

    path: Path
    content: Mapping[str, Any]
    event: Event | UnknownEvent


class Spool:
    """The spool in one folder, shared by the processes of this host."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def lock(self) -> AbstractContextManager[None]:
        """Keeps other claims of this host out while one is made. Raises `Busy` after `ledger.spool`."""
        return held(self._folder / ".lock", wait_s=DEADLINES_S["ledger.spool"], name="mlrelease")

    def events(self) -> list[Spooled]:
        """The waiting events, oldest first. A file that is no event is put aside under another name and logged."""
        found = []
        for path in listed(self._folder):
            try:
                content = json.loads(path.read_bytes())
                found.append(Spooled(path, content, event_from_json(content)))
            except FileNotFoundError:
                continue  # flushed by another process since it was listed
            except OSError as e:
                raise unusable(path, e) from e
            except (ValueError, KeyError, TypeError, AttributeError) as e:
                self._put_aside(path, e)
        return found

    def blobs(self) -> dict[str, bytes]:
        """The waiting blobs by their path in the ledger."""
        top = self._folder / BLOBS
        found = {}
        for path in (path for folder in listed(top, "*") if folder.is_dir() for path in listed(folder)):
            try:
                found[path.relative_to(top).as_posix()] = path.read_bytes()
            except FileNotFoundError:
                continue
            except OSError as e:
                raise unusable(path, e) from e
        return found

    def add(self, contents: Iterable[Mapping[str, Any]], blobs: Mapping[str, bytes], now: float) -> None:
        """Writes blobs, then events, each whole and on the disk before the next. Raises `Error` when the disk refuses."""
        for name, data in blobs.items():
            place = self._folder / BLOBS / name
            if not place.exists():
                _write(place, data)
        last = newest_name(path.name for path in listed(self._folder))
        for content in contents:
            last = next_name(now, last)
            _write(self._folder / f"{last}.json", stored(content))

    def remove(self, events: Iterable[Spooled], blobs: Iterable[str]) -> None:
        """Takes away what is in the ledger now."""
        paths = [one.path for one in events] + [self._folder / BLOBS / name for name in blobs]
        for path in paths:
            try:
                path.unlink(missing_ok=True)
            except OSError as e:
                raise unusable(path, e) from e

    def _put_aside(self, path: Path, e: Exception) -> None:
        aside = path.with_suffix(".damaged")
        try:
            path.replace(aside)
        except OSError as error:
            raise unusable(path, error) from e
        get("ledger").error("a spooled event is damaged and was put aside", file=str(aside), error=type(e).__name__)


def _write(place: Path, data: bytes) -> None:
    temporary = place.with_name(f".{place.name}.{os.getpid()}")
    try:
        place.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with temporary.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(place)
        folder = os.open(place.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(folder)  # the rename itself
        finally:
            os.close(folder)
    except OSError as e:
        with suppress(OSError):  # not there, or where no folder is: what went wrong first is the news
            temporary.unlink()
        raise Error(
            f"an event could not be kept at {place.parent}: {e.strerror}", hint="free some space there", where=str(place.parent)
        ) from e
