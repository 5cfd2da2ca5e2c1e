"""A release as a value: its version, what its record says of each environment, and what it was made from."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import NamedTuple

from mlrelease.model.bundle import Bundle, Digest, ImagePin, ModelPin

FOLDER = "releases"
UNRELEASED = f"{FOLDER}/unreleased"
BRANCH = "mlrelease/release"
"""The branch of the release pull request."""

_VERSION = re.compile(r"v?(0|[1-9][0-9]{0,5})\.(0|[1-9][0-9]{0,5})\.(0|[1-9][0-9]{0,5})")


class Level(StrEnum):
    """How far a version moves. `AUTO`: as far as what is released asks for."""

    MAJOR = "major"
    MINOR = "minor"
    PATCH = "patch"
    AUTO = "auto"


class Version(NamedTuple):
    """A semantic version without pre-release parts; ordered by its numbers."""

    major: int
    minor: int
    patch: int

    @classmethod
    def parse(cls, text: str) -> Version | None:
        """The version of `1.2.0` or `v1.2.0`; None for anything else."""
        found = _VERSION.fullmatch(text)
        return cls(*map(int, found.groups())) if found else None

    def raised(self, level: Level) -> Version:
        """The next version of that level. Before 1.0.0 nothing is promised: what would be major is minor (semver.org, 4)."""
        if level is Level.MAJOR and self.major:
            return Version(self.major + 1, 0, 0)
        if level is Level.PATCH:
            return Version(self.major, self.minor, self.patch + 1)
        return Version(self.major, self.minor + 1, 0)

    @property
    def tag(self) -> str:
        """`v1.2.0`."""
        return f"v{self}"

    @property
    def path(self) -> str:
        """Where the record lies: `releases/v1.2.0.yaml`."""
        return f"{FOLDER}/{self.tag}.yaml"

    def __str__(self) -> str:
        return f"{self.major}.{self.minor}.{self.patch}"


def released_by(path: str) -> Version | None:
    """The version whose record lies at `path`; None where that is no record."""
    folder, _, name = path.rpartition("/")
    version = Version.parse(name.removesuffix(".yaml"))
    return version if version is not None and folder == FOLDER and path == version.path else None


@dataclass(frozen=True, slots=True)
class ApprovedBy:
    """An approval of exactly this bundle: the ledger's event, who said yes, when, and in which run."""

    event: str
    approver: str
    at: str
    run_url: str = ""


@dataclass(frozen=True, slots=True)
class ReleasedModel:
    """One pin with its evidence. `gates` maps a gate to its word, `metrics` are MLflow's when the release was cut.

    `registered_at` and `run_id` tell a version from one that was deleted and registered again under its number.
    """

    pin: ModelPin
    run_id: str = ""
    model_id: str = ""
    registered_at: str = ""
    gates: Mapping[str, str] = field(default_factory=dict)
    metrics: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ReleasedService:
    """One service as it answered: its bundle's parts, the receipt that proved it, and who had approved it.

    `settings` are the names of the variables that belong to the bundle; their values stay in the service file.
    """

    name: str
    bundle: str
    image: ImagePin
    models: tuple[ReleasedModel, ...]
    receipt: str
    verified_at: str
    revision: str
    settings: tuple[str, ...] = ()
    exercised: tuple[str, ...] = ()
    approvals: tuple[ApprovedBy, ...] = ()

    def pins(self) -> tuple[ImagePin, tuple[ModelPin, ...]]:
        """What is compared with files and ledger."""
        return self.image, tuple(sorted(model.pin for model in self.models))

    def is_of(self, bundle: Bundle) -> bool:
        """Whether the bundle is this one: same id, image and pins."""
        return self.bundle == bundle.id and self.pins() == (bundle.image, tuple(sorted(bundle.models)))


@dataclass(frozen=True, slots=True)
class ReleasedEnvironment:
    """One environment. `head` is the digest of the newest event of its ledger, `height` how many there were.

    `checked` says how it was looked at: `observed` (asked where it runs), `heartbeat` (its agent said so), `ledger`.
    """

    name: str
    checked: str
    height: int
    head: Digest
    services: Mapping[str, ReleasedService]


@dataclass(frozen=True, slots=True)
class Release:
    """A release record. `revision` is the commit whose pins these are; `previous` the tag before, empty for the first."""

    version: Version
    previous: str
    at: str
    actor: str
    revision: str
    environments: Mapping[str, ReleasedEnvironment]


class Section(StrEnum):
    """The headings of Keep a Changelog 1.1.0, in its order."""

    ADDED = "Added"
    CHANGED = "Changed"
    DEPRECATED = "Deprecated"
    REMOVED = "Removed"
    FIXED = "Fixed"
    SECURITY = "Security"


LEVELS: Mapping[Section, Level] = MappingProxyType(
    {
        Section.ADDED: Level.MINOR,
        Section.CHANGED: Level.MINOR,
        Section.DEPRECATED: Level.MINOR,
        Section.REMOVED: Level.MAJOR,
        Section.FIXED: Level.PATCH,
        Section.SECURITY: Level.PATCH,
    }
)
"""How far a line of the section moves the version, unless the line says more (a breaking one)."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the changelog: its section, its Markdown, and how far it moves the version."""

    section: Section
    text: str
    level: Level


@dataclass(frozen=True, slots=True)
class Problem:
    """Why there is no release: what, what to do about it, and the exit code it stands for (1, 4 or 5)."""

    message: str
    hint: str = ""
    code: int = 5
