"""The policy of trying again: which answers, how often, after how long, and what is said when it did not help."""

from __future__ import annotations

import io
import json
import threading
import time

import pytest
import structlog
from mlrelease import log
from mlrelease.errors import UnavailableError
from mlrelease.http import retries
from mlrelease.http.errors import AnsweredBadlyError, HttpError, MaybeDoneError
from mlrelease.http.retries import Again, Budget, wait
from support.faulty_server import answer, closed_port, faulty, raw, reset
from support.plain_dialect import plain
from tenacity import RetryCallState

RETRIED = [408, 429, 500, 502, 503, 504]
FINAL = [400, 401, 403, 404, 405, 406, 409, 410, 412, 418, 422, 425, 501, 505, 507, 511]


@pytest.fixture
def _short_waits(monkeypatch):
    """The same policy with a hundredth of the waits."""
    monkeypatch.setattr(retries, "FIRST_WAIT_S", 0.002)


@pytest.fixture
def logged():
    """Reads what was logged from `info` on, as objects without their moment."""
    stream = io.StringIO()
    log.configure(level=20, json=True, stream=stream)

    def lines():
        found = [json.loads(line) for line in stream.getvalue().splitlines()]
        return [{name: value for name, value in line.items() if name != "timestamp"} for line in found]

    yield lines
    structlog.reset_defaults()


@pytest.mark.usefixtures("_short_waits")
@pytest.mark.parametrize("status", RETRIED)
@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "POST"])
def test_a_fault_that_may_pass_is_met_five_times(status, method):
    """Whatever is asked, as long as asking twice does no harm."""
    with faulty(raw(b"", status)) as server:
        with pytest.raises(AnsweredBadlyError):
            plain(server.url).ask(method, "/x", idempotent=True)
        assert [r.method for r in server.requests] == [method] * 5


@pytest.mark.usefixtures("_short_waits")
@pytest.mark.parametrize("status", FINAL)
@pytest.mark.parametrize("idempotent", [True, False], ids=["may be asked twice", "once only"])
def test_a_no_is_a_no(status, idempotent):
    """Asked once; the caller gets the status."""
    with faulty(raw(b"", status), answer({"ok": 1})) as server:
        with pytest.raises(HttpError) as caught:
            plain(server.url).ask("POST", "/x", body={}, idempotent=idempotent)
        assert (caught.value.status, len(server.requests)) == (status, 1)


@pytest.mark.usefixtures("_short_waits")
@pytest.mark.parametrize("status", [500, 502, 503, 504, 408])
@pytest.mark.parametrize("headers", [{}, {"Retry_After": "0"}], ids=["plain", "although it says when"])
def test_what_must_not_be_done_twice_is_not_asked_twice(status, headers):
    """The server may have done it before it failed: the error says to look."""
    with faulty(raw(b"", status, **headers), answer({"ok": 1})) as server:
        with pytest.raises(MaybeDoneError) as caught:
            plain(server.url).ask("POST", "/x", body={}, idempotent=False)
        assert caught.value.message == f"Plain at {server.url} may have done it, but its answer was lost: {status}"
        assert caught.value.hint == "the address is in the settings"
        assert len(server.requests) == 1


@pytest.mark.usefixtures("_short_waits")
def test_what_was_surely_not_done_is_asked_again():
    """A limit is met before anything is done, and a refused connection before anything is said."""
    with faulty(raw(b"", 429), raw(b"", 429), answer({"ok": 1})) as server:
        assert plain(server.url).post("/x", {}, idempotent=False) == {"ok": 1}
        assert len(server.requests) == 3
    with faulty(raw(b"", 429), reset, answer({"ok": 1})) as server:
        with pytest.raises(MaybeDoneError):
            plain(server.url).post("/x", {}, idempotent=False)
        assert len(server.requests) == 2


@pytest.mark.usefixtures("_short_waits")
def test_the_last_fault_is_the_one_that_is_told():
    """Not the first: it is what stands now."""
    script = [raw(b"", 500), raw(b"", 503), reset, raw(b"", 500), raw(b"", 504)]
    with faulty(*script) as server, pytest.raises(UnavailableError) as caught:
        plain(server.url).get("/x")
    assert caught.value.message == f"Plain at {server.url} answered 504"


@pytest.mark.parametrize(("asked", "said"), [("60", "60"), ("3600", "3600"), ("9999999999", "100000000")])
def test_a_wait_that_is_too_long_is_told_and_not_waited(asked, said):
    """So that whoever asks can come back then."""
    with faulty(raw(b"", 429, Retry_After=asked)) as server:
        began = time.monotonic()
        with pytest.raises(UnavailableError) as caught:
            plain(server.url).get("/x")
        assert caught.value.message == f"Plain at {server.url} answered 429 and asks to wait {said} s"
        assert caught.value.hint == "try again later: the server limits how often it may be asked"
        assert len(server.requests) == 1
        assert time.monotonic() - began < 3
    assert not isinstance(caught.value, AnsweredBadlyError)


def test_a_deadline_that_is_over_asks_nothing():
    """A call that comes too late is an answer that did not come."""
    with faulty(answer({"ok": 1})) as server:
        with pytest.raises(UnavailableError) as caught:
            plain(server.url, total_s=0.0).ask("POST", "/x", body={}, idempotent=False)
        assert caught.value.message == f"Plain at {server.url} did not answer: no answer within 0 s"
        assert server.requests == []
    assert not isinstance(caught.value, MaybeDoneError)


def state(attempt, error, upcoming_s=0.0):
    """What tenacity hands on after a try that failed."""
    found = RetryCallState(retry_object=None, fn=None, args=(), kwargs={})
    found.attempt_number, found.upcoming_sleep = attempt, upcoming_s
    found.set_exception((type(error), error, None))
    return found


@pytest.mark.parametrize(("attempt", "longest_s"), [(1, 0.2), (2, 0.4), (3, 0.8), (4, 1.6)])
def test_waits_double_and_are_spread_from_nothing(monkeypatch, attempt, longest_s):
    """Full jitter: many clients that failed together do not come back together."""
    ranges = []
    monkeypatch.setattr("random.uniform", lambda low, high: ranges.append((low, high)) or high)
    assert wait(state(attempt, Again("reset"))) == longest_s
    assert ranges == [(0, longest_s)]


@pytest.mark.parametrize(
    ("attempt", "asked_s", "least_s", "longest_s"), [(1, 0.0, 0.0, 0.2), (1, 5.0, 5.0, 5.2), (4, 5.0, 5.0, 5.2)]
)
def test_a_wait_that_is_asked_for_is_kept_and_spread_a_little(monkeypatch, attempt, asked_s, least_s, longest_s):
    """Never earlier than asked, and at most a fifth of a second later."""
    error = Again("429", retry_after_s=asked_s)
    for jitter, expected in ((lambda low, _: low, least_s), (lambda _, high: high, longest_s)):
        monkeypatch.setattr("random.uniform", jitter)
        assert wait(state(attempt, error)) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("attempt", "left_s", "sleep_s", "spent"),
    [(1, 60.0, 1.0, False), (4, 60.0, 1.0, False), (5, 60.0, 0.0, True), (1, 1.0, 60.0, True), (1, -1.0, 0.0, True)],
    ids=["the first", "the fourth", "the fifth is the last", "the next would begin too late", "it is over"],
)
def test_tries_end_by_number_or_by_time(attempt, left_s, sleep_s, spent):
    """Whichever comes first."""
    budget = Budget(time.monotonic() + left_s, patience_s=0.0)
    assert budget.is_spent(state(attempt, Again("reset"), sleep_s)) is spent


def test_patience_moves_the_deadline_by_what_it_pays():
    """What the server asks for is paid from patience until that is used up; then it counts like any wait."""
    end = time.monotonic() + 1.0
    budget = Budget(end, patience_s=100.0)
    asked = Again("429", retry_after_s=60.0)
    assert not budget.is_spent(state(1, asked, 60.0))
    assert (budget.patience_s, budget.deadline) == (40.0, end + 60.0)
    assert not budget.is_spent(state(2, asked, 40.0))
    assert (budget.patience_s, budget.deadline) == (0.0, end + 100.0)
    assert budget.is_spent(state(3, asked, 1000.0))
    assert (budget.patience_s, budget.deadline) == (0.0, end + 100.0)


def test_patience_pays_for_nothing_that_was_not_asked_for():
    """A server that only fails has the deadline that it had; and so has the fifth try."""
    end = time.monotonic() + 1.0
    budget = Budget(end, patience_s=100.0)
    assert budget.is_spent(state(1, Again("reset"), 60.0))
    assert budget.is_spent(state(5, Again("429", retry_after_s=1.0), 1.0))
    assert (budget.patience_s, budget.deadline) == (100.0, end)


@pytest.mark.usefixtures("_short_waits")
def test_each_further_try_is_in_the_log_without_what_was_asked(logged):
    """Server, path, how often and why; no query, no body, no header."""
    with faulty(raw(b"", 503), raw(b"", 500), answer()) as server:
        plain(server.url.replace("//", "//ann:s3cr3t@")).ask("POST", "/x", params={"q": "s3cr3t"}, body={"b": "s3cr3t"})
    assert logged() == [
        {
            "event": "retry",
            "level": "info",
            "component": "http",
            "server": server.url,
            "path": "/x",
            "attempt": attempt,
            "reason": reason,
        }
        for attempt, reason in ((1, "503"), (2, "500"))
    ]


@pytest.mark.usefixtures("_short_waits")
def test_one_client_serves_many_threads_at_once():
    """Each gets its own answer, also while others fail."""
    routes = {f"/{n}": answer({"n": n}) if n % 2 else raw(b"", 404) for n in range(24)}
    found = {}
    with faulty(routes=routes) as server:
        client = plain(server.url)

        def ask(n):
            try:
                found[n] = client.get(f"/{n}")["n"]
            except HttpError as error:
                found[n] = error.status

        threads = [threading.Thread(target=ask, args=(n,)) for n in range(24)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
    assert found == {n: n if n % 2 else 404 for n in range(24)}


@pytest.mark.usefixtures("_short_waits")
def test_a_connection_that_never_came_about_is_tried_as_often_as_any(logged):
    """And is an outage, never a doubt."""
    with closed_port() as port, pytest.raises(UnavailableError) as caught:
        plain(f"http://127.0.0.1:{port}").post("/x", {}, idempotent=False)
    assert caught.value.message == f"Plain at http://127.0.0.1:{port} did not answer: connection refused"
    assert [line["attempt"] for line in logged()] == [1, 2, 3, 4]
    assert not isinstance(caught.value, MaybeDoneError | AnsweredBadlyError)
