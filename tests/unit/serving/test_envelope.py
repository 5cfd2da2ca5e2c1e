"""What is around every request: the headers of its answer, what is in flight, what is counted and what is written."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
import structlog
from mlrelease import log
from mlrelease.serving.refusal import bad_request, model_fault
from support.serving_app import FRAUD, JSON, RISK, World


@pytest.fixture(scope="module")
def pool():
    with ThreadPoolExecutor(4) as pool:
        yield pool


@pytest.fixture
def log_as_it_was():
    before = structlog.get_config()
    yield
    structlog.configure(**before)
    structlog.contextvars.clear_contextvars()


@pytest.fixture
def world(pool, log_as_it_was):
    """A service of one model, loaded."""
    return World(pool, RISK)


@pytest.fixture
def two(pool, log_as_it_was):
    """A service of two models, loaded."""
    return World(pool, RISK, FRAUD)


def test_a_prediction_names_what_answered_and_others_do_not(world):
    """Bundle, instance and version on predictions and their refusals; the id everywhere."""
    names = ("x-bundle", "x-instance", "x-model-version", "x-request-id")
    given = ("x-request-id", "abc 1")
    fine = world.predict(headers=[JSON, given])
    world.state.scorers = {}
    refused = world.predict(headers=[JSON, given])
    assert [[r.header(n) for n in names] for r in (fine, refused)] == [["0123456789ab", "credit-1", "7", "abc 1"]] * 2
    for path in ("/health", "/identity", "/nowhere"):
        assert [world.ask("GET", path, headers=[given]).header(n) for n in names] == [None, None, None, "abc 1"]


def test_names_that_do_not_fit_a_header_do_not_break_the_answer(pool, log_as_it_was):
    """A header is Latin-1; the identity says it in full."""
    world = World(pool, replace(RISK, version="7→8"), bundle="ä→", instance="i")
    reply = world.predict()
    assert (reply.status, reply.header("x-bundle"), reply.header("x-model-version")) == (200, "ä?", "7?8")
    assert world.ask("GET", "/identity").json()["bundle"] == "ä→"


@pytest.mark.parametrize(
    ("headers", "kept"),
    [
        ([("x-request-id", "a" * 128)], "a" * 128),
        ([("x-request-id", "a" * 129)], None),
        ([("x-request-id", "")], None),
        ([("x-request-id", "a\tb")], None),
        ([("x-request-id", "näh")], None),
        ([("x-request-id", "a\x7f")], None),
        ([("x-request-id", ""), ("x-request-id", "second")], "second"),
        ([("x-request-id", "first"), ("x-request-id", "second")], "first"),
        ([], None),
    ],
    ids=["128 characters", "129", "empty", "a tab", "not ASCII", "a control character", "the first usable", "two", "none"],
)
def test_a_request_id_goes_into_headers_and_logs_only_if_it_fits(world, headers, kept):
    """Any other is replaced by a fresh one."""
    got = [world.ask("GET", "/identity", headers=headers).header("x-request-id") for _ in range(2)]
    if kept:
        assert got == [kept, kept]
    else:
        assert got[0] != got[1]
        assert {len(one) for one in got} == {32}


@pytest.mark.parametrize("path", ["/health", "/ready", "/invocations", "/nowhere"])
def test_connections_leave_while_the_server_drains(world, path):
    """Every answer says so, and predictions are still made."""
    assert world.ask("POST", path, b"{}", [JSON]).header("connection") is None
    world.state.draining = True
    reply = world.ask("POST", path, b"{}", [JSON])
    assert reply.header("connection") == "close"
    assert (reply.status == 200) == (path == "/invocations")


def test_what_is_in_flight_is_counted(world):
    """One while the model works, none before and after, whatever came of it."""
    seen = []
    world.model.during = lambda: seen.append(world.state.in_flight)
    world.predict()
    world.model.answer = bad_request("no", "x")
    world.predict()
    world.predict(leaves=True)
    assert (seen, world.state.in_flight) == ([1, 1], 0)


def test_a_request_of_another_kind_is_not_ours(world):
    """A server's own messages go past the envelope: nothing is counted and nothing is logged."""
    messages = [{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}]
    sent = []

    async def receive():
        return messages.pop(0)

    async def send(message):
        sent.append(message["type"])

    asyncio.run(world.app({"type": "lifespan"}, receive, send))
    assert (sent, world.lines()) == (["lifespan.startup.complete", "lifespan.shutdown.complete"], [])


# ---- what is counted and written


def test_clients_are_counted_by_model_and_code_and_probes_are_not(two):
    """What chose no model has no labels from the request: a stranger could make a million series."""
    risk = "/models/risk/invocations"
    two.predict(path=risk)
    two.predict(path=risk, headers=[JSON, ("x-probe", "1")])
    two.predict(path="/models/made-up/invocations")
    two.predict(path="/invocations")
    two.predict(path=risk, leaves=True)
    two.model.answer = model_fault("no")
    two.predict(path=risk)
    two.predict(path=risk, headers=[JSON, ("x-probe", "")])
    two.ask("GET", "/health")
    risk, none = 'model="risk",version="7"', 'model="",version=""'
    assert two.counted() == {
        f'model_requests_total{{code="200",{risk}}}': 1,
        f'model_requests_total{{code="500",{risk}}}': 1,
        f'model_requests_total{{code="400",{none}}}': 1,
        f'model_requests_total{{code="404",{none}}}': 1,
        f'model_requests_total{{code="499",{none}}}': 1,
        f"model_errors_total{{{risk}}}": 1,
        f"model_request_seconds_count{{{risk}}}": 2,
        f"model_request_seconds_count{{{none}}}": 3,
    }


def test_one_line_for_each_request_with_what_matters(world):
    """The fields whole, without those that change from run to run."""
    world.predict(headers=[JSON, ("x-request-id", "one")])
    world.model.answer = bad_request("secret of the request", "y")
    world.predict(b'{"secret": 1}', headers=[JSON, ("x-request-id", "two"), ("x-probe", "1")])
    world.ask("GET", "/nowhere?token=secret", headers=[("x-request-id", "three")])
    for path in ("/health", "/ready", "/metrics"):
        world.ask("GET", path)
    lines = world.lines()
    assert all(line.pop("ms") >= 0 and line.pop("timestamp") for line in lines)
    common = {"component": "serving", "event": "request", "level": "info"}
    model = {"model": "risk", "version": "7"}
    assert lines == [
        common | model | {"request_id": "one", "method": "POST", "path": "/invocations", "code": 200},
        common | model
        | {"request_id": "two", "method": "POST", "path": "/invocations", "code": 400, "error": "BAD_REQUEST", "probe": True},
        common
        | {"request_id": "three", "method": "GET", "path": "/nowhere", "code": 404, "error": "RESOURCE_DOES_NOT_EXIST"},
    ]  # fmt: skip


def test_request_lines_can_be_left_away(pool, log_as_it_was):
    """They are counted all the same."""
    world = World(pool, RISK, log_requests=False)
    world.predict()
    assert world.lines() == []
    assert world.counted()['model_requests_total{code="200",model="risk",version="7"}'] == 1


def test_what_a_model_writes_carries_the_id_of_its_request(world):
    """In its thread, and in none after it."""
    world.model.during = lambda: log.get("model").info("said")
    world.predict(headers=[JSON, ("x-request-id", "one")])
    world.predict(headers=[JSON, ("x-request-id", "two")])
    log.get("test").info("after")
    said = [(line["event"], line.get("request_id")) for line in world.lines() if line["component"] != "serving"]
    assert said == [("said", "one"), ("said", "two"), ("after", None)]


def test_a_client_that_leaves_is_499_and_no_error(world):
    """Nobody hears it; log and metrics tell it apart from faults."""
    reply = world.predict([b"{"], leaves=True)
    assert (reply.status, reply.raised, world.model.bodies) == (499, None, [])
    (line,) = world.lines()
    assert (line["code"], line["level"], "error" in line) == (499, "info", False)
    assert world.ask("POST", "/nowhere", [b"{"], leaves=True).status == 404
