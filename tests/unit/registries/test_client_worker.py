"""The worker's operations over a client in memory: the form of its answers, what counts as missing, what it never asks."""

from __future__ import annotations

import math
from types import SimpleNamespace as Thing

import pytest
from mlrelease.errors import Error
from mlrelease.registries import artifacts, client_worker
from mlrelease.registries.client_worker import Worker
from mlrelease.registries.interface import FileFacts
from mlrelease.registries.mlflow_answers import facts_of
from mlrelease.registries.runs import run_of


class RefusedError(Exception):
    """What the client raises, as MLflow's own exception."""

    def __init__(self, code):
        super().__init__(code)
        self.error_code = code


class Page(list):
    """One page of a search."""

    token = None


def version(name, number, **more):
    """A version as the client gives it."""
    empty = {"status": "READY", "source": None, "run_id": None, "aliases": None, "tags": None, "creation_timestamp": None}
    return Thing(name=name, version=number, **empty | more)


class Client:
    """`mlflow.MlflowClient` of these versions; remembers its searches, and answers them in pages of two."""

    def __init__(self, *versions, **answers):
        self.versions = versions
        self.answers = answers
        self.searches = []
        self.singly = []

    def search_model_versions(self, *, filter_string, max_results, page_token):
        self.searches.append(filter_string)
        start = int(page_token or 0)
        page = Page(self.versions[start : start + 2])
        page.token = str(start + 2) if len(self.versions) > start + 2 else None
        return page

    def search_registered_models(self, *, max_results, page_token):
        return Page([Thing(name="a", tags=None), Thing(name="p", tags={"mlflow.prompt.is_prompt": "true"})])

    def get_model_version(self, name, number):
        self.singly.append((name, number))
        found = [v for v in self.versions if (v.name, str(v.version)) == (name, str(int(number)))]
        return found[0] if found else self._missing()

    def __getattr__(self, name):
        def answer(*arguments):
            found = self.answers.get(name, {}).get(arguments)
            if isinstance(found, Exception):
                raise found
            return found if found is not None else self._missing()

        return answer

    def _missing(self):
        raise RefusedError("RESOURCE_DOES_NOT_EXIST")


def worker(client):
    """A worker that asks this client; the real one would import MLflow."""
    made = Worker.__new__(Worker)
    made._failure, made._client = RefusedError, client
    return made


def test_one_version_is_asked_for_and_several_are_searched():
    """Page by page; what else a search finds is left out, and so is what cannot be a version."""
    client = Client(*(version("a", n) for n in range(1, 6)), version("b", 1))
    assert [item["version"] for item in worker(client).describe([["a", "3"]])] == ["3"]
    assert (client.searches, client.singly) == ([], [("a", "3")])
    found = worker(client).describe([["a", "3"], ["b", "1"], ["a", "9"], ["a", "latest"], ["", "1"]])
    assert sorted((item["name"], item["version"]) for item in found) == [("a", "3"), ("b", "1")]
    assert client.searches == ["name IN ('b','a') AND version_number >= 1 AND version_number <= 9"] * 3
    assert client.singly == [("a", "3")]


def test_names_that_no_filter_can_hold_are_asked_for_by_themselves():
    """Beside the others, which are searched."""
    client = Client(version("it's", 1), version("b", 1), version("c", 2))
    found = worker(client).describe([("it's", "1"), ("b", "1"), ("c", "2"), ("it's", "7")])
    assert sorted(item["name"] for item in found) == ["b", "c", "it's"]
    assert "it's" not in client.searches[0]
    assert client.singly == [("it's", "1"), ("it's", "7")]


def test_another_spelling_of_a_version_is_no_version():
    """`08` is answered with version 8."""
    assert worker(Client(version("a", 8))).describe([("a", "08")]) == []


def test_nothing_asked_is_nothing_answered():
    """And nobody is."""
    client = Client(version("a", 1))
    assert worker(client).describe([]) == []
    assert (client.searches, client.singly) == ([], [])


def test_an_item_is_what_the_rest_adapter_would_have_read():
    """Both adapters make facts of it in one place; what the client leaves out is empty."""
    full = version(
        "a", 7, source="models:/m-1", run_id="r", aliases=["x", "b"], tags={"k": "v"}, creation_timestamp=1_795_234_490_251
    )
    facts = facts_of(client_worker._item(full))
    assert (facts.name, facts.version, facts.status, facts.source) == ("a", "7", "READY", "models:/m-1")
    assert (facts.run_id, facts.model_id, facts.aliases) == ("r", "m-1", ("b", "x"))
    assert (facts.tags, facts.created_at) == ({"k": "v"}, 1795234490.251)
    bare = facts_of(client_worker._item(version("a", 7)))
    assert (bare.source, bare.run_id, bare.aliases, bare.tags, bare.created_at) == ("", "", (), {}, 0.0)


def test_versions_of_a_name_are_not_those_of_another_case():
    """Some databases compare without case."""
    client = Client(version("Risk", 1), version("risk", 2), version("risk", 3))
    assert [item["version"] for item in worker(client).versions("risk")] == ["2", "3"]
    worker(client).versions("it's")
    assert client.searches[-1] == 'name="it\'s"'


def test_models_come_with_the_keys_of_their_tags():
    """By them the adapter knows prompts."""
    assert worker(Client()).models() == [
        {"name": "a", "tags": []},
        {"name": "p", "tags": [{"key": "mlflow.prompt.is_prompt"}]},
    ]


@pytest.mark.parametrize("code", ["RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"])
def test_what_the_client_says_is_missing_is_none(code):
    """Each operation answers that, and none raises it."""
    refused = RefusedError(code)
    failing = {
        "get_model_version_by_alias": {("a", "x"): refused},
        "get_model_version_download_uri": {("a", "x"): refused},
        "get_run": {("r",): refused},
        "get_logged_model": {("m",): refused},
    }
    made = worker(Client(**failing))
    assert (made.alias("a", "x"), made.artifact_uri("a", "x"), made.run("r")) == (None, "", None)
    assert made.metrics("m", "r") == [{}, ""]
    assert (made.run(""), made.metrics("", "")) == (None, [{}, ""])


def test_any_other_failure_is_raised():
    """A database that is away holds no missing versions."""
    made = worker(Client(get_run={("r",): RefusedError("INTERNAL_ERROR")}))
    with pytest.raises(RefusedError, match="INTERNAL_ERROR"):
        made.run("r")


def test_a_logged_model_lies_where_it_says():
    """`models:/m-…` is resolved; any other address is given as it is."""
    made = worker(
        Client(
            get_model_version_download_uri={("a", "1"): "models:/m-7", ("a", "2"): "s3://b/m", ("a", "3"): "models:/m-gone"},
            get_logged_model={("m-7",): Thing(artifact_location="/files/m-7")},
        )
    )
    assert [made.artifact_uri("a", number) for number in "1234"] == ["/files/m-7", "s3://b/m", "", ""]


def metric(value, **more):
    """A metric as the client gives it: it becomes a dictionary."""
    return {"key": "rmse", "value": value, "step": 0, "timestamp": 1, "run_id": "r", **more}.items()


def test_metrics_are_the_models_own_or_its_runs():
    """A zero of a model is looked up, an infinity is one again."""
    run = Thing(data=Thing(metrics={"rmse": 1.7976931348623157e308}))
    answers = {
        "get_logged_model": {("m",): Thing(metrics=[metric(0.0)]), ("bare",): Thing(metrics=[])},
        "get_run": {("r",): run, ("empty",): Thing(data=Thing(metrics={}))},
        "get_metric_history": {("r", "rmse"): [metric(0.0)]},
    }
    made = worker(Client(**answers))
    assert made.metrics("m", "r") == [{"rmse": 0.0}, "model"]
    assert made.metrics("bare", "r") == [{"rmse": math.inf}, "run"]
    assert made.metrics("gone", "r") == [{"rmse": math.inf}, "run"]
    assert made.metrics("", "empty") == [{}, ""]
    lost = worker(Client(get_logged_model=answers["get_logged_model"]))
    assert math.isnan(lost.metrics("m", "")[0]["rmse"])


def test_a_run_has_the_form_of_the_rest_answer():
    """One reader for both: every fact arrives."""
    info = {"run_id": "r", "run_name": "n", "status": "FINISHED", "user_id": "u", "start_time": 1000, "end_time": 2500}
    dataset = Thing(
        dataset=Thing(name="wine", digest="d", source_type="http", source="https://x"),
        tags=[Thing(key="mlflow.data.context", value="training")],
    )
    data = Thing(tags={"mlflow.source.name": "train.py"}, params={"C": "1"}, metrics={"rmse": 2.5})
    run = Thing(info=Thing(**info, experiment_id="3"), data=data, inputs=Thing(dataset_inputs=[dataset]))
    found = run_of(worker(Client(get_run={("r",): run})).run("r"))
    assert (found.run_id, found.name, found.status, found.user, found.experiment) == ("r", "n", "FINISHED", "u", "3")
    assert (found.started_at, found.ended_at, found.entry) == (1.0, 2.5, "train.py")
    assert (found.params, found.metrics) == ({"C": "1"}, {"rmse": 2.5})
    assert [(one.name, one.source_type, one.context) for one in found.datasets] == [("wine", "http", "training")]
    run.inputs = None
    assert run_of(client_worker._run(run)).datasets == ()


# ---- the files of a store


class Store:
    """`ArtifactRepository` of this tree: folders are dictionaries. Paths come whole, as MLflow gives them."""

    def __init__(self, tree):
        self.tree = tree

    def list_artifacts(self, folder):
        here = self.tree
        for step in filter(None, (folder or "").split("/")):
            here = here[step]
        for name, what in here.items():
            path = f"{folder}/{name}" if folder else name
            is_dir = isinstance(what, dict)
            yield Thing(path=path, is_dir=is_dir, file_size=None if is_dir or not what else len(what))


def listed(tree):
    return client_worker._listed(Store(tree), "s3://b/m")


def test_a_store_is_listed_folder_by_folder():
    """A folder that is called like its parent too; a size that is left out is none."""
    found = listed({"a": {"a": {"a": b"xyz"}, "b": b""}, "c": b"1"})
    assert sorted(found, key=lambda file: file.path) == [FileFacts("a/a/a", 3), FileFacts("a/b", 0), FileFacts("c", 1)]


@pytest.mark.parametrize("name", ["..", "", "a\\b", "a\0b"], ids=repr)
def test_a_name_in_a_store_that_leaves_its_folder_is_refused(name):
    """On every level."""
    for tree in ({name: b"x"}, {"deep": {name: b"x"}}):
        with pytest.raises(Error, match="the registry lists a file under the unsafe name"):
            listed(tree)


def test_a_store_without_end_is_given_up(monkeypatch):
    """Folders in folders that are all the same."""
    endless: dict[str, object] = {}
    endless |= {"a": endless, "b": endless}
    monkeypatch.setattr(artifacts, "MOST_FILES", 40)
    with pytest.raises(Error, match="have no end"):
        listed(endless)
