"""The names and passwords that `docker login` has left for image registries. Helpers that keep them elsewhere are not run."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlrelease.errors import Error

_ALIASES = {"registry-1.docker.io": ("https://index.docker.io/v1/", "index.docker.io", "docker.io")}


@dataclass(frozen=True, slots=True)
class Login:
    """What is known of a registry: name and password, or that a helper keeps them (`helper`)."""

    credentials: tuple[str, str] | None = None
    helper: str = ""


def login(host: str, variables: Mapping[str, str]) -> Login:
    """What `config.json` has for the registry `host`. Raises `Error` for a file that cannot be read; shows none of it."""
    folder = variables.get("DOCKER_CONFIG") or str(Path(variables.get("HOME") or Path.home()) / ".docker")
    path = Path(folder) / "config.json"
    try:
        config = json.loads(path.read_bytes())
    except FileNotFoundError:
        return Login()
    except (OSError, ValueError) as error:
        raise Error(f"{path} cannot be read", hint="docker login writes it anew", where=str(path)) from error
    names = (host, f"https://{host}", *_ALIASES.get(host, ()))
    for name in names:
        entry = _object(_object(config).get("auths")).get(name)
        if credentials := _decoded(_object(entry).get("auth")):
            return Login(credentials)
    helpers = _object(_object(config).get("credHelpers"))
    helper = next((helpers[name] for name in names if name in helpers), None) or _object(config).get("credsStore")
    return Login(helper=str(helper) if helper else "")


def _decoded(auth: object) -> tuple[str, str] | None:
    if not isinstance(auth, str) or not auth:
        return None
    try:
        name, colon, password = base64.b64decode(auth, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return None
    return (name, password) if colon else None


def _object(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
