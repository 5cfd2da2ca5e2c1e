"""MLflow's answers of every wrong shape, by a real connection: an `Error` that names the server, never a traceback."""

from __future__ import annotations

import json
import threading
from contextlib import contextmanager
from urllib.parse import parse_qs, urlsplit

import pytest
from mlrelease.errors import Error
from mlrelease.model.version import VersionFacts
from mlrelease.registries import mlflow_rest
from mlrelease.registries.interface import FileFacts
from mlrelease.registries.mlflow_answers import facts_of, is_prompt, original_of
from mlrelease.registries.mlflow_rest import MlflowRest
from support.faulty_server import Faulty, answer, faulty, raw

pytestmark = pytest.mark.xdist_group("mlflow-shapes")

PROXY = "/api/2.0/mlflow-artifacts/artifacts"
ROOT = "0/models/m-1/artifacts"
FACTS = VersionFacts("risk", "1", "READY", "models:/m-1", "r1", "m-1", f"mlflow-artifacts:/{ROOT}")
GOOD = {"name": "risk", "version": "1", "status": "READY", "source": "s3://b/m"}
HINT = "is it an MLflow server of version 2 or 3?"


class Server:
    """One server for all questions: `says` is what it answers, by path or to everything."""

    def __init__(self, faulty: Faulty) -> None:
        self.url = faulty.url
        self.requests = faulty.requests
        self.says: dict[str, object] = {}
        self.lock = threading.Lock()

    def play(self, handler):
        path = handler.path.partition("?")[0]
        value = self.says.get(path, self.says.get("", {}))
        (value if callable(value) else answer(value))(handler)


@contextmanager
def _running():
    holder = []
    with faulty(lambda handler: holder[0].play(handler)) as found:  # noqa: PLW0108 - it is there only once the port is known
        holder.append(Server(found))
        yield holder[0]


@pytest.fixture(scope="module")
def _one():
    with _running() as server:
        yield server


@pytest.fixture
def server(_one):
    """The server of this module, with nothing said and nothing asked yet."""
    _one.says = {}
    _one.requests.clear()
    return _one


@pytest.fixture
def registry(server):
    return MlflowRest(server.url, credentials={})


VERSIONS = [
    pytest.param(None, id="null"),
    pytest.param([], id="a list"),
    pytest.param("risk", id="a text"),
    pytest.param({}, id="nothing"),
    pytest.param({**GOOD, "name": ""}, id="an empty name"),
    pytest.param({**GOOD, "name": None}, id="no name"),
    pytest.param({**GOOD, "version": "one"}, id="a version in words"),
    pytest.param({**GOOD, "version": "-1"}, id="a version below none"),
    pytest.param({**GOOD, "version": "1" * 5000}, id="a version of 5,000 digits"),
    pytest.param({**GOOD, "version": None}, id="no version"),
    pytest.param({**GOOD, "aliases": None}, id="aliases that are null"),
    pytest.param({**GOOD, "aliases": 7}, id="aliases that are a number"),
    pytest.param({**GOOD, "tags": None}, id="tags that are null"),
    pytest.param({**GOOD, "tags": {"a": "b"}}, id="tags by name"),
    pytest.param({**GOOD, "tags": [{"value": "x"}]}, id="a tag without a key"),
    pytest.param({**GOOD, "tags": ["a"]}, id="a tag that is a text"),
    pytest.param({**GOOD, "creation_timestamp": "yesterday"}, id="a time in words"),
    pytest.param({**GOOD, "creation_timestamp": None}, id="no time"),
    pytest.param({**GOOD, "creation_timestamp": 10**400}, id="a time beyond all numbers"),
    pytest.param({**GOOD, "creation_timestamp": [1]}, id="a time in a list"),
]


@pytest.mark.parametrize("item", VERSIONS)
def test_a_version_of_another_shape_is_an_error(item, registry, server):
    """Asked for alone, in a list, or by its alias."""
    server.says[""] = {"model_version": item, "model_versions": [item]}
    for ask in (
        lambda: facts_of(item),
        lambda: registry.describe([("risk", "1")]),
        lambda: registry.versions("risk"),
        lambda: registry.alias("risk", "champion"),
    ):
        with pytest.raises(Error) as caught:
            ask()
        assert caught.value.message.endswith("answered with something else than the API describes")
        assert caught.value.hint == HINT


ITEMS = [None, {}, "text", 7, [7], [None], ["text"], [[]], [{}], [{"name": "a", "tags": None}], [{"name": "a", "tags": [7]}]]


@pytest.mark.parametrize("items", ITEMS, ids=repr)
def test_a_list_of_models_of_another_shape_is_an_error(items, registry, server):
    """Not a KeyError, and not no models."""
    if items == {}:
        items = {"name": "a"}
    server.says[""] = {"registered_models": items}
    with pytest.raises(Error) as caught:
        registry.models()
    assert caught.value.message == f"MLflow at {server.url} answered with something else than the API describes"


def test_models_are_named_once_and_sorted_without_prompts(registry, server):
    """A prompt is one by its tag, whatever that says."""
    prompt = {"key": "mlflow.prompt.is_prompt", "value": "true"}
    server.says[""] = {
        "registered_models": [
            {"name": "b"},
            {"name": "a", "tags": [{"key": "x"}]},
            {"name": "p", "tags": [prompt]},
            {"name": "b"},
        ]
    }
    assert registry.models() == ("a", "b")
    assert is_prompt({"tags": [prompt]})
    assert not is_prompt({"tags": [{"key": "mlflow.prompt", "value": "mlflow.prompt.is_prompt"}]})
    server.says[""] = {}
    assert registry.models() == ()


@pytest.mark.parametrize(
    "files",
    [
        *(None, {"a": 1}, "text", 7, [None], ["a"], [[1]]),
        *([{"path": "a", "file_size": "many"}], [{"path": "a", "file_size": None}], [{"path": "a", "file_size": [1]}]),
        [{"path": "a", "file_size": 1e999}],
    ],
    ids=repr,
)
def test_a_listing_of_another_shape_is_an_error(files, registry, server, tmp_path):
    """For who asks what files there are, and for who downloads them; nothing is written."""
    server.says[PROXY] = {"files": files}
    for ask in (lambda: registry.files(FACTS), lambda: registry.download(FACTS, tmp_path)):
        with pytest.raises(Error) as caught:
            ask()
        assert caught.value.message == f"MLflow at {server.url} answered with something else than the API describes"
    assert list(tmp_path.iterdir()) == []


def test_folders_are_listed_each_by_its_path_and_files_sorted(registry, server):
    """A size that is left out is none; sizes may come as text."""

    def listing(handler):
        folder = handler.path.partition("path=")[2].replace("%2F", "/").removeprefix(ROOT).strip("/")
        tree = {
            "": [{"path": "b", "file_size": "7"}, {"path": "deep", "is_dir": True}],
            "deep": [{"path": "empty"}, {"path": "er", "is_dir": True}],
            "deep/er": [{"path": "a b+c%", "file_size": 1}],
        }
        answer({"files": tree[folder]})(handler)

    server.says[PROXY] = listing
    assert registry.files(FACTS) == (FileFacts("b", 7), FileFacts("deep/empty", 0), FileFacts("deep/er/a b+c%", 1))
    assert len(server.requests) == 3


def test_a_download_writes_the_listed_files_and_quotes_their_names(registry, server, tmp_path):
    """Spaces, percent signs, question marks: the name on disk is the name in the listing."""
    name = "a b+c%2F?#é"
    server.says[PROXY] = {"files": [{"path": name, "file_size": 4}]}
    server.says[""] = raw(b"data")
    registry.download(FACTS, tmp_path)
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [(name, b"data")]
    assert server.requests[-1].path == f"{PROXY}/{ROOT}/a%20b%2Bc%252F%3F%23%C3%A9"


def test_a_file_and_a_folder_of_one_name_stop_a_download(registry, server, tmp_path):
    """The disk can hold only one of them."""
    listed = {"a": [{"path": "b", "file_size": 1}], ROOT: [{"path": "a", "file_size": 1}, {"path": "a", "is_dir": True}]}

    def listing(handler):
        folder = handler.path.partition("path=")[2].replace("%2F", "/").removeprefix(f"{ROOT}/")
        answer({"files": listed[folder]})(handler)

    server.says[PROXY] = listing
    server.says[""] = raw(b"x")
    with pytest.raises(Error, match=r"cannot (make a folder for a download: file exists|write a downloaded file: )"):
        registry.download(FACTS, tmp_path)


@pytest.mark.parametrize(
    ("source", "path", "said"),
    [
        *(("models:/m-1", "logged-models/m-1", said) for said in ({"model": {}}, {"model": {"info": []}}, {"model": 7}, {})),
        *(("runs:/r1/m", "runs/get", said) for said in ({}, {"run": []}, {"run": {"info": {}}}, {"run": {"info": 7}})),
    ],
    ids=repr,
)
def test_a_place_of_another_shape_is_an_error(source, path, said, registry, server):
    """Not a place called `None`."""
    server.says["/api/2.0/mlflow/model-versions/get-download-uri"] = {"artifact_uri": "models:/m-1"}
    server.says[f"/api/2.0/mlflow/{path}"] = said
    with pytest.raises(Error, match="answered with something else than the API describes"):
        registry.artifact_uri(VersionFacts("risk", "1", "READY", source))


HUGE = 10**400


@pytest.mark.parametrize(
    "logged",
    [
        *([{"key": "a", "value": HUGE}], [{"key": "a", "step": 1e999}] * 2, [{"key": "a", "timestamp": "now"}] * 2),
        *([{"key": "a", "value": None}], [{"key": "a", "value": []}], [7], "text", {"a": 1}),
    ],
    ids=lambda value: repr(value)[:60],
)
def test_metrics_of_another_shape_are_an_error(logged, registry, server):
    """Of a model as of a run, and as part of a run's facts: a gate must not read them as none."""
    model, run = {"model": {"data": {"metrics": logged}}}, {"run": {"info": {"run_id": "r1"}, "data": {"metrics": logged}}}
    server.says = {"/api/2.0/mlflow/logged-models/m-1": model, "/api/2.0/mlflow/runs/get": run}
    for ask in (
        lambda: registry.metrics(FACTS),
        lambda: registry.metrics(VersionFacts("risk", "1", "READY", "s3://b", "r1")),
        lambda: registry.run("r1"),
    ):
        with pytest.raises(Error, match="answered with something else than the API describes"):
            ask()


@pytest.mark.parametrize("times", [{"start_time": "now"}, {"end_time": 1e999}, {"start_time": [1]}], ids=repr)
def test_a_run_at_no_time_is_an_error(times, registry, server):
    """Times are whole milliseconds."""
    server.says[""] = {"run": {"info": {"run_id": "r1"} | times}}
    with pytest.raises(Error, match="answered with something else than the API describes"):
        registry.run("r1")


@pytest.mark.parametrize(
    ("source", "original"),
    [
        ("models:/other/3", ("other", "3")),
        ("models:/a/b/3", ("a/b", "3")),
        ("models:/m-1", None),
        ("models:/other/latest", None),
        ("models:/other@champion", None),
        ("runs:/r1/3", None),
        ("", None),
        ("other/3", None),
    ],
)
def test_the_original_of_a_copy(source, original):
    """Only a model and a number name one."""
    assert original_of(source) == original


def test_setting_an_alias_sends_what_it_says(registry, server):
    """One POST with the three."""
    registry.set_alias("risk", "champion", "3")
    (request,) = server.requests
    assert (request.method, request.path) == ("POST", "/api/2.0/mlflow/registered-models/alias")
    assert json.loads(request.body) == {"name": "risk", "alias": "champion", "version": "3"}


@pytest.mark.parametrize(
    ("name", "asked"),
    [("risk", "name='risk'"), ("it's", 'name="it\'s"'), ('so "called"', "name='so \"called\"'")],
    ids=["usual", "with a quote", "with two quotes"],
)
def test_all_versions_are_asked_for_under_the_name_in_quotes(name, asked, registry, server):
    """By the quotes that it does not hold."""
    server.says[""] = {"model_versions": [{**GOOD, "name": name, "version": version} for version in ("9", "10")]}
    assert [facts.version for facts in registry.versions(name)] == ["10", "9"]
    (request,) = server.requests
    assert parse_qs(urlsplit(request.path).query)["filter"] == [asked]


def test_a_name_with_both_quotes_has_no_versions_and_is_not_asked_for(registry, server):
    """No filter can hold it."""
    assert registry.versions('it\'s "so"') == ()
    assert server.requests == []


def test_the_pages_of_a_search_end(registry, server, monkeypatch):
    """A server whose every page names a next one is asked so often, not for ever."""
    monkeypatch.setattr(mlflow_rest, "_MOST_PAGES", 3)
    server.says[""] = {"registered_models": [{"name": "a"}], "next_page_token": "again"}
    assert registry.models() == ("a",)
    assert len(server.requests) == 3
