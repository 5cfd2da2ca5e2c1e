"""The HTTP surface in this process: what every path answers, and in which order things are refused."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
import structlog
from mlrelease.serving.app import LARGEST_BODY
from mlrelease.serving.refusal import Refusal, bad_request, model_fault
from support.serving_app import DIGEST, FRAUD, JSON, MIB, RISK, Model, World


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
