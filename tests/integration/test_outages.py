"""MLflow stopped, git host gone: what serves keeps serving, and a rollback to what is cached works all the same."""

from __future__ import annotations

import time

import pytest
from support.estate import Estate, until
from support.load import running_load
from support.mlflow_server import running_mlflow

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("outages"), pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def estate(tmp_path_factory):
    """Versions 1 and 2 were both verified here, then the MLflow server of this estate was stopped for good."""
    folder = tmp_path_factory.mktemp("o")
    with running_mlflow(folder / "mlflow") as uri:
        estate = Estate(folder / "e", uri).create()
        estate.cli("deploy", "production", cwd=estate.host)
        estate.pin("2")
        estate.cli("deploy", "production", cwd=estate.host)
        estate.cli("rollback", "production", "--to", "1", "--now")
        estate.forgive()
        estate.pin("2")
        estate.cli("deploy", "production", cwd=estate.host)
    yield estate
    estate.down()


def test_forward_change_is_errored_and_serving_goes_on(estate):
    """Without MLflow a new version cannot be judged: exit 1 within 15 s, the address is named, version 2 serves on."""
    path = estate.laptop / "environments/production/models/wine.yaml"
    digest = estate.pins["2"].digest
    path.write_text(path.read_text().replace(digest, "sha256:" + "12ab" * 16).replace('version: "2"', 'version: "3"'))
    commit = estate.commit("Pin a version that nobody can look at")
    began = time.monotonic()
    done = estate.cli("deploy", "production", cwd=estate.host, expect=1)
    assert time.monotonic() - began < 15
    assert estate.uri in done.stdout
    assert "did not answer" in done.stdout
    assert estate.live() == "2"
    estate.revert(commit)
    estate.cli("deploy", "production", cwd=estate.host)


def test_bump_says_what_is_down_and_what_to_check(estate):
    """`bump` against a dead server ends in under 15 s with the address and the setting."""
    began = time.monotonic()
    done = estate.cli("bump", "production", "wine", "--to", "1", expect=1)
    assert time.monotonic() - began < 15
    assert estate.uri in done.stderr
    assert "tracking_uri" in done.stderr
    assert estate.git("status", "--porcelain") == ""


def test_rollback_needs_no_registry(estate):
    """The revert of a verified version is applied and proved from the host's own cache, without a failed request."""
    with running_load(estate.url, rate=30) as load:
        until(lambda: load.newest_version() == "2", what="answers of version 2")
        done = estate.cli("rollback", "production", "--to", "1", "--now")
        assert "is proved after" in done.stdout
        until(lambda: load.newest_version() == "1", what="answers of version 1")
    assert load.summary().failed == 0
    estate.forgive()


def test_git_host_gone_repairs_and_remembers(estate):
    """With the remote away drift is repaired from the last tip; the receipt waits and reaches the ledger later."""
    origin = estate.root / "o.git"
    events = len(estate.site().ledger.read("production").events)
    origin.rename(estate.root / "away.git")
    try:
        route = estate.state / "xds" / "rds.json"
        staged = estate.state / "hand.json"
        staged.write_text(route.read_text().replace('"version_info": "', '"version_info": "hand-', 1))
        staged.replace(route)
        until(lambda: estate.state_of()["sync"] == "Drifted", what="drift")
        done = estate.cli("deploy", "production", cwd=estate.host)
        assert "git host did not answer" in done.stdout
        assert "wait on this host" in done.stdout
        assert estate.live() == "1"
    finally:
        (estate.root / "away.git").rename(origin)
    estate.cli("reconcile", cwd=estate.host)
    estate.site().ledger.flush()
    view = estate.site().ledger.read("production")
    assert view.spooled == 0
    assert view.broken == ""
    assert len(view.events) == events + 2
