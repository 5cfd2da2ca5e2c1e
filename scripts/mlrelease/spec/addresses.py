"""Whether two addresses are one, however they are written: listeners of this machine, MLflow servers."""

from __future__ import annotations

import ipaddress
import posixpath
from collections.abc import Mapping
from urllib.parse import urlsplit

from mlrelease.errors import Error
from mlrelease.spec import expand

_PORTS = {"http": 80, "https": 443}
_LOOPBACK = ("127.0.0.1", "::1")


def overlap(one: str, other: str) -> bool:
    """Whether listeners on these hosts and one port get in each other's way. Brackets, case and notation do not matter."""
    a, b = _interfaces(one), _interfaces(other)
    return bool(a & b) or any(_is_everything(x, y) or _is_everything(y, x) for x in a for y in b)


def servers(uri: str, variables: Mapping[str, str] | None = None) -> frozenset[str]:
    """The MLflow servers that an address may mean, in one notation each.

    With `variables` the one that it means here; without, the address as written and, where every reference has a
    default, the one by default.
    """
    if variables is not None:
        return frozenset((_server(_expanded(uri, variables)),))
    return frozenset((_server(uri), _server(_expanded(uri, {}))))


def _expanded(uri: str, variables: Mapping[str, str]) -> str:
    try:
        return expand.expand(uri, variables)
    except Error:  # not set: what is written is all there is to compare
        return uri


def _interfaces(host: str) -> frozenset[str]:
    plain = host.strip("[]").rstrip(".").lower()
    if plain == "localhost":
        return frozenset(_LOOPBACK)
    try:
        address = ipaddress.ip_address(plain)
    except ValueError:
        return frozenset((plain,))
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped:
        return frozenset((str(address.ipv4_mapped),))
    return frozenset((str(address),))


def _is_everything(one: str, other: str) -> bool:
    """Whether `one` stands for every interface that `other` can be. `::` takes IPv4 along, as Linux has it by default."""
    return one == "::" or (one == "0.0.0.0" and ":" not in other)  # noqa: S104 - nothing is bound here


def _server(uri: str) -> str:
    if uri.startswith("sqlite:///"):  # a fourth slash begins a path from the root
        return "sqlite:///" + posixpath.normpath(uri.removeprefix("sqlite:///"))
    if "${" in uri:
        return uri.rstrip("/")
    try:
        parts = urlsplit(uri)
        host, port = (parts.hostname or "").rstrip("."), parts.port or _PORTS.get(parts.scheme, 0)
    except ValueError:
        return uri
    host = _LOOPBACK[0] if host == "localhost" else host
    return f"{parts.scheme}://{host}:{port}{parts.path.rstrip('/')}"
