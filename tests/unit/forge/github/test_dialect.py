"""How GitHub's refusals are read, without a server: what is a limit, what may pass, and what each error says, word for word."""

from __future__ import annotations

import json

import pytest
from mlrelease.forge.github.dialect import HEADERS, GitHubDialect
from mlrelease.forge.github.errors import CredentialsError, ForbiddenError, InvalidError, NotFoundError
from mlrelease.http.dialect import RETRIED, Refusal, Retry
from mlrelease.http.errors import HttpError
from requests.structures import CaseInsensitiveDict

NOW = 1_800_000_000.0
NONE_LEFT = {"X_RateLimit_Remaining": "0", "X_RateLimit_Reset": "1800000030"}
DATE = "Fri, 15 Jan 2027 08:00:00 GMT"  # NOW, as GitHub writes it


def refusal(status, body=None, *, kind="application/json; charset=utf-8", **headers):
    named = {name.replace("_", "-"): value for name, value in headers.items()} | {"Content-Type": kind}
    data = body if isinstance(body, bytes) else json.dumps(body).encode() if body is not None else b""
    return Refusal(status, CaseInsensitiveDict(named), data)


def judge(*arguments, **headers):
    return GitHubDialect("GH_TOKEN", lambda: NOW).judge("GitHub", refusal(*arguments, **headers))


def error(*arguments, **headers):
    with pytest.raises(HttpError) as raised:
        judge(*arguments, **headers)
    return raised.value


def said(text):
    return {"message": text, "documentation_url": "https://docs.github.com/x"}


# -- limits --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "body", "headers", "seconds"),
    [
        (403, said("API rate limit exceeded"), NONE_LEFT | {"Date": DATE}, 31),
        (429, said("API rate limit exceeded"), NONE_LEFT | {"Date": DATE}, 31),
        (403, said("any words"), {"X_RateLimit_Remaining": "0", "X_RateLimit_Reset": "1800000000", "Date": DATE}, 1),
        (403, said("any words"), {"X_RateLimit_Remaining": "0", "X_RateLimit_Reset": "1700000000", "Date": DATE}, 1),
        (403, said("any words"), NONE_LEFT, 31),
        (403, said("any words"), NONE_LEFT | {"Date": "yesterday"}, 31),
        (403, said("any words"), {"Retry_After": "7"}, 7),
        (403, said("any words"), {"Retry_After": "0"}, 0),
        (403, said("rate limit"), NONE_LEFT | {"Retry_After": "7"}, 7),
        (403, said("You have exceeded a secondary rate limit."), {}, 60),
        (403, said("You have triggered an abuse detection mechanism."), {}, 60),
        (403, said("RATE LIMIT"), {"X_RateLimit_Remaining": "0", "X_RateLimit_Reset": "soon"}, 60),
        (403, said("rate limit"), {"X_RateLimit_Remaining": "12", "X_RateLimit_Reset": "1800000030"}, 60),
        (429, None, {}, 60),
        (429, b"<html>", {"kind": "text/html"}, 60),
        (429, b"[" * 100_000, {}, 60),
    ],
    ids=[
        "until it resets, by GitHub's clock", "the same with 429", "it resets now", "it has reset already",
        "no clock of GitHub's", "a date that is none", "as long as it asks", "at once", "what it asks for comes first",
        "a secondary limit", "its older name", "a reset that is none", "some are left: a secondary one", "no words",
        "a page instead of words", "nesting without end",
    ],
)  # fmt: skip
def test_a_limit_is_waited_for_and_nothing_was_done(status, body, headers, seconds):
    """So that a POST, too, may be sent again."""
    found = judge(status, body, **headers)
    assert (found.acted, found.after_s) == (False, seconds)
    words = body["message"] if isinstance(body, dict) else "no words"
    assert found.words == f"{status}, a rate limit ({words})"


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        (said("Resource not accessible by integration"), {}),
        (said("Resource not accessible by integration"), {"X_RateLimit_Remaining": "0"}),
        (said("no"), {"X_RateLimit_Remaining": "1", "X_RateLimit_Reset": "1800000030"}),
        (None, {}),
    ],
)
def test_a_missing_right_is_no_limit(body, headers):
    """Waiting would help nothing."""
    assert type(error(403, body, **headers)) is ForbiddenError


@pytest.mark.parametrize("status", sorted(RETRIED - {429}))
def test_a_trouble_of_the_server_s_may_pass_and_may_have_acted(status):
    """With its words and its wish where it has some; a status that says nothing else is no limit, whatever is left."""
    assert judge(status, said("Server Error")) == Retry(f"{status}: Server Error")
    assert judge(status, b"<html>bad gateway", kind="text/html") == Retry(str(status))
    assert judge(status, None, Retry_After="3") == Retry(str(status), after_s=3.0)
    assert judge(status, said("rate limit"), X_RateLimit_Remaining="0", X_RateLimit_Reset="9") == Retry(f"{status}: rate limit")


# -- errors --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "body", "kind", "message", "hint"),
    [
        (401, said("Bad credentials"), CredentialsError, "GitHub refused the credentials in GH_TOKEN (401): Bad credentials",
         "put a token that has not expired into GH_TOKEN"),
        (401, None, CredentialsError, "GitHub refused the credentials in GH_TOKEN (401)",
         "put a token that has not expired into GH_TOKEN"),
        (403, said("Must have admin rights"), ForbiddenError, "GitHub denies it (403): Must have admin rights",
         "see what the token in GH_TOKEN may do"),
        (404, said("Not Found"), NotFoundError, "GitHub found nothing there (404)",
         "GitHub says so too where the token in GH_TOKEN may not look: check name and permissions"),
        (404, said("Branch not protected"), NotFoundError, "GitHub found nothing there (404): Branch not protected",
         "GitHub says so too where the token in GH_TOKEN may not look: check name and permissions"),
        (422, said("Validation Failed"), InvalidError, "GitHub refuses it (422): Validation Failed", ""),
        (422, None, InvalidError, "GitHub refuses it (422)", ""),
        (409, said("Conflict"), HttpError, "GitHub answered 409: Conflict", ""),
        (410, None, HttpError, "GitHub answered 410", ""),
        (501, None, HttpError, "GitHub answered 501", ""),
    ],
)  # fmt: skip
def test_a_refusal_has_its_kind_its_words_and_its_way_out(status, body, kind, message, hint):
    """The variable that the token came from, never the token."""
    found = error(status, body)
    assert type(found) is kind
    assert (found.status, found.code, found.message, found.hint) == (status, "", message, hint)


@pytest.mark.parametrize(
    ("headers", "hint"),
    [
        ({"X_Accepted_GitHub_Permissions": "checks=write"}, "the token in GH_TOKEN needs the permission checks=write"),
        ({"X_Accepted_GitHub_Permissions": "issues=write; pull_requests=write;contents=read"},
         "the token in GH_TOKEN needs the permission issues=write or pull_requests=write or contents=read"),
        ({"X_Accepted_OAuth_Scopes": "repo, workflow"}, "the token in GH_TOKEN needs one of the scopes repo, workflow"),
        ({"X_Accepted_GitHub_Permissions": "checks=write", "X_Accepted_OAuth_Scopes": "repo"},
         "the token in GH_TOKEN needs the permission checks=write"),
        ({"X_Accepted_GitHub_Permissions": " ", "X_Accepted_OAuth_Scopes": ""}, "see what the token in GH_TOKEN may do"),
        ({"X_GitHub_SSO": "required; url=https://x", "X_Accepted_OAuth_Scopes": "repo"},
         "the token in GH_TOKEN must be authorised for the organisation's single sign-on"),
        ({"X_Accepted_OAuth_Scopes": "re\x1b[2Jpo"}, "the token in GH_TOKEN needs one of the scopes re [2Jpo"),
    ],
    ids=["an App's or a fine-grained token's", "one of several", "a classic token's", "both", "neither", "single sign-on first",
         "control characters"],
)  # fmt: skip
def test_what_a_token_lacks_is_named_as_github_names_it(headers, hint):
    """So that it can be found on the page where rights are given."""
    assert error(403, said("no"), **headers).hint == hint


@pytest.mark.parametrize(
    ("body", "message", "code"),
    [
        ({"message": "Validation Failed", "errors": [{"resource": "PullRequest", "field": "head", "code": "invalid"}]},
         ": Validation Failed; head invalid", "invalid"),
        ({"message": "Validation Failed", "errors": [{"code": "custom", "message": "A pull request already exists"}]},
         ": Validation Failed; A pull request already exists", "custom"),
        ({"message": "V", "errors": [{"field": "a"}, {"code": "b"}, {"message": "c"}, {"message": "d"}]}, ": V; a; b; c", ""),
        ({"message": "V", "errors": ["plain", 7, None]}, ": V; plain; 7; None", ""),
        ({"message": "V", "errors": [{}]}, ": V", ""),
        ({"message": "V", "errors": []}, ": V", ""),
        ({"message": "V", "errors": "text"}, ": V", ""),
        ({"errors": [{"message": "alone"}]}, ": alone", ""),
        ({"message": None}, "", ""),
        ({"message": "two\r\nlines\x1b[2J\x9b"}, ": two lines [2J", ""),
        ({"message": "x" * 300}, ": " + "x" * 199 + "…", ""),
        (["a list"], "", ""),
        (b"{torn", "", ""),
        (b"\xff", "", ""),
        (b"", "", ""),
        ("text", "", ""),
    ],
    ids=["field and code", "a message of its own", "three of four", "details of other types", "an empty one", "none",
         "details that are text", "details alone", "no message", "control characters", "a long one", "a list", "cut off",
         "no text", "nothing", "a JSON text"],
)  # fmt: skip
def test_github_s_details_are_on_one_line(body, message, code):
    """Whatever a server sends in its place is no crash."""
    found = error(422, body)
    assert (found.message, found.code) == (f"GitHub refuses it (422){message}", code)


def test_a_page_is_not_read_for_words():
    """Of a proxy, say: only JSON is GitHub's."""
    assert error(422, b'{"message": "x"}', kind="text/html").message == "GitHub refuses it (422)"
    assert error(422, b'{"message": "x"}', kind="application/problem+json").message == "GitHub refuses it (422): x"


def test_every_request_says_what_it_speaks():
    """The version is fixed, so that GitHub's next one changes nothing here."""
    assert HEADERS == {
        "Accept": "application/vnd.github+json",
        "X-GitHub-Api-Version": "2022-11-28",
        "User-Agent": "mlrelease",
    }
