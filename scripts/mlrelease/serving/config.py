"""What one instance of the reference server is started with: a JSON file that the target writes, read strictly."""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlrelease.deadlines import DEADLINES_S
from mlrelease.errors import Error
from mlrelease.model.bundle import Digest
from mlrelease.model.live import Artifact

_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_LONGEST_SOCKET_PATH = 107  # sun_path of unix(7) without its closing NUL
_PORTS = 65536
_KINDS = {str: "a string", bool: "true or false", list: "a list", dict: "an object"}


@dataclass(frozen=True, slots=True)
class ServeConfig:
    """One instance: who it is, where it listens (`unix:/path` or `host:port`) and what it answers for.

    `runtime` is what `/identity` says it runs on; empty: the server finds out.

    `run_id` is in every log line when set; `log_requests` off leaves the lines of single requests away. `drain_s`
    bounds how long requests in flight may take after SIGTERM.
    """

    service: str
    bundle: str
    image: str
    instance: str
    runtime: str
    listen: str
    models: tuple[Artifact, ...]
    drain_s: float = DEADLINES_S["instance.drain"]
    log_requests: bool = True
    run_id: str = ""

    def to_json(self) -> dict[str, Any]:
        """The form that `config_from_json` reads."""
        return {
            "service": self.service,
            "bundle": self.bundle,
            "image": self.image,
            "instance": self.instance,
            "runtime": self.runtime,
            "listen": self.listen,
            "models": [
                {
                    "name": m.name,
                    "version": m.version,
                    "digest": m.digest,
                    "path": str(m.path),
                    "golden": dict(m.golden) if m.golden is not None else None,
                    "golden_rtol": m.golden_rtol,
                }
                for m in self.models
            ],
            "drain_s": self.drain_s,
            "log_requests": self.log_requests,
            "run_id": self.run_id,
        }


def read_config(path: Path) -> ServeConfig:
    """The configuration in the file. Raises `Error` that names the file and the key."""
    try:
        data = json.loads(path.read_bytes())
    except OSError as e:
        raise Error(f"the server's configuration cannot be read: {e.strerror}", where=str(path)) from e
    except (ValueError, RecursionError) as e:
        raise Error("the server's configuration is not JSON", where=str(path)) from e
    try:
        return config_from_json(data)
    except Error as e:
        raise Error(e.message, hint=e.hint, where=str(path)) from e


def config_from_json(data: Any) -> ServeConfig:
    """The configuration in JSON form. Raises `Error` naming the key that is missing, unknown or of another kind."""
    texts = ("service", "bundle", "image", "instance", "runtime", "listen")
    _object(data, "the configuration", required=(*texts, "models"), optional=("drain_s", "log_requests", "run_id"))
    models = tuple(_model(item, f"models[{i}]") for i, item in enumerate(_value(data, "models", list)))
    names = [m.name for m in models]
    if not models or len(set(names)) < len(names):
        raise Error("models: must hold at least one model, and each name once")
    return ServeConfig(
        **{key: _value(data, key, str, empty=key not in ("service", "listen")) for key in texts if key != "listen"},
        listen=_listen(_value(data, "listen", str)),
        models=models,
        drain_s=_positive(data, "drain_s", DEADLINES_S["instance.drain"]),
        log_requests=_value({"log_requests": True} | data, "log_requests", bool),
        run_id=_value({"run_id": ""} | data, "run_id", str, empty=True),
    )


def _model(data: Any, place: str) -> Artifact:
    _object(data, place, required=("name", "version", "digest", "path"), optional=("golden", "golden_rtol"))
    digest = _value(data, "digest", str, place)
    if not _DIGEST.fullmatch(digest):
        raise Error(f"{place}.digest: not sha256: and 64 hex digits")
    golden = data.get("golden")
    if golden is not None:
        golden = _value(data, "golden", dict, place)
        if not isinstance(golden.get("payload"), dict) or "predictions" not in golden:
            raise Error(f"{place}.golden: must hold a payload (an object) and predictions")
    return Artifact(
        name=_value(data, "name", str, place),
        version=_value(data, "version", str, place),
        digest=Digest(digest),
        path=Path(_value(data, "path", str, place)),
        golden=golden,
        golden_rtol=_positive(data, "golden_rtol", 1e-6, place),
    )


def _listen(text: str) -> str:
    if text.startswith("unix:"):
        path = text.removeprefix("unix:")
        # The kernel would take what stands before a zero for the path.
        if not path.startswith("/") or "\0" in path or len(os.fsencode(path)) > _LONGEST_SOCKET_PATH:
            raise Error(f"listen: a unix socket needs an absolute path of at most {_LONGEST_SOCKET_PATH} bytes")
        return text
    host, _, port = text.rpartition(":")
    if not host or not port.isascii() or not port.isdigit() or len(port) > 5 or int(port) >= _PORTS:
        raise Error(f"listen: {text!r} is neither unix:/path nor host:port")
    return text


def _object(data: Any, place: str, *, required: tuple[str, ...], optional: tuple[str, ...]) -> None:
    if not isinstance(data, dict):
        raise Error(f"{place}: must be an object")
    missing = [key for key in required if key not in data]
    unknown = sorted(set(data) - set(required) - set(optional))
    if missing or unknown:
        parts = [f"{what} {', '.join(keys)}" for what, keys in (("missing", missing), ("unknown", unknown)) if keys]
        raise Error(f"{place}: {'; '.join(parts)}")


def _value(data: Mapping[str, Any], key: str, kind: type, place: str = "", *, empty: bool = False) -> Any:
    value = data[key]
    name = f"{place}.{key}" if place else key
    if not isinstance(value, kind):
        raise Error(f"{name}: must be {_KINDS[kind]}")
    if kind is str and not value and not empty:
        raise Error(f"{name}: must not be empty")
    return value


def _positive(data: Mapping[str, Any], key: str, default: float, place: str = "") -> float:
    value = data.get(key, default)
    name = f"{place}.{key}" if place else key
    try:
        number = math.nan if isinstance(value, bool) or not isinstance(value, int | float) else float(value)
    except OverflowError:
        number = math.inf
    if not 0 <= number < math.inf:
        raise Error(f"{name}: must be a number, 0 or more")
    return number
