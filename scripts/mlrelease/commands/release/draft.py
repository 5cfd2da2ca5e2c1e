"""A release as it would be: every check at once, then record, changelog and versions in a copy of the tip. Changes nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from mlrelease.commands.release.evidence import Seen, record_of, see
from mlrelease.commands.release.ground import Ground, objections, taken
from mlrelease.commands.release.versioned import FILE, move_version
from mlrelease.commands.workspace import Workspace
from mlrelease.delivery.source import Desired, spec_at
from mlrelease.errors import Error
from mlrelease.forge.scratch import Scratch
from mlrelease.history.releases import moved_back
from mlrelease.model.bundle import ModelPin
from mlrelease.model.release import UNRELEASED, Entry, Level, Problem, Release, Section, Version
from mlrelease.model.spec import SourceFile, Spec
from mlrelease.model.when import iso
from mlrelease.plan.release_changes import pin_changes
from mlrelease.plan.release_version import START, next_version
from mlrelease.render import changelog
from mlrelease.spec.fragments import fragments

PRODUCTION = "production"

Step = Callable[[str], None]
"""Told the name of each step when it is done; tests end the process there."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What the command line says of a release."""

    level: Level = Level.AUTO
    environments: tuple[str, ...] = (PRODUCTION,)


@dataclass(frozen=True, slots=True)
class Draft:
    """A release, or why there is none. `entries` are the lines that were made for it, `section` the changelog's new part."""

    version: Version | None = None
    problems: tuple[Problem, ...] = ()
    record: Release | None = None
    entries: tuple[Entry, ...] = ()
    section: str = ""
    tree: str = ""
    fragments: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _News:
    """What is released: lines by hand, fragments, pins that moved, rollbacks; and what is wrong with the first two."""

    kept: Mapping[Section, str] = field(default_factory=dict)
    fragments: Mapping[str, Entry] = field(default_factory=dict)
    moved: tuple[Entry, ...] = ()
    rollbacks: tuple[Entry, ...] = ()
    problems: tuple[Problem, ...] = ()

    @property
    def entries(self) -> tuple[Entry, ...]:
        return (*self.fragments.values(), *self.moved, *self.rollbacks)


def draft(workspace: Workspace, ground: Ground, asked: Asked, copy: Scratch, *, at: float) -> Draft:
    """The release in the copy, with its tree; or every problem that there is, and then nothing was even copied anew."""
    problems = list(objections(workspace, ground))
    desired = Desired(ground.head, spec_at(workspace.git, ground.head), ground.online)
    before = spec_at(workspace.git, ground.last_commit) if ground.last else Spec({})
    seen = [see(workspace, desired, name, _older(before, name)) for name in asked.environments]
    problems += [problem for one in seen for problem in one.problems]
    written, unread = _written(copy, ground)
    problems += unread
    news = _news(workspace, ground, before, seen, copy)
    problems += news.problems
    if not (news.kept or news.fragments or news.moved):
        since = f"since {ground.last.tag}" if ground.last else "yet"
        problems.append(
            Problem(f"nothing to release {since}: no fragment and no pin that moved", f"{UNRELEASED}/ says what a fragment is")
        )
    entries = (*changelog.written(news.kept), *news.entries)
    version = next_version(asked.level, written, ground.last, entries)
    problems += taken(workspace, ground, version)
    if problems:
        return Draft(
            version, tuple(dict.fromkeys(problems)), entries=news.entries, section=changelog.body(news.kept, news.entries)
        )
    try:
        record = Release(
            version=version,
            previous=ground.last.tag if ground.last else "",
            at=iso(at),
            actor=workspace.actor.partition(" <")[0],
            revision=ground.head,
            environments={name: record_of(one) for name, one in zip(asked.environments, seen, strict=True)},
        )
        return _written_down(copy, written or START, record, news, day=iso(at)[:10])
    except Error as error:
        return Draft(version, (Problem(error.message, error.hint, 1),))


def _written_down(copy: Scratch, before: Version, record: Release, news: _News, *, day: str) -> Draft:
    """Versions, changelog and record in the copy, fragments out of it."""
    from mlrelease.spec.release_file import dump  # noqa: PLC0415 - pydantic costs 0.1 s that `--help` does not pay

    move_version(copy, before, record.version)
    section = changelog.body(news.kept, news.entries)
    text = (copy.read(changelog.PATH) or b"").decode()
    copy.write(changelog.PATH, changelog.released(text, record.version, day, section).encode())
    copy.write(record.version.path, dump(record))
    for path in news.fragments:
        copy.remove(path)
    tree = copy.tree(changelog.PATH, FILE, record.version.path)
    return Draft(record.version, (), record, news.entries, section, tree, tuple(news.fragments))


def _written(copy: Scratch, ground: Ground) -> tuple[Version | None, list[Problem]]:
    """What VERSION says, and whether that can be raised."""
    data, last = copy.read(FILE), ground.last
    if data is None:
        if last:
            return None, [Problem(f"{FILE} is gone, and {last.tag} was released", f"write {last} into {FILE} and commit it")]
        return None, []
    text = data.decode(errors="replace").strip()
    version = Version.parse(text)
    if version is None or text != str(version):
        return None, [Problem(f"{FILE} says {text[:40]!r}, which is no version", "write it as 1.2.3 and commit it")]
    if last and version != last and version not in ground.untagged:
        return version, [
            Problem(f"{FILE} says {version}, and the newest tag is {last.tag}", f"write {last} into {FILE} and commit it")
        ]
    return version, []


def _news(workspace: Workspace, ground: Ground, before: Spec, seen: Sequence[Seen], copy: Scratch) -> _News:
    found, problems = fragments(_fragment_files(workspace, ground))
    data = copy.read(changelog.PATH) or b""
    try:
        kept = changelog.unreleased(data.decode())
    except UnicodeDecodeError:
        kept, problems = {}, (*problems, Problem(f"{changelog.PATH} is not UTF-8", "save it as UTF-8", 4))
    moved: list[Entry] = []
    rollbacks: list[Entry] = []
    for one in seen:
        name = one.history.environment
        released = ground.record.environments.get(name) if ground.record else None
        metrics = dict(one.known.metrics)
        if released:  # what stood there when it was released: MLflow may have forgotten, or say something else by now
            metrics |= {m.pin: m.metrics for s in released.services.values() for m in s.models if m.metrics}
        moved += pin_changes(before.environments.get(name), one.spec, one.history, metrics)
        back = moved_back(one.events[released.height if released else 0 :])
        rollbacks += changelog.rollback_entries(name, back)
    return _News(kept, found, tuple(moved), tuple(rollbacks), problems)


def _fragment_files(workspace: Workspace, ground: Ground) -> dict[str, SourceFile]:
    return workspace.git.tree(ground.head, UNRELEASED)


def _older(before: Spec, name: str) -> list[ModelPin]:
    environment = before.environments.get(name)
    return [m.pin for s in environment.services.values() for m in s.models] if environment else []
