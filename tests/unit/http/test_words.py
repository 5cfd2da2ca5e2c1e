"""The words for what went wrong: addresses without secrets, one line of any text, and when to come again."""

from __future__ import annotations

import errno
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from mlrelease.http import words
from support.plain_dialect import PlainDialect

SECRET = "s3cr3t"


@pytest.mark.parametrize(
    ("url", "text"),
    [
        ("http://host", "http://host"),
        ("http://host/", "http://host"),
        ("https://host:8443/a/b//", "https://host:8443/a/b"),
        (f"http://ann:{SECRET}@host/a", "http://host/a"),
        (f"http://{SECRET}@host:5000", "http://host:5000"),
        (f"http://ann:p@{SECRET}@host/a", "http://host/a"),
        (f"http://host/a?token={SECRET}", "http://host/a"),
        (f"http://host/a#{SECRET}", "http://host/a"),
        (f"https://host/a;v=1?{SECRET}#{SECRET}", "https://host/a;v=1"),
        (f"http://ann:{SECRET}@[::1]:5000/a", "http://[::1]:5000/a"),
        (f"/login?next={SECRET}", "/login"),
        (f"http://ann:{SECRET}@[::1", "what is not a URL"),
        (f"http://ann:{SECRET}@ho\u2100st", "what is not a URL"),
        ("", ""),
    ],
    ids=[
        "as it is",
        "without the last slash",
        "a path, and all last slashes",
        "a password",
        "a token for a name",
        "a password with an @",
        "a query",
        "a fragment",
        "parameters of the path stay",
        "an IPv6 address",
        "a path alone",
        "half an address",
        "a host that is none",
        "nothing",
    ],
)
def test_an_address_is_shown_without_what_opens_it(url, text):
    """Scheme, host, port and path; what cannot be read is not shown at all."""
    assert words.shown(url) == text


@settings(max_examples=80, deadline=None)
@given(st.text(alphabet="ab:/?#@[]%\\ \n\u2100", max_size=20))
def test_whatever_the_address_its_password_is_not_shown(mess):
    """Never an exception, and nothing before the last @ of the host."""
    assert SECRET not in words.shown(f"http://ann:{SECRET}@host?{mess}")
    words.shown(mess)


@pytest.mark.parametrize(
    ("text", "one_line"),
    [
        ("as it is", "as it is"),
        ("two\r\nlines", "two lines"),
        ("  around \t", "around"),
        ("\x1b[2Jgone\x00\x9f\x7f", "[2Jgone"),
        ("größer → 東京", "größer → 東京"),
        ("", ""),
        ("\n\n", ""),
        ("x" * 200, "x" * 200),
        ("x" * 201, "x" * 199 + "…"),
        ("\n" + "x" * 200 + "\n", "x" * 200),
    ],
    ids=[
        "plain",
        "a line break is one blank",
        "blanks around it",
        "what a terminal obeys",
        "letters of any alphabet",
        "nothing",
        "line breaks alone",
        "as long as may be",
        "one letter longer",
        "counted without what is taken off",
    ],
)
def test_a_servers_words_are_one_line(text, one_line):
    """Of at most 200 letters, the last of them a mark when there was more."""
    assert words.clean(text) == one_line


@settings(max_examples=60, deadline=None)
@given(st.text(max_size=300))
def test_cleaning_twice_is_cleaning_once(text):
    """And what is clean has no control character."""
    clean = words.clean(text)
    assert words.clean(clean) == clean
    assert len(clean) <= 200
    assert not any(ord(letter) < 32 or 127 <= ord(letter) < 160 for letter in clean)


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("0", 0.0),
        ("1", 1.0),
        (" 120 ", 120.0),
        ("007", 7.0),
        ("100000000", 1e8),
        ("999999999", 1e8),
        ("1" + "0" * 400, 1e8),
        ("Sun, 06 Nov 1994 08:49:37 GMT", 0.0),
        ("Sun, 06 Nov 1994 08:49:37 -0000", 0.0),
        ("Sunday, 06-Nov-94 08:49:37 GMT", 0.0),
        ("", None),
        ("soon", None),
        ("-5", None),
        ("+5", None),
        ("1.5", None),
        ("1e3", None),
        ("5 s", None),
        ("Fri, 31 Dec 99999999999999999999 23:59:59 GMT", None),
        ("31 Dec 99 23:59:59 +999999999999", None),
        ("Fri, 32 Dec 2199 23:59:59 GMT", None),
    ],
    ids=lambda value: repr(value)[:40],
)
def test_when_to_come_again(header, seconds):
    """Whole seconds or a date; a moment that is over is now, and what is neither says nothing."""
    assert words.retry_after_s(header) == seconds


@pytest.mark.parametrize(
    "zone", ["GMT", "+0000", "-0000", "+0130", "-1100"], ids=["GMT", "UTC", "an unknown zone", "ahead", "behind"]
)
def test_a_date_counts_from_now_in_its_zone(zone):
    """Ten minutes are ten minutes, wherever the server is."""
    offset = 0 if zone == "GMT" else (1 if zone[0] == "+" else -1) * (int(zone[1:3]) * 60 + int(zone[3:]))
    moment = datetime.now(UTC) + timedelta(minutes=10 + offset)
    header = f"{format_datetime(moment).rpartition(' ')[0]} {zone}"
    found = words.retry_after_s(header)
    assert found is not None
    assert 590 < found <= 600


@settings(max_examples=100, deadline=None)
@given(st.text(alphabet="0123456789 :,+-DecFrimGMTx", max_size=40))
@example("31 Dec 9 9:9:9 99999999999999")
def test_no_header_is_an_exception(header):
    """It is a stranger's text: None, or seconds that are not below zero."""
    found = words.retry_after_s(header)
    assert found is None or found >= 0


@pytest.mark.parametrize(
    ("content_type", "kind"),
    [
        ("text/html; charset=utf-8", "text/html"),
        ("text/plain", "text/plain"),
        ("", "no content type"),
        ("; charset=utf-8", "no content type"),
        ("text/\x1b[2Jhtml", "text/ [2Jhtml"),
    ],
    ids=["with parameters", "alone", "none", "parameters alone", "with an escape"],
)
def test_an_answer_of_another_kind_is_named_by_its_type(content_type, kind):
    """The whole text: what came, what was expected, and where to look."""
    error = words.not_json("Plain at http://host", content_type, PlainDialect())
    assert error.message == (f"Plain at http://host answered with {kind} instead of JSON: a login page, or not a plain server")
    assert error.hint == "check server_uri, and whether a proxy in front asks for a login"


@pytest.mark.parametrize(
    ("failure", "text"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), "no space left on device"),
        (OSError("it is closed"), "it is closed"),
    ],
    ids=["the system's words", "a library's words"],
)
def test_a_file_that_cannot_be_written_is_named(failure, text):
    """It is the disk's fault, not the server's."""
    error = words.unwritable(Path("/s/cache/x"), failure)
    assert error.message == f"cannot write a downloaded file: {text}"
    assert error.hint == "the artifact cache lies in state_dir: check its free space and its owner"
    assert error.where == "/s/cache/x"
