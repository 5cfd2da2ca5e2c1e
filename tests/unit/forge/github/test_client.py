"""The client against every fault of GitHub: retried, waited for, looked up, or said clearly; nothing is made twice."""

from __future__ import annotations

import logging
import time

import pytest
from mlrelease import log
from mlrelease.errors import Error, UnavailableError
from mlrelease.forge.github import client as asking
from mlrelease.forge.github.auth import Token
from mlrelease.forge.github.client import GitHub, part
from mlrelease.forge.github.errors import CredentialsError, ForbiddenError, InvalidError, NotFoundError
from mlrelease.forge.github.place import Place
from mlrelease.http import retries as policy
from mlrelease.http.errors import AnsweredBadlyError, HttpError, MaybeDoneError
from support.faulty_server import answer, closed_port, faulty
from support.github_desk import client, desk
from support.github_server import Fault, html, lost, rate_limited, reset, secondary, slow, status, truncated

SECRET = "ghp_s3cret"


def impatient(hub, name, monkeypatch, **deadlines):
    """A client with shorter deadlines than the table's."""
    table = dict(policy_table()) | {f"github.{key}": value for key, value in deadlines.items()}
    monkeypatch.setattr("mlrelease.forge.github.auth.DEADLINES_S", table)
    return client(hub, name)


def policy_table():
    """The real table of deadlines."""
    from mlrelease.deadlines import DEADLINES_S

    return DEADLINES_S


# -- paths, pages --------------------------------------------------------------------------------------------------


def test_a_path_is_inside_the_repository_unless_it_begins_at_the_root(at):
    """The empty one is the repository itself."""
    assert at.github.get("")["full_name"] == at.name
    assert at.github.get("branches/main")["name"] == "main"
    assert at.github.get("/rate_limit")["rate"]["limit"] == 5000


def test_headers_say_who_we_are_to_github(hub):
    """The version of the API is named, so that a new one changes nothing."""
    with faulty(answer({"ok": 1})) as server:
        github = GitHub(Place(server.url, "acme", "models", ""), Token("GITHUB_TOKEN", SECRET))
        github.get("")
        headers = {name.lower(): value for name, value in server.requests[0].headers.items()}
    assert headers["accept"] == "application/vnd.github+json"
    assert headers["x-github-api-version"] == "2022-11-28"
    assert headers["user-agent"] == "mlrelease"
    assert headers["authorization"] == f"Bearer {SECRET}"


@pytest.mark.parametrize(("text", "quoted"), [("a/b", "a%2Fb"), ("v1?x=1#y", "v1%3Fx%3D1%23y"), ("ä", "%C3%A4")], ids=repr)
def test_a_part_of_a_path_stays_one_part(text, quoted):
    """A branch may be called anything."""
    assert part(text) == quoted


def test_three_hundred_items_come_in_pages(at):
    """All of them, in order, a hundred a call, over links that name the repository by its number."""
    for number in range(305):
        at.hub.comment(at.name, at.pull() if number == 0 else 1, "ann", f"comment {number}")
    bodies = [item["body"] for item in at.github.pages("issues/1/comments")]
    assert bodies == [f"comment {number}" for number in range(305)]
    assert sum(call.path.endswith("/issues/1/comments") and at.name in call.path for call in at.hub.calls[-4:]) <= 4


def test_a_list_inside_an_object_is_paged_too(at):
    """Check runs, environments and workflows come so."""
    for number in range(120):
        at.hub.environment(at.name, f"env-{number:03}")
    assert len([item["name"] for item in at.github.pages("environments")]) == 120


def test_pages_are_asked_for_only_as_far_as_they_are_read(at):
    """The first hit of a search ends it."""
    for number in range(150):
        at.hub.environment(at.name, f"env-{number:03}")
    before = len(at.hub.calls)
    assert next(at.github.pages("environments"))["name"] == "env-000"
    assert len(at.hub.calls) - before == 1


def test_parameters_are_written_as_the_api_takes_them(at):
    """Booleans in small letters."""
    at.github.get("rulesets", {"includes_parents": True, "page": 1})
    assert at.hub.calls[-1].query == "includes_parents=true&page=1"


def test_a_list_without_an_end_is_an_error():
    """A server that always has a next page."""
    with faulty(answer([{"a": 1}], Link='<http://127.0.0.1/x>; rel="next"')) as server:
        base = server.url
    with faulty(answer([{"a": 1}], Link=f'<{base}/x>; rel="next"')) as server:
        github = GitHub(Place(server.url, "acme", "models", ""), Token("GITHUB_TOKEN", SECRET))
        with pytest.raises(Error, match="foreign address for the next page"):
            list(github.pages("issues"))
        assert len(server.requests) == 1


def test_a_list_that_goes_on_for_ever_is_refused(monkeypatch):
    """A hundred pages (five here) are more than any list of ours has."""
    monkeypatch.setattr(asking, "_MOST_PAGES", 5)
    link = {}

    def endless(handler):
        answer([{"a": 1}], Link=link["next"])(handler)

    with faulty(endless) as server:
        link["next"] = f'<{server.url}/next?page=2>; rel="next"'
        github = GitHub(Place(server.url, "acme", "models", ""), Token("GITHUB_TOKEN", SECRET))
        with pytest.raises(Error, match="lists more than 500 items"):
            list(github.pages("issues"))
        assert len(server.requests) == 5


@pytest.mark.parametrize("value", [{"message": "hello"}, 7, {"a": [], "b": []}, None], ids=repr)
def test_what_is_no_list_is_not_taken_for_an_empty_one(value):
    """An answer of another form is an error, never "there is none"."""
    with faulty(answer(value if value is not None else {})) as server:
        github = GitHub(Place(server.url, "acme", "models", ""), Token("GITHUB_TOKEN", SECRET))
        with pytest.raises(Error, match="something else than a list"):
            list(github.pages("issues"))


def test_a_key_picks_one_of_several_lists():
    """Where an object has two."""
    with faulty(answer({"a": [{"n": 1}], "b": [{"n": 2}]})) as server:
        github = GitHub(Place(server.url, "acme", "models", ""), Token("GITHUB_TOKEN", SECRET))
        assert list(github.pages("x", key="b")) == [{"n": 2}]


# -- faults of the line --------------------------------------------------------------------------------------------


def test_a_refused_connection_is_reported_with_where_to_look():
    """The address is named, with the variables that set it."""
    with closed_port() as port:
        github = GitHub(Place(f"http://127.0.0.1:{port}", "acme", "models", ""), Token("GITHUB_TOKEN", SECRET))
        with pytest.raises(
            UnavailableError, match=f"GitHub at http://127.0.0.1:{port} did not answer: connection refused"
        ) as e:
            github.get("")
    assert "githubstatus.com" in e.value.hint
    assert "GITHUB_API_URL" in e.value.hint


@pytest.mark.parametrize(
    "faults",
    [
        pytest.param([reset()] * 3, id="reset three times"),
        pytest.param([500] * 3, id="500 three times"),
        pytest.param([502, 503, 504], id="502, 503, 504"),
        pytest.param([truncated()] * 2, id="cut off twice"),
        pytest.param([408], id="408"),
        pytest.param([Fault(503, "<html>unicorn", content_type="text/html")], id="the unicorn page"),
    ],
)
def test_a_fault_that_passes_is_not_seen_by_the_caller(at, faults):
    """Reads are tried again."""
    at.hub.fault(f"GET /repos/{at.name}", *faults)
    assert at.github.get("")["full_name"] == at.name


def test_a_server_that_fails_for_ever_is_asked_five_times(at):
    """And its own words are shown."""
    at.hub.fault(f"GET /repos/{at.name}", status(500, "Server Error"), forever=True)
    before = len(at.hub.calls)
    with pytest.raises(AnsweredBadlyError, match=r"answered 500: Server Error$"):
        at.github.get("")
    assert len(at.hub.calls) - before == 5


def test_a_slow_answer_is_waited_for(at):
    """As long as it comes within the deadline."""
    at.hub.fault(f"GET /repos/{at.name}", slow(0.3))
    assert at.github.get("")["full_name"] == at.name


def test_an_answer_that_never_comes_ends_by_the_deadline(hub, at, monkeypatch):
    """Named, with the seconds."""
    hub.fault(f"GET /repos/{at.name}", slow(30), forever=True)
    github = impatient(hub, at.name, monkeypatch, read=0.2, total=0.5)
    began = time.monotonic()
    with pytest.raises(UnavailableError, match=r"did not answer: no answer within 0\.\d+ s"):
        github.get("")
    assert time.monotonic() - began < 10


def test_a_login_page_is_no_answer(at):
    """A proxy that asks for a password answers 200 in HTML."""
    at.hub.fault(f"GET /repos/{at.name}", html())
    with pytest.raises(Error, match=r"answered with text/html instead of JSON: a login page, or not GitHub's API"):
        at.github.get("")


def test_a_redirect_of_a_write_says_what_to_change():
    """A renamed repository: reads follow, a POST must not become a GET."""
    with faulty(answer({"message": "Moved"}, 307, Location="https://api.example/repositories/1")) as server:
        github = GitHub(Place(server.url, "acme", "old", ""), Token("GITHUB_TOKEN", SECRET))
        with pytest.raises(Error, match=r"redirects to https://api\.example/repositories/1") as caught:
            github.post("issues", {"title": "x"})
    assert "git remote" in caught.value.hint


def test_no_write_has_a_body_in_its_answer_when_github_gives_none(at):
    """204 is a success without JSON."""
    assert at.github.post("dispatches", {"event_type": "x"}) is None


# -- refusals ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fault", "kind", "text"),
    [
        pytest.param(401, CredentialsError, r"refused the credentials in GITHUB_TOKEN \(401\): because", id="401"),
        pytest.param(403, ForbiddenError, r"denies it \(403\): because", id="403"),
        pytest.param(404, NotFoundError, r"found nothing there \(404\)", id="404"),
        pytest.param(
            status(404, "Branch not protected"), NotFoundError, r"there \(404\): Branch not protected$", id="404 with words"
        ),
        pytest.param(status(404, "Not Found"), NotFoundError, r"there \(404\)$", id="404 without words of its own"),
        pytest.param(422, InvalidError, r"refuses it \(422\): because", id="422"),
        pytest.param(409, HttpError, "answered 409: because", id="409"),
        pytest.param(410, HttpError, "answered 410: because", id="410"),
        pytest.param(
            Fault(404, "<html>", content_type="text/html"), NotFoundError, r"nothing there \(404\)$", id="404 in HTML"
        ),
        pytest.param(Fault(403, "{"), ForbiddenError, r"denies it \(403\)$", id="403 in half a JSON"),
        pytest.param(Fault(422, ["x"]), InvalidError, r"refuses it \(422\)$", id="422 in a list"),
    ],
)
def test_a_refusal_is_told_apart_and_not_tried_again(at, fault, kind, text):
    """Each has its own class, GitHub's words, and the address without query."""
    at.hub.fault(f"GET /repos/{at.name}", fault, forever=True)
    before = len(at.hub.calls)
    with pytest.raises(kind, match=text) as caught:
        at.github.get("", {"secret": "s3cret"})
    assert len(at.hub.calls) - before == 1
    assert caught.value.where == f"{at.hub.api_url}/repos/{at.name}"


def test_details_of_a_refusal_are_shown(at):
    """Field and code where GitHub has no words for it, its words where it has."""
    errors = [
        {"resource": "Issue", "field": "title", "code": "missing_field"},
        {"code": "custom", "message": "no way"},
        "plain",
    ]
    at.hub.fault("POST */issues", Fault(422, {"message": "Validation Failed", "errors": errors}))
    with pytest.raises(InvalidError, match=r"Validation Failed; title missing_field; no way; plain$") as caught:
        at.github.post("issues", {})
    assert caught.value.code == "missing_field"


@pytest.mark.parametrize(
    ("headers", "hint"),
    [
        pytest.param({"X-Accepted-GitHub-Permissions": "checks=write"}, "needs the permission checks=write", id="an App's"),
        pytest.param({"X-Accepted-GitHub-Permissions": "a=read; b=write"}, "permission a=read or b=write", id="one of two"),
        pytest.param({"X-Accepted-OAuth-Scopes": "repo"}, "needs one of the scopes repo", id="a classic token's"),
        pytest.param({"X-GitHub-SSO": "required; url=https://x"}, "single sign-on", id="single sign-on"),
        pytest.param({}, "see what the token in GITHUB_TOKEN may do", id="GitHub does not say"),
    ],
)
def test_a_missing_right_is_named(at, headers, hint):
    """GitHub says it in headers."""
    at.hub.fault(f"GET /repos/{at.name}", Fault(403, {"message": "Resource not accessible by integration"}, headers))
    with pytest.raises(ForbiddenError) as caught:
        at.github.get("")
    assert hint in caught.value.hint
    assert "GITHUB_TOKEN" in caught.value.hint


def test_github_s_words_come_without_control_characters(at):
    """A message may hold anything; a terminal must not act on it."""
    at.hub.fault(f"GET /repos/{at.name}", status(403, "no\x1b[2J\r\n::error::way" + "x" * 500))
    with pytest.raises(ForbiddenError) as caught:
        at.github.get("")
    assert "\x1b" not in caught.value.message
    assert "\n" not in caught.value.message
    assert len(caught.value.message) < 400


# -- limits --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(secondary(1), id="secondary limit with Retry-After"),
        pytest.param(secondary(1, 429), id="429 with Retry-After"),
        pytest.param(status(403, "anything", Retry_After="1"), id="403 with Retry-After"),
    ],
)
def test_a_limit_is_waited_for_also_before_a_write(at, fault):
    """It was refused before anything was done, so that a POST may be sent again."""
    at.hub.fault("POST */issues", fault)
    began = time.monotonic()
    at.github.post("issues", {"title": "x"})
    assert time.monotonic() - began >= 1
    assert len(at.state.issues) == 1


def test_the_primary_limit_is_waited_for_until_it_resets(at):
    """By GitHub's clock, not by ours, which may be wrong."""
    github = client(at.hub, at.name, now=lambda: 0.0)
    at.hub.fault(f"GET /repos/{at.name}", rate_limited(time.time() + 1))
    assert github.get("")["full_name"] == at.name


@pytest.mark.parametrize(
    ("fault", "text"),
    [
        pytest.param(lambda: rate_limited(time.time() + 3000), r"asks to wait (29|30)\d\d s", id="the primary limit"),
        pytest.param(lambda: secondary(900), "asks to wait 900 s", id="a secondary limit"),
        pytest.param(lambda: status(429, Retry_After="7200"), "asks to wait 7200 s", id="429 for two hours"),
    ],
)
def test_a_long_limit_is_reported_at_once(at, fault, text):
    """Nobody waits for an hour in a step; the seconds are said, and nothing is asked again."""
    at.hub.fault(f"GET /repos/{at.name}", fault(), forever=True)
    before, began = len(at.hub.calls), time.monotonic()
    with pytest.raises(UnavailableError, match=text) as caught:
        at.github.get("")
    assert time.monotonic() - began < 20
    assert len(at.hub.calls) - before == 1
    assert "rate limit" in caught.value.message


def test_a_secondary_limit_without_a_time_lasts_a_minute(hub, at):
    """As GitHub's documentation asks; longer than this client's patience."""
    hub.fault(f"GET /repos/{at.name}", secondary())
    github = GitHub(at.github.place, Token("GITHUB_TOKEN", hub.actions_token), patience_s=1)
    with pytest.raises(UnavailableError, match="asks to wait 60 s"):
        github.get("")


def test_a_permission_that_is_missing_is_not_taken_for_a_limit(at):
    """Both are 403; only a limit is waited for."""
    headers = {"X-RateLimit-Remaining": "4000", "X-RateLimit-Reset": str(int(time.time()) + 3000)}
    at.hub.fault(f"GET /repos/{at.name}", Fault(403, {"message": "Resource not accessible by integration"}, headers))
    with pytest.raises(ForbiddenError):
        at.github.get("")


# -- writes --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "fault",
    [pytest.param(lost(), id="answer lost"), pytest.param(truncated(), id="answer cut off"), pytest.param(502, id="502")],
)
def test_a_write_that_may_have_arrived_is_not_repeated(at, fault):
    """The caller is told that nobody knows."""
    at.hub.fault("POST */issues", fault)
    with pytest.raises(MaybeDoneError, match="may have done it, but its answer was lost"):
        at.github.post("issues", {"title": "x"})
    assert at.writes() == ["issues"]


def test_a_write_that_may_be_repeated_is(at):
    """Setting the same twice sets it once."""
    at.hub.fault(f"PATCH /repos/{at.name}/pulls/1", lost(), lost())
    at.pull()
    assert at.github.patch("pulls/1", {"title": "new"})["title"] == "new"
    assert at.writes("PATCH") == ["pulls/1"] * 3


def test_deleting_what_is_not_there_is_as_good(at):
    """Also when the answer of the first try was lost."""
    at.pull("gone")
    at.hub.fault("DELETE */git/refs/heads/gone", lost())
    with pytest.raises(InvalidError):  # GitHub's own word for a ref that is gone is 422, the caller's to judge
        at.github.delete("git/refs/heads/gone")
    at.github.delete("issues/comments/999")


class Box:
    """A thing that is made on the other side, and seen there after so many looks."""

    def __init__(self, *outcomes: object, seen_after: int = 0) -> None:
        self.outcomes, self.made, self.seen_after, self.looks = list(outcomes), 0, seen_after, 0

    def find(self) -> str | None:
        self.looks += 1
        return "it" if self.made and self.looks > self.seen_after else None

    def make(self) -> str:
        outcome = self.outcomes.pop(0)
        if outcome == "lost before":
            raise MaybeDoneError("lost")
        self.made += 1
        if outcome == "lost after":
            raise MaybeDoneError("lost")
        return "it"


@pytest.mark.parametrize(
    ("outcomes", "waits"),
    [
        pytest.param(["well"], 0, id="at once"),
        pytest.param(["lost after"], 1, id="made, the answer lost"),
        pytest.param(["lost before", "well"], 1, id="not made, then made"),
        pytest.param(["lost before", "lost before", "lost after"], 3, id="not made twice, then made and lost"),
    ],
)
def test_something_is_made_once_whatever_gets_lost(at, outcomes, waits):
    """A look comes between any two tries."""
    box = Box(*outcomes)
    assert at.github.once(box.find, box.make) == ("it", True)
    assert box.made == 1
    assert len(at.waits) == waits


def test_something_that_is_there_is_not_made(at):
    """And is told apart from what was made."""
    box = Box("well")
    at.github.once(box.find, box.make)
    assert at.github.once(box.find, box.make) == ("it", False)


def test_making_is_given_up_after_three_tries(at):
    """The error says that nobody knows."""
    box = Box(*["lost before"] * 3)
    with pytest.raises(MaybeDoneError):
        at.github.once(box.find, box.make)
    assert len(at.waits) == 3


# -- who we are ----------------------------------------------------------------------------------------------------


def test_a_person_s_token_says_who_it_is(hub, at):
    """By REST."""
    assert client(hub, at.name, token=hub.token).login == "owner"


def test_a_workflow_s_token_is_named_by_graphql(at):
    """`/user` is closed to it."""
    assert at.github.login == "github-actions[bot]"


def test_a_server_without_an_answer_for_the_viewer_counts_as_a_workflow_s(at):
    """The common case; nothing is written with a guess but our own marker's author."""
    at.hub.fault("POST /graphql", Fault(200, {"data": None, "errors": [{"message": "no"}]}))
    assert at.github.login == "github-actions[bot]"


# -- uploads -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "url",
    ["https://evil.example/repos/x/assets", "http://127.0.0.1:1/assets", "https://uploads.github.com.evil.example/a"],
)
def test_a_token_is_sent_to_no_foreign_address(at, url):
    """Even when GitHub's answer named it."""
    with pytest.raises(Error, match="foreign address for uploads"):
        at.github.upload(url, {"name": "x"}, b"x", "text/plain")


def test_uploads_of_the_public_github_have_a_host_of_their_own():
    """It is taken for GitHub's own: the failure is the network's, not ours."""
    github = GitHub(Place("https://api.github.invalid", "a", "b", ""), Token("T", SECRET))
    with pytest.raises(UnavailableError, match=r"uploads\.github\.invalid"):
        github.upload("https://uploads.github.invalid/repos/a/b/releases/1/assets", {"name": "x"}, b"x", "text/plain")


# -- secrets -------------------------------------------------------------------------------------------------------


def test_secrets_never_reach_errors_or_logs(hub, at, capfd):
    """Neither the token nor a query, at the most talkative level."""
    hub.fault(f"GET /repos/{at.name}", reset(), 500, 401)
    log.configure(level=logging.NOTSET)
    try:
        github = GitHub(at.github.place, Token("GITHUB_TOKEN", SECRET), now=hub.now)
        with pytest.raises(CredentialsError) as caught:
            github.get("", {"token": SECRET})
    finally:
        log.configure(level=logging.WARNING)
    shown = "".join(capfd.readouterr()) + caught.value.message + caught.value.hint + (caught.value.where or "")
    assert "retry" in shown
    assert SECRET not in shown


def test_an_enterprise_server_answers_under_its_own_path(hub):
    """Lists go on there too."""
    here = desk(hub, api_url=hub.enterprise_url)
    for number in range(101):
        hub.environment(here.name, f"env-{number:03}")
    assert len(list(here.github.pages("environments"))) == 101
    assert here.github.login == "github-actions[bot]"
    assert here.github.where == hub.enterprise_url
    assert policy.FIRST_WAIT_S == 0.02
