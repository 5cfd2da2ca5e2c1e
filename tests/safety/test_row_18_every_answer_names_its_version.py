"""Old and new answered at once, and nobody could tell which.

Every prediction, every refusal, every metric and every identity names the version and the bundle that answered.
"""

from __future__ import annotations

import json
from contextlib import ExitStack

import pytest
from support.served import ROWS, artifact, save_sklearn, serving

pytestmark = pytest.mark.xdist_group("row-18")

ALSO = ("tests/integration/test_serving.py::test_a_prediction_names_what_answered",)


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    """Two real servers side by side, as during a switch: the same model as version 7 and as version 8."""
    folder = save_sklearn(tmp_path_factory.mktemp("row18") / "model")
    with ExitStack() as stack:
        servers = {}
        for version, bundle in (("7", "aaaaaaaaaaaa"), ("8", "bbbbbbbbbbbb")):
            made = serving(artifact(folder, version=version), folder=tmp_path_factory.mktemp(bundle), bundle=bundle)
            servers[version, bundle] = stack.enter_context(made).wait_ready()
        yield servers


@pytest.mark.parametrize(
    ("body", "status"), [(ROWS, 200), (b"{", 400), ({"dataframe_records": [{"nope": 1}]}, 400)], ids=["right", "torn", "wrong"]
)
def test_row_18_each_answer_says_who_gave_it(pair, body, status):
    """Right or refused, the headers tell old from new."""
    said = {}
    for (version, bundle), server in pair.items():
        answer = server.ask("POST", "/invocations", body)
        assert answer.status == status
        said[version, bundle] = (answer.headers["x-model-version"], answer.headers["x-bundle"])
    assert said == {key: key for key in pair}


def test_row_18_metrics_and_identity_say_it_too(pair):
    """`model_info` has one line with exactly this version and bundle; `/identity` agrees."""
    for (version, bundle), server in pair.items():
        lines = [x for x in server.ask("GET", "/metrics").body.decode().splitlines() if x.startswith("model_info{")]
        assert len(lines) == 1
        assert f'version="{version}"' in lines[0]
        assert f'bundle="{bundle}"' in lines[0]
        identity = json.loads(server.ask("GET", "/identity").body)
        assert (identity["models"][0]["version"], identity["bundle"]) == (version, bundle)
