"""A prediction's headers, in the forms in which people have them: curl's, JSON's, and what is neither."""

from __future__ import annotations

import contextlib
import json
import time

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


@pytest.fixture
def _far_away(monkeypatch):
    """The clock on the wall of somebody else."""
    monkeypatch.setenv("TZ", "Pacific/Auckland")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.parametrize(
    ("date", "at"),
    [
        (DATE, AT),
        ("Fri, 15 Jan 2027 08:00:00", AT),
        ("Fri, 15 Jan 2027 08:00:00 -0000", AT),
        ("Fri, 15 Jan 2027 09:30:00 +0130", AT),
    ],
    ids=["as HTTP has it", "without a zone", "of an unknown zone", "of another zone"],
)
@pytest.mark.usefixtures("_far_away")
def test_a_date_is_the_same_moment_wherever_it_is_read(date, at):
    """One without a zone is of GMT, and not of the reader's clock: else another receipt would explain the answer."""
    assert answered(f"X-Bundle: {ID}\nDate: {date}").at == at


REFUSED = "this is no answer to a prediction: "


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", f"{REFUSED}there is no X-Bundle header in it"),
        ("X-Bundle:", f"{REFUSED}there is no X-Bundle header in it"),
        ("X-Bundle: 371fe6b0c1d", f"{REFUSED}its X-Bundle is no bundle's id"),
        ("X-Bundle: 371fe6b0c1d25", f"{REFUSED}its X-Bundle is no bundle's id"),
        ("[1, 2", "this begins like JSON and is none"),
        (
            '[["x-bundle"], ["x-bundle", 7], ["x-bundle", "a", "b"], "x-bundle", 7, null]',
            f"{REFUSED}there is no X-Bundle header in it",
        ),
        ('[{"name": "x-bundle"}, {"value": "x"}, {"name": 7, "value": "x"}]', f"{REFUSED}there is no X-Bundle header in it"),
    ],
    ids=[
        "nothing",
        "an empty one",
        "one too short",
        "one too long",
        "half a list",
        "lists that are no pairs",
        "halves of pairs",
    ],
)
def test_a_refusal_says_in_full_what_is_missing(text, message):
    """And how to get it: the whole text."""
    with pytest.raises(UsageError) as refused:
        answered(text)
    assert refused.value.message == message
    assert refused.value.hint == (
        "save what `curl -i` prints, or the answer's headers as JSON, and name the file; - reads standard input"
    )


@pytest.mark.parametrize(
    "text",
    [
        f"  \n\t {json.dumps({'x-bundle': ID})}",
        f"\n\nX-Bundle: {ID}",
        f"   X-Bundle   :   {ID}   ",
        json.dumps({"X-Bundle": f"  {ID} "}),
        json.dumps([{"name": "X-Bundle", "value": f" {ID}"}]),
        json.dumps([["X-Bundle", f"{ID} "]]),
        f"HTTP/1.1 302 Found\nX-Bundle: 000000000000\n\nHTTP/1.1 200 OK\nX-Bundle: {ID}\n\nX-Bundle: 111111111111",
        f"< HTTP/1.1 302 Found\n< X-Bundle: 000000000000\n<\n< HTTP/1.1 200 OK\n< X-Bundle: {ID}\n< \nX-Bundle: 111111111111",
        json.dumps({"response": {"headers": {"headers": {"x-bundle": ID}}}}),
    ],
    ids=[
        "JSON behind white space",
        "behind empty lines",
        "with spaces around",
        "with spaces in JSON",
        "with spaces in a pair with names",
        "with spaces in a pair",
        "after a redirect, before a body",
        "the same as curl -v has it",
        "as deep as is looked",
    ],
)
def test_a_bundle_is_found_through_what_people_leave_around_it(text):
    """Copied from a terminal, a log, a tool."""
    assert answered(text) == Answered(ID)


def test_a_header_that_was_given_twice_counts_as_it_stood_last():
    """As a proxy adds it."""
    assert answered(f"X-Bundle: 000000000000\nX-Bundle: {ID}").bundle == ID
    assert answered(json.dumps([["X-Bundle", "000000000000"], ["x-bundle", ID]])).bundle == ID


@given(st.text(max_size=300))
def test_any_text_is_an_answer_or_a_clear_no(text):
    """Never another exception."""
    with contextlib.suppress(UsageError):
        assert answered(text).bundle
