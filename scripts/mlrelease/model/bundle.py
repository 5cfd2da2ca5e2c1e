"""What answers: pins, components and bundles, how a bundle gets its id, and its JSON in the ledger."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NewType

Digest = NewType("Digest", str)
"""`sha256:` and 64 lower-case hex digits."""

BundleId = NewType("BundleId", str)
"""The first 12 hex digits of the SHA-256 over what answers."""

ComponentKey = NewType("ComponentKey", str)
"""`image`, `model:<name>` or `settings`: one thing of a service that can move by itself."""

IMAGE = ComponentKey("image")
SETTINGS = ComponentKey("settings")
ABSENT = "absent"
"""The value of a component that a bundle does not have."""


def model_key(name: str) -> ComponentKey:
    """The component key of the model `name`."""
    return ComponentKey(f"model:{name}")


def canonical_json(value: object) -> bytes:
    """UTF-8 JSON with sorted keys and no spaces: equal values, equal bytes."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def sha256_digest(data: bytes) -> Digest:
    """`sha256:<hex>` of `data`."""
    return Digest(f"sha256:{hashlib.sha256(data).hexdigest()}")


@dataclass(frozen=True, slots=True)
class ImagePin:
    """`repository:tag@sha256:…` as written in the service file."""

    reference: str

    @property
    def digest(self) -> Digest:
        """The part that identifies: everything behind the `@`."""
        return Digest(self.reference.rpartition("@")[2])

    @property
    def short(self) -> str:
        """`repository:tag`, for people."""
        return self.reference.partition("@")[0]


@dataclass(frozen=True, slots=True, order=True)
class ModelPin:
    """Registered model name, exact version, content digest (DESIGN §5.6)."""

    name: str
    version: str
    digest: Digest


@dataclass(frozen=True, slots=True)
class Bundle:
    """What answers for one service: image, models, and the settings that change answers, unexpanded.

    `models` are sorted by name. Tags and version *numbers* are labels for people: only digests enter the id,
    so that the id is the same in every environment.
    """

    service: str
    image: ImagePin
    models: tuple[ModelPin, ...]
    settings: tuple[tuple[str, str], ...] = ()

    @property
    def id(self) -> BundleId:
        """12 hex digits, equal for equal content."""
        content = {
            "service": self.service,
            "image": self.image.digest,
            "models": [[pin.name, pin.digest] for pin in sorted(self.models)],
            "settings": dict(self.settings),
        }
        return BundleId(hashlib.sha256(canonical_json(content)).hexdigest()[:12])

    def components(self) -> dict[ComponentKey, str]:
        """Each thing that can move by itself, with the digest of its value."""
        parts = {IMAGE: str(self.image.digest), SETTINGS: str(sha256_digest(canonical_json(dict(self.settings))))}
        return parts | {model_key(pin.name): str(pin.digest) for pin in self.models}

    def versions(self) -> dict[str, str]:
        """Model name to version, the labels that people read."""
        return {pin.name: pin.version for pin in self.models}

    def to_json(self) -> dict[str, Any]:
        """The ledger's form."""
        return {
            "id": self.id,
            "image": self.image.reference,
            "models": [{"name": pin.name, "version": pin.version, "digest": pin.digest} for pin in sorted(self.models)],
            "settings": dict(self.settings),
        }

    @classmethod
    def from_json(cls, service: str, data: Mapping[str, Any]) -> Bundle:
        """The bundle that `to_json` wrote. Raises `KeyError`, `TypeError` or `AttributeError` for anything else."""
        return cls(
            service=service,
            image=ImagePin(data["image"]),
            models=tuple(sorted(ModelPin(m["name"], m["version"], Digest(m["digest"])) for m in data["models"])),
            settings=tuple(sorted(data.get("settings", {}).items())),
        )
