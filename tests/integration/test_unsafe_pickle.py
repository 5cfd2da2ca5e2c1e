"""A version whose files run something when loaded, through every verb and the real server: refused, and it never runs."""

from __future__ import annotations

import json
import urllib.request

import pytest
from mlrelease.model.bundle import ModelPin
from mlrelease.registries.cache import ArtifactCache
from mlrelease.registries.connect import connect
from mlrelease.spec.edit import set_model_pin
from support.estate import Estate, until
from support.hostile import PICKLES, load_for_real
from support.mlflow_server import register

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("unsafe-pickle")]

POISON = "os.system"
SCANNED = "gates:\n  - gate: exists\n  - gate: digest\n  - gate: scan\n"
UNSCANNED = "gates:\n  - gate: exists\n  - gate: digest\n"


@pytest.fixture(scope="module")
def trace(tmp_path_factory):
    """Where the poison would leave its trace."""
    return tmp_path_factory.mktemp("trace") / "trace"


@pytest.fixture(autouse=True)
def _nothing_ran(request, trace):
    """After every test there is no trace, unless the test is the one that shows that there could be."""
    yield
    if "for_real" in request.node.name:
        assert trace.exists()
        trace.unlink()
    assert not trace.exists()


@pytest.fixture(scope="module")
def hostile(mlflow_uri, trace):
    """A registered version of `wine` whose pickle was overwritten after registration, as anybody can."""
    from sklearn.datasets import load_wine
    from sklearn.linear_model import LogisticRegression

    rows, classes = load_wine(return_X_y=True, as_frame=True)
    model = LogisticRegression(max_iter=20).fit(rows, classes)
    found = register(mlflow_uri, "wine", model, input_example=rows.head(3), serialization_format="cloudpickle")
    found.put("model.pkl", PICKLES[POISON][0](trace))
    return found


@pytest.fixture(scope="module")
def estate(mlflow_uri, tmp_path_factory):
    """Version 1 serves."""
    estate = Estate(tmp_path_factory.mktemp("unsafe") / "e", mlflow_uri)
    estate.create()
    estate.cli("deploy", "production", cwd=estate.host)
    yield estate
    estate.down()


@pytest.fixture(scope="module")
def pin(mlflow_uri, hostile, tmp_path_factory):
    """The pin that somebody who wants the hostile version would write: name, version and the true digest."""
    registry, cache = connect(mlflow_uri, {}), ArtifactCache(tmp_path_factory.mktemp("pins"))
    key = ("wine", hostile.version)
    return ModelPin(*key, cache.fetch(registry.describe([key])[key], registry)[0])


def pinned(estate, pin, gates):
    """One commit by hand: the version, and these gates for the environment."""
    model = estate.laptop / "environments/production/models/wine.yaml"
    model.write_bytes(set_model_pin(model.read_bytes(), pin.version, pin.digest))
    file = estate.laptop / "environments/production/environment.yaml"
    text = file.read_text()
    file.write_text(text[: text.index("gates:")] + gates)
    return estate.commit(f"Pin wine {pin.version} by hand")


def unpinned(estate, commit):
    """Git as it was, in both clones."""
    estate.revert(commit)
    estate.git("pull", "--quiet", cwd=estate.host)


def answers(estate):
    """What the service predicts, by the version that says so."""
    body = json.dumps({"dataframe_split": json.loads(ROW)}).encode()
    request = urllib.request.Request(f"{estate.url}/invocations", data=body, headers={"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=10) as answer:
        return answer.headers["X-Model-Version"], json.load(answer)["predictions"]


ROW = json.dumps(
    {
        "columns": [
            *("alcohol", "malic_acid", "ash", "alcalinity_of_ash", "magnesium", "total_phenols", "flavanoids"),
            *("nonflavanoid_phenols", "proanthocyanins", "color_intensity", "hue", "od280/od315_of_diluted_wines", "proline"),
        ],
        "data": [[13.0, 1.7, 2.4, 15.0, 127.0, 2.8, 3.0, 0.28, 2.3, 5.6, 1.0, 3.9, 1065.0]],
    }
)


def test_the_poison_works_when_loaded_for_real(trace, tmp_path):
    """Unpickled in a process of its own it leaves the trace: the other tests could fail."""
    load_for_real(PICKLES[POISON][0](trace), tmp_path)
    until(trace.exists, what="the trace")


def test_bump_refuses_it_before_anything_is_loaded(estate, hostile):
    """Exit code 5 with the file and the name; nothing is committed, nothing stored; no gate has to be configured."""
    head = estate.git("rev-parse", "HEAD")
    done = estate.cli("bump", "production", "wine", "--to", hostile.version, expect=5)
    assert "not loaded: loading model.pkl would import posix.system, which is not allowed" in done.stdout
    assert estate.git("rev-parse", "HEAD") == head
    assert estate.git("status", "--porcelain") == ""


def test_validate_names_file_and_name(estate, pin):
    """A check of a pull request scans and loads nothing."""
    commit = pinned(estate, pin, SCANNED)
    estate.git("push", "--quiet", "origin", "HEAD~1:refs/heads/main", "--force")  # the pin is proposed, not merged
    said = estate.json("validate", expect=5)["gates"]
    found = next(row for row in said if row["gate"] == "scan")
    assert (found["status"], found["reason"]) == ("failed", "loading model.pkl would import posix.system, which is not allowed")
    assert found["evidence"]["known"] == ["posix.system"]
    estate.git("push", "--quiet", "origin", "HEAD:main")
    unpinned(estate, commit)


def test_plan_and_deploy_block_it_when_somebody_pins_it_by_hand(estate, pin):
    """Digest and version are true; the gate says no; what served goes on."""
    commit = pinned(estate, pin, SCANNED)
    estate.git("pull", "--quiet", cwd=estate.host)
    plan = estate.json("plan", "production", cwd=estate.host, expect=None)
    assert plan["changes"]["wine"]["blocked_by"] == "gate:scan:failed"
    done = estate.cli("deploy", "production", cwd=estate.host, expect=5)
    assert "posix.system" in done.stdout + done.stderr
    assert answers(estate)[0] == "1"
    unpinned(estate, commit)


def test_deploy_refuses_it_also_where_no_gate_scan_is_configured(estate, pin):
    """The door is before the load, not in a list that somebody may leave empty: the version is rejected, the old one serves."""
    commit = pinned(estate, pin, UNSCANNED)
    estate.git("pull", "--quiet", cwd=estate.host)
    done = estate.cli("deploy", "production", cwd=estate.host, expect=6)
    assert "posix.system" in done.stdout + done.stderr
    assert answers(estate)[0] == "1"
    unpinned(estate, commit)


def test_overwritten_bytes_are_refused_by_the_digest_already(estate, mlflow_uri, trace):
    """A good pin whose artifacts were poisoned afterwards: not scanned, not loaded."""
    from sklearn.datasets import load_wine
    from sklearn.linear_model import LogisticRegression

    rows, classes = load_wine(return_X_y=True, as_frame=True)
    model = LogisticRegression(C=0.5, max_iter=20).fit(rows, classes)
    found = register(mlflow_uri, "wine", model, input_example=rows.head(3), serialization_format="cloudpickle")
    estate.cli("bump", "production", "wine", "--to", found.version)
    found.put("model.pkl", PICKLES[POISON][0](trace))
    estate.git("push", "--quiet", "origin", "main")
    done = estate.cli("deploy", "production", cwd=estate.host, expect=5)
    assert "changed after the pin was written" in done.stdout + done.stderr
    assert answers(estate)[0] == "1"
    unpinned(estate, estate.git("rev-parse", "HEAD"))
    estate.cli("deploy", "production", cwd=estate.host)
