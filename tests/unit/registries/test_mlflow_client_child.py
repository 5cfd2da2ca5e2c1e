"""The adapter over a tracking database beside a child that answers from a table: what is asked, what is made of answers."""

from __future__ import annotations

import json
import sys

import pytest
from mlrelease.errors import Error
from mlrelease.model.version import VersionFacts
from mlrelease.registries import client_process
from mlrelease.registries.connect import connect
from mlrelease.registries.interface import FileFacts

pytestmark = pytest.mark.xdist_group("mlflow-client-child")

PROGRAM = """
import json, pathlib, sys
first = json.loads(sys.stdin.readline())
here = pathlib.Path(__file__).parent
print(json.dumps({"value": None}), flush=True)
for line in sys.stdin:
    with (here / "asked").open("a") as file:
        file.write(line)
    said = json.loads((here / "says").read_text())
    request = json.loads(line)
    found = said.get(request["do"])
    if isinstance(found, dict) and "by" in found:
        found = found["answers"].get(str(request[found["by"]]))
    print(found["raw"] if isinstance(found, dict) and "raw" in found else json.dumps({"value": found}), flush=True)
"""


class Child:
    """The folder of the child: what it says, and what it was asked."""

    def __init__(self, folder):
        self.folder = folder

    def says(self, **answers):
        (self.folder / "says").write_text(json.dumps(answers))
        (self.folder / "asked").write_text("")

    @property
    def asked(self):
        return [json.loads(line) for line in (self.folder / "asked").read_text().splitlines()]


@pytest.fixture(scope="module")
def _pair(tmp_path_factory):
    """One adapter and its one child for all tests of this module."""
    folder = tmp_path_factory.mktemp("child")
    (folder / "program.py").write_text(PROGRAM)
    runner = folder / "python"
    runner.write_text(f'#!/bin/sh\nexec {sys.executable} -S -E {folder}/program.py "$@"\n')
    runner.chmod(0o755)
    (folder / "mlflow.db").write_bytes(b"")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(client_process.sys, "executable", str(runner))
        registry = connect("sqlite:///mlflow.db", {}, base=lambda: folder)
        Child(folder).says(models=[])
        registry.models()  # starts the child
    return registry, Child(folder)


@pytest.fixture
def registry(_pair):
    return _pair[0]


@pytest.fixture
def child(_pair):
    _pair[1].says()
    return _pair[1]


def version(number, **more):
    return {"name": "risk", "version": number, "status": "READY", "source": "s3://b/m"} | more


def facts(source="s3://b/m", **more):
    return VersionFacts("risk", "1", "READY", source, **more)


def test_the_address_is_the_files_full_path(registry, child):
    """Relative to the repository, as it is written."""
    assert registry.where == f"sqlite:///{child.folder}/mlflow.db"


def test_versions_are_asked_for_together_and_each_once(registry, child):
    """What is not in the answer does not exist; what is asked for twice is asked for once."""
    child.says(describe=[version("2")])
    found = registry.describe([("risk", "9"), ("risk", "2"), ("risk", "2")])
    assert {key: facts and facts.version for key, facts in found.items()} == {("risk", "2"): "2", ("risk", "9"): None}
    assert child.asked == [{"do": "describe", "keys": [["risk", "2"], ["risk", "9"]]}]
    assert registry.describe([]) == {}
    assert len(child.asked) == 1


def test_versions_of_a_model_are_newest_first(registry, child):
    """By number, not by text."""
    child.says(versions=[version("9"), version("10"), version("1")])
    assert [found.version for found in registry.versions("risk")] == ["10", "9", "1"]
    assert registry.versions('it\'s "so"') == ()
    assert len(child.asked) == 1


def test_models_are_sorted_without_prompts(registry, child):
    """As over a server."""
    prompt = [{"key": "mlflow.prompt.is_prompt"}]
    child.says(models=[{"name": "b", "tags": []}, {"name": "p", "tags": prompt}, {"name": "a", "tags": [{"key": "x"}]}])
    assert registry.models() == ("a", "b")


def test_an_alias_and_a_run_may_be_gone(registry, child):
    """None, as over a server."""
    child.says(alias=None, run=None)
    assert (registry.alias("risk", "champion"), registry.run("r1")) == (None, None)
    child.says(alias=version("3", aliases=["champion"]), run={"info": {"run_id": "r1"}})
    assert (registry.alias("risk", "champion").version, registry.run("r1").run_id) == ("3", "r1")
    registry.set_alias("risk", "champion", "4")
    assert child.asked[-1] == {"do": "set_alias", "name": "risk", "alias": "champion", "version": "4"}


@pytest.mark.parametrize(
    ("source", "originals", "model_id"),
    [
        pytest.param("models:/m-1", {}, "m-1", id="its own logged model"),
        pytest.param("models:/risk/2", {"2": "models:/m-2"}, "m-2", id="a copy's original"),
        pytest.param("models:/risk/2", {"2": "models:/risk/3", "3": "models:/m-3"}, "m-3", id="a copy of a copy"),
        pytest.param("models:/risk/2", {}, "", id="an original that is gone"),
        pytest.param("models:/risk/2", {"2": "models:/risk/2"}, "", id="a copy of itself"),
        pytest.param("runs:/r1/m", {}, "", id="a run"),
    ],
)
def test_metrics_are_those_of_the_original(registry, child, source, originals, model_id):
    """A copy has no logged model of its own; the run is always the version's."""
    answers = {str([["risk", number]]): [version(number, source=found)] for number, found in originals.items()}
    missing = {str([["risk", number]]): [] for number in "23" if number not in originals}
    child.says(describe={"by": "keys", "answers": missing | answers}, metrics=[{"rmse": 1.5}, "model"])
    own = source.removeprefix("models:/") if source == "models:/m-1" else ""
    assert registry.metrics(facts(source, run_id="r1", model_id=own)) == ({"rmse": 1.5}, "model")
    assert child.asked[-1] == {"do": "metrics", "model_id": model_id, "run_id": "r1"}
    assert len(child.asked) <= 10


def test_files_of_a_store_are_asked_of_the_child(registry, child, tmp_path):
    """Sorted; a download names a full path, so that the child's own folder does not matter."""
    child.says(artifact_uri="s3://b/m", files=[["b", 2], ["a/c", 1]], download=None)
    assert registry.files(facts()) == (FileFacts("a/c", 1), FileFacts("b", 2))
    registry.download(facts(artifact_uri="s3://b/other"), tmp_path)
    assert child.asked[-1] == {"do": "download", "uri": "s3://b/other", "into": str(tmp_path)}
    child.says(artifact_uri="s3://b/m", files=[])
    with pytest.raises(Error, match="risk version 1 has no files where the registry says they are"):
        registry.files(facts())


def test_files_on_this_machine_are_read_without_the_child(registry, child, tmp_path):
    """Only their place is asked for."""
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "a").write_bytes(b"abc")
    child.says(artifact_uri=str(tmp_path / "m"))
    assert registry.files(facts()) == (FileFacts("a", 3),)
    registry.download(facts(), tmp_path / "into")
    assert (tmp_path / "into" / "a").read_bytes() == b"abc"
    assert {request["do"] for request in child.asked} == {"artifact_uri"}


@pytest.mark.parametrize(
    ("uri", "message", "hint"),
    [
        ("", "risk version 1: its logged model or run was deleted, so its files are gone", "register it again"),
        (
            "mlflow-artifacts:/0/m",
            "risk version 1: its files lie behind an MLflow server, and only the database is asked",
            "point tracking_uri at that server",
        ),
        ("models/1", "risk version 1: its files lie in a folder without a full path", "register the version again"),
    ],
    ids=["gone", "behind a server", "a relative folder"],
)
def test_a_place_that_a_database_cannot_give_says_why(registry, child, uri, message, hint):
    """For the listing as for the download."""
    child.says(artifact_uri=uri)
    for ask in (lambda: registry.files(facts()), lambda: registry.download(facts(), child.folder)):
        with pytest.raises(Error) as caught:
            ask()
        assert (caught.value.message, caught.value.hint) == (message, hint)


@pytest.mark.parametrize("item", [None, 7, {"name": "risk"}, {"name": "risk", "version": "x"}], ids=repr)
def test_a_version_of_another_shape_is_an_error(registry, child, item):
    """The package may be of a version that is not known here."""
    child.says(describe=[item], versions=[item], alias=item or 0)
    for ask in (
        lambda: registry.describe([("risk", "1")]),
        lambda: registry.versions("risk"),
        lambda: registry.alias("risk", "champion"),
    ):
        with pytest.raises(Error, match="answered with something else than the API describes"):
            ask()


def test_a_long_word_of_the_client_is_cut_to_one_line(registry, child):
    """Its messages hold whole SQL statements."""
    child.says(models={"raw": json.dumps({"error": ["error", "no\n  luck " + "x" * 500, "mend it"]})})
    with pytest.raises(Error) as caught:
        registry.models()
    assert caught.value.message == "no luck " + "x" * 291 + "…"
    assert (caught.value.hint, caught.value.where) == ("mend it", registry.where)


@pytest.mark.parametrize(
    ("uri", "where"),
    [
        ("postgresql://ann:s3cret@db.example:5432/mlflow?sslmode=require", "postgresql://db.example:5432/mlflow"),
        ("postgresql+psycopg://db/mlflow", "postgresql+psycopg://db/mlflow"),
        ("mysql+pymysql://ann@db/mlflow?password=s3cret#x", "mysql+pymysql://db/mlflow"),
        ("mssql+pyodbc://ann:s3%40cret@[::1]:1433/mlflow", "mssql+pyodbc://[::1]:1433/mlflow"),
    ],
    ids=["with everything", "with its driver", "with a password in its options", "by an address of IPv6"],
)
def test_where_a_database_lies_is_shown_without_who_asks(uri, where):
    """No user, no password, no options."""
    assert connect(uri, {}).where == where


@pytest.mark.parametrize("uri", ["postgresql://ann:s3/cret@db:x/mlflow", "postgresql://db:port/mlflow", "mysql://[::1/mlflow"])
def test_half_an_address_is_refused_with_the_likely_cause(uri):
    """And not shown."""
    with pytest.raises(Error) as caught:
        connect(uri, {})
    assert caught.value.message == "the MLflow address is not a URL"
    assert caught.value.hint == "a password with / @ : ? # must be percent-encoded"
