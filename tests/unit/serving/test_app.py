"""The HTTP surface in this process: what every path answers, in which order things are refused, headers, metrics, log lines."""

from __future__ import annotations

import asyncio
import io
import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
import structlog
from mlrelease import log
from mlrelease.model.bundle import Digest
from mlrelease.model.live import Artifact
from mlrelease.serving.app import LARGEST_BODY, make_app
from mlrelease.serving.config import ServeConfig
from mlrelease.serving.metrics import Metrics
from mlrelease.serving.refusal import Refusal, bad_request, model_fault
from mlrelease.serving.state import ServerState
from support.asgi import request

JSON = ("content-type", "application/json")
DIGEST = Digest("sha256:" + "a" * 64)
RISK, FRAUD = Artifact("risk", "7", DIGEST, Path("/m/risk")), Artifact("fraud", "2", DIGEST, Path("/m/fraud"))
MIB = 1 << 20


class Model:
    """A loaded model: answers what it is told to, or raises it; remembers the bodies."""

    def __init__(self, answer=b'{"predictions": [1.0]}'):
        self.answer = answer
        self.bodies = []
        self.during = lambda: None

    def score(self, body):
        self.bodies.append(body)
        self.during()
        if isinstance(self.answer, BaseException):
            raise self.answer
        return self.answer


class World:
    """One application with its state, metrics, models and log."""

    def __init__(self, pool, *models, **more):
        config = ServeConfig("credit", "0123456789ab", "example/serve:1", "credit-1", "python 3.11", "unix:/s", models)
        self.config = replace(config, **more)
        self.state = ServerState(self.config, started_at=1767225600.25)
        self.model = Model()
        self.state.scorers = {m.name: self.model for m in models}
        self.metrics = Metrics(self.config)
        self.stream = io.StringIO()
        log.configure(level=20, json=True, stream=self.stream)
        self.app = make_app(self.state, self.metrics, pool)

    def ask(self, method, path, body=b"", headers=(), **more):
        return request(self.app, method, path, body, headers, **more)

    def predict(self, body=b"{}", path="/invocations", headers=(JSON,), **more):
        return self.ask("POST", path, body, headers, **more)

    def lines(self):
        return [json.loads(line) for line in self.stream.getvalue().splitlines()]

    def counted(self):
        """The series that are not 0, without buckets, sums and what is only told."""
        lines = self.metrics.text().decode().splitlines()
        pairs = (
            line.rpartition(" ")[::2]
            for line in lines
            if line.startswith(("model_requests", "model_errors")) or "_count" in line
        )
        return {key: float(value) for key, value in pairs if float(value)}


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


def refusal(reply):
    """Status, code, message and field of an answer that is one."""
    data = reply.json()
    assert reply.header("content-type") == "application/json"
    assert set(data) == {"error_code", "message", "field"}
    return reply.status, data["error_code"], data["message"], data["field"]


# ---- what machines ask


def test_identity_is_what_was_pinned(two):
    """Whole, also while nothing is loaded yet."""
    two.state.scorers = {}
    assert two.ask("GET", "/identity").json() == {
        "service": "credit",
        "bundle": "0123456789ab",
        "image": "example/serve:1",
        "runtime": "python 3.11",
        "instance": "credit-1",
        "started_at": "2026-01-01T00:00:00.250Z",
        "models": [
            {"name": "risk", "version": "7", "digest": DIGEST},
            {"name": "fraud", "version": "2", "digest": DIGEST},
        ],
    }


@pytest.mark.parametrize(
    ("loaded", "draining", "status", "reason"),
    [
        (False, False, 503, "hashing risk 7"),
        (True, False, 200, ""),
        (True, True, 503, "shutting down"),
        (False, True, 503, "shutting down"),
    ],
    ids=["loading", "loaded", "draining", "ended while loading"],
)
def test_ready_says_what_is_awaited(world, loaded, draining, status, reason):
    """Health goes on through all of it."""
    world.state.reason = "hashing risk 7"
    world.state.draining = draining
    if not loaded:
        world.state.scorers = {}
    ready = world.ask("GET", "/ready")
    assert (ready.status, ready.json()) == (status, {"ready": status == 200, "reason": reason})
    assert (world.ask("GET", "/health").status, world.ask("GET", "/health").json()) == (200, {"status": "alive"})


def test_the_exposition_has_a_series_for_every_model_before_the_first_request(two):
    """A rate needs a 0 to begin with; there is no second series with the moment of creation."""
    reply = two.ask("GET", "/metrics")
    assert reply.header("content-type").startswith("text/plain; version=")
    text = reply.body.decode()
    for name, version in (("risk", "7"), ("fraud", "2")):
        labels = f'model="{name}",version="{version}"'
        assert f"model_errors_total{{{labels}}} 0.0\n" in text
        assert f"model_request_seconds_count{{{labels}}} 0.0\n" in text
        assert f'model_info{{bundle="0123456789ab",digest="{DIGEST}",{labels}}} 1.0\n' in text
        assert f'model_request_seconds_bucket{{le="1.0",{labels}}} 0.0\n' in text
    assert "_created" not in text


# ---- paths


@pytest.mark.parametrize(
    ("method", "path", "expected"),
    [
        ("GET", "/", (404, "RESOURCE_DOES_NOT_EXIST", "Not Found", "path")),
        ("POST", "/invocations/", (404, "RESOURCE_DOES_NOT_EXIST", "Not Found", "path")),
        ("GET", "/ready/", (404, "RESOURCE_DOES_NOT_EXIST", "Not Found", "path")),
        ("GET", "/openapi.json", (404, "RESOURCE_DOES_NOT_EXIST", "Not Found", "path")),
        ("GET", "/docs", (404, "RESOURCE_DOES_NOT_EXIST", "Not Found", "path")),
        ("GET", "/invocations", (405, "METHOD_NOT_ALLOWED", "Method Not Allowed", "path")),
        ("DELETE", "/health", (405, "METHOD_NOT_ALLOWED", "Method Not Allowed", "path")),
        (
            "POST",
            "/models/none/invocations",
            (404, "RESOURCE_DOES_NOT_EXIST", "no such model here; there is risk, fraud", "path"),
        ),
        (
            "POST",
            "/invocations",
            (
                400,
                "BAD_REQUEST",
                "this service answers for 2 models; use one of /models/risk/invocations, /models/fraud/invocations",
                "path",
            ),
        ),
    ],
    ids=[
        "the root",
        "a slash too much is no redirect: behind a prefix it would lead elsewhere",
        "the same for a machine",
        "no description",
        "no pages of the framework",
        "asking for predictions",
        "another method",
        "a model that is not here",
        "which model is meant",
    ],
)
def test_what_is_not_here_is_answered_in_json(two, method, path, expected):
    """No page of the framework shows."""
    assert refusal(two.ask(method, path, b"{}", [JSON])) == expected


def test_another_method_says_which_would_do(world):
    """The header that HTTP wants with 405."""
    assert world.ask("GET", "/invocations").header("allow") == "POST"


def test_each_model_answers_at_its_own_path(two):
    """With its own version; the only model of a service also at the bare one."""
    two.state.scorers["fraud"] = other = Model(b'{"predictions": [2]}')
    for name, version, model in (("risk", "7", two.model), ("fraud", "2", other)):
        reply = two.predict(b'{"a": 1}', f"/models/{name}/invocations")
        assert (reply.status, reply.body, reply.header("x-model-version")) == (200, model.answer, version)
        assert model.bodies == [b'{"a": 1}']


# ---- refusals, in order


def test_refusals_come_in_one_order(two):
    """Who is asked, whether it is there, how it is asked, how much: the first that is wrong is told."""
    long, wrong = [b" " * MIB] * 17, [("content-type", "text/csv")]
    two.state.scorers, two.state.reason = {}, "loading risk 7"
    assert refusal(two.predict(long, "/models/none/invocations", wrong))[:2] == (404, "RESOURCE_DOES_NOT_EXIST")
    assert refusal(two.predict(long, "/models/risk/invocations", wrong)) == (
        503, "TEMPORARILY_UNAVAILABLE", "not ready: loading risk 7", "",
    )  # fmt: skip
    two.state.scorers = {"risk": two.model}
    assert refusal(two.predict(long, "/models/risk/invocations", wrong))[0] == 415
    assert refusal(two.predict(long, "/models/risk/invocations"))[0] == 413
    assert two.model.bodies == []


@pytest.mark.parametrize(
    ("given", "fits"),
    [
        ("application/json", True),
        ("Application/JSON", True),
        ("application/json; charset=utf-8", True),
        ('application/json;charset="UTF-8"', True),
        ("application/json; profile=x", True),
        ("application/json; charset=latin-1", False),
        ("application/json; charset=utf-8; charset=utf-16", False),
        ("application/jsonl", False),
        ("text/csv", False),
        ("", False),
        ("x" * 200, False),
    ],
)
def test_only_json_in_utf_8_is_read(world, given, fits):
    """What was sent is told, cut to a length that fits a line."""
    reply = world.predict(headers=[("content-type", given)] if given else [])
    if fits:
        assert reply.status == 200
        return
    shown = repr(given[:80]) if given else "nothing"
    message = f"send application/json in UTF-8, not {shown}"
    assert refusal(reply) == (415, "UNSUPPORTED_MEDIA_TYPE", message, "Content-Type")


@pytest.mark.parametrize(
    ("parts", "more", "status", "read"),
    [
        (16, b"", 200, 17),
        (16, b" ", 413, 17),
        (64, b"", 413, 65),
        (64, b" ", 413, 65),
        (80, b"", 413, 65),
    ],
    ids=["16 MiB", "one byte more", "64 MiB are read to their end", "one byte more ends the reading", "nobody reads on"],
)
def test_a_long_body_is_read_on_so_that_its_sender_hears_the_answer(world, parts, more, status, read):
    """But not without end."""
    assert LARGEST_BODY == 16 * MIB
    part = b" " * MIB
    reply = world.predict([*[part] * parts, more])
    assert (reply.status, reply.read) == (status, read)
    if status == 413:
        message = "the body is longer than 16 MiB: send fewer rows"
        assert refusal(reply) == (413, "REQUEST_TOO_LARGE", message, "body")
    assert [len(body) for body in world.model.bodies] == ([LARGEST_BODY] if status == 200 else [])


def test_a_refused_path_reads_the_body_too(world):
    """The client is still sending when it is told."""
    assert (world.ask("POST", "/nowhere", [b"x"] * 3).read, world.ask("PUT", "/invocations", [b"x"] * 3).read) == (3, 3)


@pytest.mark.parametrize(
    ("raised", "expected"),
    [
        (bad_request("y: text for a number", "y"), (400, "BAD_REQUEST", "y: text for a number", "y")),
        (model_fault("the model raised KeyError"), (500, "INTERNAL_ERROR", "the model raised KeyError", "")),
        (bad_request("m" * 501, "f" * 501), (400, "BAD_REQUEST", "m" * 499 + "…", "f" * 499 + "…")),
        (bad_request("m" * 500, "f" * 500), (400, "BAD_REQUEST", "m" * 500, "f" * 500)),
        (Refusal(418, "TEAPOT", "\ud800\n", "\0"), (418, "TEAPOT", "\ud800\n", "\0")),
    ],
    ids=["of the request", "of the model", "too long", "just not too long", "no text at all"],
)
def test_a_models_refusal_is_the_answer(world, raised, expected):
    """With its field; what the request said is not sent back at full length."""
    world.model.answer = raised
    assert refusal(world.predict()) == expected


def test_a_fault_of_ours_is_500_without_its_insides(world):
    """The server gets the exception itself, for its log."""
    world.model.answer = KeyError("secret")
    reply = world.predict()
    assert refusal(reply) == (500, "INTERNAL_ERROR", "the server failed (KeyError); its log says more", "")
    assert isinstance(reply.raised, KeyError)
    assert (reply.header("x-model-version"), world.state.in_flight) == ("7", 0)
    assert world.counted()['model_errors_total{model="risk",version="7"}'] == 1


# ---- around every request


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
