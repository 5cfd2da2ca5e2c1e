"""What looks like a secret in a file: by the name of its key, or by a form that nothing else has. Shows no value, ever.

High confidence only: a false alarm teaches people to look away. The forms are those that their makers document
(GitHub, GitLab, AWS, Slack, Google, Hugging Face, Stripe, OpenAI, npm: "token formats" of each).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from types import MappingProxyType

from mlrelease.spec import expand

HIDDEN = "***"

# What a text must hold before its pattern is tried: nearly every file holds none of them, and `in` is quick.
_FORMS: Mapping[str, tuple[tuple[str, ...], re.Pattern[str]]] = MappingProxyType(
    {
        "a private key": (("PRIVATE KEY",), re.compile(r"-----BEGIN [A-Z ]{0,30}PRIVATE KEY-----[^-]*")),
        "an AWS access key": (("AKIA", "ASIA"), re.compile(r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b")),
        "a GitHub token": (
            ("ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_"),
            re.compile(r"\b(?:gh[opsur]_[A-Za-z0-9]{36,255}|github_pat_[A-Za-z0-9_]{22,255})"),
        ),
        "a GitLab token": (("glpat-",), re.compile(r"\bglpat-[A-Za-z0-9_-]{20,255}")),
        "a Slack token": (("xox",), re.compile(r"\bxox[abeprs]-[A-Za-z0-9-]{10,255}")),
        "a Google API key": (("AIza",), re.compile(r"\bAIza[A-Za-z0-9_-]{35}")),
        "a Hugging Face token": (("hf_",), re.compile(r"\bhf_[A-Za-z0-9]{34,255}")),
        "a Stripe key": (("_live_",), re.compile(r"\b[rs]k_live_[A-Za-z0-9]{20,255}")),
        "an OpenAI key": (("sk-",), re.compile(r"\bsk-[A-Za-z0-9_-]{32,255}")),
        "an npm token": (("npm_",), re.compile(r"\bnpm_[A-Za-z0-9]{36}")),
        "a signed token": (
            ("eyJ",),
            re.compile(r"\beyJ[A-Za-z0-9_-]{10,4000}\.eyJ[A-Za-z0-9_-]{4,4000}(?:\.[A-Za-z0-9_-]{0,4000})?"),
        ),
        "a bearer token": (("earer ", "EARER "), re.compile(r"\b[Bb](?:earer|EARER) +[A-Za-z0-9._~+/-]{20,4000}=*")),
        "a password in an address": (("://",), re.compile(r"(?<=://)[^\s/@:${}'\"]{0,200}:(?!\$\{)[^\s/@${}'\"]{1,200}@")),
    }
)
_MARKS = tuple(mark for marks, _ in _FORMS.values() for mark in marks)

_WORDS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+")
_LAST = frozenset(("password", "passwd", "passphrase", "secret", "token", "apikey", "credential", "credentials"))
_LAST_TWO = frozenset(("api key", "access key", "secret key", "private key", "encryption key", "signing key", "account key"))
# the tokens of language models: `PAD_TOKEN: "[PAD]"`
_MARKERS = frozenset(("bos", "eos", "pad", "unk", "sep", "cls", "mask", "stop", "start", "end", "special"))


def forms(text: str) -> Iterator[tuple[str, int]]:
    """What kind of secret stands at which character of `text`, in no order."""
    if not any(map(text.__contains__, _MARKS)):
        return
    for kind, (marks, pattern) in _FORMS.items():
        if any(mark in text for mark in marks):
            for match in pattern.finditer(text):
                yield kind, match.start()


def without(text: str) -> str:
    """`text` with everything that has the form of a secret hidden."""
    if not any(map(text.__contains__, _MARKS)):
        return text
    for marks, pattern in _FORMS.values():
        if any(mark in text for mark in marks):
            text = pattern.sub(HIDDEN, text)
    return text


@lru_cache(1024)
def is_named_so(key: str) -> bool:
    """Whether a key of this name holds a secret: its last word says so. `TOKEN_URL` and `MAX_TOKENS` do not."""
    words = [word.lower() for word in _WORDS.findall(key[:200])]
    if words[-1:] == ["token"] and words[-2:-1] and words[-2] in _MARKERS:
        return False
    return bool(words) and (words[-1] in _LAST or " ".join(words[-2:]) in _LAST_TWO)


def is_literal(value: str) -> bool:
    """Whether a secret's value stands in the file itself: neither empty nor a reference, or a reference's default."""
    if "${" in value:
        return any(expand.defaults(value))
    return value.strip().lower() not in ("", "true", "false", "none")
