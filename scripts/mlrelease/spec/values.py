"""What a single value must look like: each function returns the value or raises `WrongValueError` with its rule."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable

from mlrelease.spec import expand
from mlrelease.spec.rules import WrongValueError
from mlrelease.spec.shown import address

DIGEST = r"^sha256:[0-9a-f]{64}$"
VERSION = r"^[1-9][0-9]{0,18}$"
NAME = r"^[a-z0-9][a-z0-9-]{0,62}$"
# MLflow allows more; a name that is also a file name, a URL segment and a metric label cannot
MODEL_NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$"
VARIABLE = r"^[A-Za-z_][A-Za-z0-9_]*$"
PYTHON = r"^(/[^/].*)?$"
DURATION = r"^[0-9]{1,6}[smhd]$"
# the grammar of docs.docker.com's reference: host and path in lower case, tag up to 128 characters
REPOSITORY = r"[a-z0-9]+(?:[._-]+[a-z0-9]+)*(?::[0-9]{1,5})?(?:/[a-z0-9]+(?:[._-]+[a-z0-9]+)*)*"
TAG = r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}"
IMAGE = rf"^{REPOSITORY}:{TAG}@sha256:[0-9a-f]{{64}}$"
IMAGE_FORM = "repository:tag@sha256: followed by 64 hex digits"
LISTEN = r"^(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?):[0-9]{1,5}$"
LONGEST_ADDRESS = 2000
_ALGORITHM = re.compile(r"(?i:sha|md5|blake|[0-9a-f]{32})")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_LITERAL_PASSWORD = re.compile(r"//[^\s/@]*:(?![0-9]+(?:/|$))\S+@|^[^\s/:@]+:(?!//)\S*@")


_COMPILED = {pattern: re.compile(pattern) for pattern in (DIGEST, VERSION, NAME, MODEL_NAME, VARIABLE, DURATION, IMAGE)}
Judge = Callable[[str], str]


def _fits(pattern: str, text: str) -> bool:
    return _COMPILED[pattern].fullmatch(text) is not None


def is_name(text: str) -> bool:
    """Whether `name` accepts it."""
    return _fits(NAME, text)


def is_exact_version(text: str) -> bool:
    """Whether `exact_version` accepts it."""
    return _fits(VERSION, text)


def name(text: str) -> str:
    """The name of an environment or a service."""
    if not _fits(NAME, text):
        raise WrongValueError("bad-name", "the name cannot be used", "lower-case letters, digits and -, at most 63, no - first")
    return text


def model_name(text: str) -> str:
    """The registered name of a model that can also be a file name."""
    if not _fits(MODEL_NAME, text):
        raise WrongValueError(
            "bad-name", "the model name cannot be used", "letters, digits, - _ and ., at most 63, a letter or digit first"
        )
    return text


def alias(text: str) -> str:
    """An MLflow alias. MLflow keeps `latest` and everything that looks like a version, `v8`, for itself."""
    if text.lower() == "latest" or re.fullmatch(r"(?i:v?[0-9]+)", text):
        raise WrongValueError("bad-value", "MLflow keeps this alias for itself", "a name such as production")
    return model_name(text)


def exact_version(text: str) -> str:
    """An MLflow version: a positive whole number without leading zeros."""
    if not _fits(VERSION, text):
        raise WrongValueError(
            "version-not-exact", "version is not one exact MLflow version", 'one version number in quotes, such as "8"'
        )
    return text


def digest(text: str) -> str:
    """`sha256:` and 64 lower-case hex digits."""
    if not _fits(DIGEST, text):
        raise WrongValueError("pin-digest", f"digest {_digest_flaw(text)}", "sha256: followed by 64 hex digits (lower case)")
    return text


def _digest_flaw(text: str) -> str:
    """What keeps a text from being a digest, the plainest flaw first."""
    algorithm, colon, digits = text.rpartition(":")
    if re.fullmatch(r"(?:.*@|(?!sha256:).*:)sha256:[0-9a-f]{64}", text):
        return "is the reference of an image, not the digest of a model's files"
    if not colon:
        return "does not say its algorithm" if re.fullmatch(r"[0-9a-fA-F]{32,128}", text) else "is not a full sha256"
    if re.fullmatch(r"[A-Za-z0-9_-]{1,20}", algorithm) and algorithm.lower() != "sha256":
        return "is of another algorithm than sha256"
    if re.fullmatch(r"[0-9a-fA-F]+", digits) and algorithm.lower() == "sha256":
        if len(digits) != 64:
            return f"has {len(digits)} hex digits, not 64"
        return "is not in lower case"
    return "is not a full sha256"


def image(text: str) -> str:
    """An image reference with tag and digest: the tag is for people, the digest decides."""
    if _fits(IMAGE, text):
        return text
    before, at, after = text.partition("@")
    tagged = ":" in before.rpartition("/")[2]
    if not at:
        message = "image has a tag but no digest" if tagged else "image has neither tag nor digest"
    elif not _ALGORITHM.match(after):
        message = "image is not a reference that a registry understands"
    elif not _fits(DIGEST, after):
        message = f"image digest {_digest_flaw(after)}"
    elif not tagged:
        message = "image has a digest but no tag"
    else:
        message = "image is not a reference that a registry understands"
    raise WrongValueError("image-digest", message, IMAGE_FORM, found=_shown_image(text))


def _shown_image(text: str) -> str:
    """The reference without userinfo: in front of a registry it is no valid reference, and may be a password."""
    head, _, tail = text.rpartition("@")
    if not _ALGORITHM.match(tail):
        head, tail = text, ""
    bare = address(head)
    if "@" in bare and "//" not in bare:
        bare = f"***@{bare.rpartition('@')[2]}"
    return f"{bare}@{tail}" if tail else bare


def duration(text: str) -> str:
    """A whole number and a unit."""
    if not _fits(DURATION, text):
        raise WrongValueError("bad-value", "not a duration", "a whole number and s, m, h or d, such as 90s, 10m, 24h or 7d")
    return text


def timeout(text: str) -> str:
    """A duration above zero."""
    if not seconds(duration(text)):
        raise WrongValueError("bad-value", "a timeout of zero lets nothing through", "a duration above zero, such as 60s")
    return text


def seconds(text: str) -> float:
    """The seconds of a duration that `duration` accepts."""
    return float(int(text[:-1]) * _SECONDS[text[-1]])


def listen(text: str) -> str:
    """`host:port`; an IPv6 host in brackets."""
    host, _, port = text.rpartition(":")
    is_good = re.fullmatch(LISTEN, text) is not None and 1 <= int(port) <= 65535
    if is_good and (host.startswith("[") or re.fullmatch(r"[0-9.]+", host)):
        try:
            ipaddress.IPv6Address(host[1:-1]) if host.startswith("[") else ipaddress.IPv4Address(host)
        except ValueError:
            is_good = False
    if not is_good:
        raise WrongValueError(
            "bad-value", "not an address to listen on", "host:port, such as 127.0.0.1:8080, with a port from 1 to 65535"
        )
    return text


def is_loopback(listen_address: str) -> bool:
    """Whether only this machine can reach the address."""
    host = listen_address.rpartition(":")[0].strip("[]")
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def variable(text: str) -> str:
    """The name of an environment variable."""
    if not re.fullmatch(VARIABLE, text):
        raise WrongValueError("bad-value", "not the name of a variable", "letters, digits and _, no digit first")
    return text


def python(text: str) -> str:
    """The absolute path of an interpreter, or nothing."""
    if text and (not text.isprintable() or not re.fullmatch(PYTHON, text)):
        raise WrongValueError(
            "bad-value", "not the absolute path of an interpreter", "a path from the root, such as /opt/models/.venv/bin/python"
        )
    return text


def template(text: str) -> str:
    """A value that may hold references to variables. What stands there is never shown: it may be a secret."""
    if not expand.is_well_formed(text):
        raise WrongValueError("bad-value", "a ${ is not closed or names no variable", expand.FORM, found="")
    return text


def tracking_uri(text: str) -> str:
    """An MLflow address: http(s), sqlite, or a variable with or without default."""
    expected = "http(s)://host…, sqlite:///file or ${NAME}"
    if len(text) > LONGEST_ADDRESS:
        message = f"tracking_uri is longer than {LONGEST_ADDRESS} characters"
        raise WrongValueError("tracking-uri", message, expected, found="")
    literal = expand.without_references(text)
    for part in (literal, *expand.defaults(text)):
        if _LITERAL_PASSWORD.search(part):
            expected, fix = "no user:password@ in the file", "write ${MLFLOW_TRACKING_URI}, set it, and change the password"
            raise WrongValueError("literal-secret", "tracking_uri holds a password", expected, fix=fix, found=_hidden(text))
    candidates = expand.defaults(text) if not literal else (text,)
    if not expand.is_well_formed(text) or re.search(r"\s", text) or not all(_is_address(part) for part in candidates):
        raise WrongValueError("tracking-uri", "tracking_uri is no address of an MLflow server", expected, found=_hidden(text))
    return text


def _hidden(text: str) -> str:
    """An address that may be torn anywhere, without whatever might be its userinfo: all of it up to the last `@`."""
    before, at, rest = text.rpartition("@")
    scheme = re.match(r"[a-z]{1,9}://", before)
    return address(f"{scheme[0] if scheme else ''}***@{rest}" if at else text)


def _is_address(text: str) -> bool:
    return re.match(r"https?://(?:[^\s/?#]+)|sqlite:///.", text) is not None
