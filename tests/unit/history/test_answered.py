"""A prediction's headers, in the forms in which people have them: curl's, JSON's, and what is neither."""

from __future__ import annotations

import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mlrelease.errors import UsageError
from mlrelease.history.answered import LARGEST, Answered, answered

ID = "371fe6b0c1d2"
REVISION = "ba0a80a9e" + "0" * 31
AT = 1800000000.0
DATE = "Fri, 15 Jan 2027 08:00:00 GMT"
WHOLE = Answered(ID, "2", REVISION, "req-1", AT)
FIELDS = {"X-Bundle": ID, "X-Model-Version": "2", "X-Revision": REVISION, "X-Request-Id": "req-1", "Date": DATE}
LINES = "".join(f"{name}: {value}\r\n" for name, value in FIELDS.items())
LOWER = {name.lower(): value for name, value in FIELDS.items()}
BODY = '{"predictions": [1.0]}'


@pytest.mark.parametrize(
    "text",
    [
        f"HTTP/1.1 200 OK\r\n{LINES}\r\n{BODY}",
        f"HTTP/2 200\n{LINES.lower().replace(DATE.lower(), DATE)}\n{BODY}",
        "".join(f"< {line}\n" for line in ("HTTP/1.1 200 OK", *LINES.splitlines())) + f"<\n{BODY}",
        f"> POST /risk/invocations\n> Host: x\n< HTTP/1.1 200 OK\n< {LINES}<\n",
        f"HTTP/1.1 100 Continue\r\nX-Bundle: 000000000000\r\n\r\nHTTP/1.1 200 OK\r\n{LINES}\r\n{BODY}",
        LINES,
        json.dumps(FIELDS),
        json.dumps({"status": 200, "headers": LOWER, "answer": {"predictions": [1]}}),
        json.dumps({"response": {"headers": [{"name": name, "value": value} for name, value in FIELDS.items()]}}),
        json.dumps([[name, value] for name, value in FIELDS.items()]),
        json.dumps({"schema": 1, "verdict": "production: risk answered 200", "headers": LOWER}, indent=2),
    ],
    ids=[
        "curl -i",
        "curl -i over HTTP/2",
        "curl -v",
        "curl -v with the request",
        "after a 100 Continue",
        "headers alone",
        "JSON object",
        "JSON with headers below",
        "HAR",
        "list of pairs",
        "mlrelease predict",
    ],
)
def test_every_form_says_the_same(text):
    """Names in any case, line ends of any kind."""
    if "GMT" in text:
        assert answered(text) == WHOLE
    else:
        assert answered(text).bundle == ID


def test_what_is_missing_is_empty():
    """Only the bundle must be there."""
    assert answered(f"X-Bundle: {ID}") == Answered(ID)


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"x-revision": "main; rm -rf /"}, ("", 0.0)),
        ({"x-revision": "--help"}, ("", 0.0)),
        ({"date": "yesterday"}, ("", 0.0)),
        ({"date": "Fri, 99 Jan 2027 08:00:00 GMT"}, ("", 0.0)),
        ({"x-revision": REVISION[:9]}, (REVISION[:9], 0.0)),
    ],
    ids=["no revision", "an option", "no date", "an impossible date", "a short revision"],
)
def test_headers_that_hold_something_else_count_as_missing(headers, expected):
    """They come from outside."""
    found = answered(json.dumps({"x-bundle": ID} | headers))
    assert (found.revision, found.at) == expected


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "no X-Bundle"),
        (BODY, "no X-Bundle"),
        ("HTTP/1.1 503 Service Unavailable\n\nno healthy upstream", "no X-Bundle"),
        ("X-Bundle: ../../etc/passwd", "no bundle's id"),
        ("X-Bundle: 371FE6B0C1D2", "no bundle's id"),
        ("{not json", "begins like JSON"),
        ("[" * 100_000, "begins like JSON"),
        (f"HTTP/1.1 200 OK\nA: b\n\nX-Bundle: {ID}", "no X-Bundle"),
        (json.dumps({"headers": {"headers": {"headers": {"headers": {"x-bundle": ID}}}}}), "no X-Bundle"),
        (json.dumps({"x-bundle": 7}), "no X-Bundle"),
    ],
    ids=[
        "nothing",
        "a body without headers",
        "an error of the proxy",
        "a path",
        "capital letters",
        "broken JSON",
        "JSON without end",
        "a body that claims to be headers",
        "too deep",
        "a number",
    ],
)
def test_what_names_no_bundle_is_refused(text, said):
    """With how to get one that does."""
    with pytest.raises(UsageError, match=said) as refused:
        answered(text)
    assert "curl -i" in refused.value.hint


def test_only_so_much_is_looked_at():
    """An answer may be of any size."""
    with pytest.raises(UsageError):
        answered("\n" * LARGEST + f"X-Bundle: {ID}")


@given(st.text(max_size=300))
def test_any_text_is_an_answer_or_a_clear_no(text):
    """Never another exception."""
    with contextlib.suppress(UsageError):
        assert answered(text).bundle
