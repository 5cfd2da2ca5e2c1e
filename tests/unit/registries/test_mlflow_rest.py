"""The MLflow adapter against answers that a real server gives seldom or never."""

from __future__ import annotations

import time

import pytest
from mlrelease.errors import Error, UnavailableError
from mlrelease.http.errors import HttpError
from mlrelease.model.version import VersionFacts
from mlrelease.registries.mlflow_rest import MlflowRest
from support.faulty_server import answer, closed_port, error, faulty, raw

API = "/api/2.0/mlflow"
PROXY = "/api/2.0/mlflow-artifacts/artifacts"
MISSING = error(404, "RESOURCE_DOES_NOT_EXIST")
FACTS = VersionFacts("risk", "1", "READY", "models:/m-1", artifact_uri="mlflow-artifacts:/0/models/m-1/artifacts")
ROOT = "0/models/m-1/artifacts"


def rest(url):
    return MlflowRest(url, credentials={})


def version(name="risk", number="1", **more):
    return {"name": name, "version": number, "status": "READY", "source": "s3://bucket/model", **more}


def found(**more):
    return answer({"model_version": version(**more)})


def test_facts_hold_what_the_answer_says():
    """A source outside of MLflow is passed on as it is."""
    item = {
        "run_id": "r1",
        "aliases": ["prod", "a"],
        "tags": [{"key": "k", "value": "v"}],
        "creation_timestamp": 1795234490251,
    }
    with faulty(routes={f"{API}/model-versions/get": found(**item)}) as server:
        facts = rest(server.url).describe([("risk", "1")])[("risk", "1")]
    assert facts == VersionFacts(
        "risk", "1", "READY", "s3://bucket/model", "r1", "", "", ("a", "prod"), {"k": "v"}, 1795234490.251
    )


@pytest.mark.parametrize(
    ("source", "routes", "uri", "model_id"),
    [
        pytest.param(
            "models:/m-1",
            {"model-versions/get-download-uri": answer({"artifact_uri": "x:/1"})},
            "x:/1",
            "m-1",
            id="logged model",
        ),
        pytest.param(
            "models:/other/3", {"model-versions/get-download-uri": answer({"artifact_uri": "x:/3"})}, "x:/3", "", id="copy"
        ),
        pytest.param(
            "models:/m-1",
            {
                "model-versions/get-download-uri": answer({"artifact_uri": "models:/m-1"}),
                "logged-models/m-1": answer({"model": {"info": {"artifact_uri": "x:/m-1"}}}),
            },
            *("x:/m-1", "m-1"),
            id="a server that does not resolve it",
        ),
        pytest.param(
            "runs:/r1/deep/model",
            {"runs/get": answer({"run": {"info": {"artifact_uri": "x:/r1"}}})},
            *("x:/r1/deep/model", ""),
            id="run",
        ),
        pytest.param("runs:/gone/model", {"runs/get": MISSING}, "", "", id="a run that was deleted"),
        pytest.param("dbfs:/model", {}, "dbfs:/model", "", id="another store"),
    ],
)
def test_the_place_of_the_files_is_found_from_the_source(source, routes, uri, model_id):
    """For each kind of source; a place that is gone leaves a version that exists."""
    routes = {f"{API}/{path}": play for path, play in routes.items()} | {f"{API}/model-versions/get": found(source=source)}
    with faulty(routes=routes) as server:
        facts = rest(server.url).describe([("risk", "1")])[("risk", "1")]
        assert (rest(server.url).artifact_uri(facts), facts.model_id) == (uri, model_id)


@pytest.mark.parametrize("number", ["", "abc", "-1", "1.0", "99999999999999999999", "\u0661"], ids=repr)
def test_what_cannot_be_a_version_does_not_exist_and_is_not_asked_for(number):
    """Twenty digits make the real server answer 500."""
    with faulty(error(500, "INTERNAL_ERROR")) as server:
        assert rest(server.url).describe([("risk", number)]) == {("risk", number): None}
        assert server.requests == []


@pytest.mark.parametrize(
    ("key", "play"),
    [
        pytest.param(("risk", "9"), MISSING, id="404 of MLflow"),
        pytest.param(("risk", "01"), found(), id="another spelling of a version"),
        pytest.param(("RISK", "1"), found(), id="another case of a name"),
        pytest.param(("a/b", "1"), error(400, "INVALID_PARAMETER_VALUE"), id="a name that cannot be"),
    ],
)
def test_a_version_that_does_not_exist_is_none(key, play):
    """A pin names one version in one spelling."""
    with faulty(play) as server:
        assert rest(server.url).describe([key]) == {key: None}


def test_a_404_of_something_else_is_not_a_missing_version():
    """A wrong path prefix must not say that every model is gone."""
    with faulty(raw(b"<h1>Not Found</h1>", 404, content_type="text/html")) as server, pytest.raises(HttpError):
        rest(server.url).describe([("risk", "1")])


@pytest.mark.parametrize("value", [{}, {"model_version": []}, {"model_version": {"name": "risk"}}], ids=repr)
def test_an_answer_of_another_shape_is_an_error(value):
    """Not a KeyError."""
    with faulty(answer(value)) as server, pytest.raises(Error, match="something else than the API describes"):
        rest(server.url).describe([("risk", "1")])


def test_many_versions_of_a_dead_server_cost_one_deadline():
    """500 pins are not 500 times the deadline."""
    with closed_port() as port:
        began = time.monotonic()
        with pytest.raises(UnavailableError, match="connection refused"):
            rest(f"http://127.0.0.1:{port}").describe([("risk", str(n)) for n in range(1, 501)])
        assert time.monotonic() - began < 15


def test_versions_are_read_page_by_page_and_sorted_by_number():
    """The token of each page asks for the next."""
    pages = [
        answer({"model_versions": [version(number="9"), version(name="Risk", number="4")], "next_page_token": "t2"}),
        answer({"model_versions": [version(number="10"), version(number="2")]}),
    ]
    with faulty(*pages) as server:
        assert [f.version for f in rest(server.url).versions("risk")] == ["10", "9", "2"]
        assert "page_token=t2" in server.requests[1].path


@pytest.mark.parametrize(
    ("listed", "text"),
    [
        pytest.param("../../etc/cron.d/x", "unsafe name '../../etc/cron.d/x'", id="path"),
        pytest.param("..", "unsafe name '..'", id="parent"),
        pytest.param("/etc/passwd", "unsafe name '/etc/passwd'", id="absolute"),
        pytest.param("a\\b", "unsafe name", id="backslash"),
        pytest.param("a\0b", "unsafe name", id="NUL"),
        pytest.param("", "unsafe name ''", id="empty"),
        pytest.param(None, "unsafe name", id="no name"),
    ],
)
def test_a_listed_name_that_leaves_the_folder_is_refused(tmp_path, listed, text):
    """Files and folders alike, and nothing is written."""
    for is_dir in (False, True):
        listing = {"files": [{"path": "MLmodel", "file_size": 2}, {"path": listed, "is_dir": is_dir, "file_size": 2}]}
        with faulty(routes={PROXY: answer(listing), f"{PROXY}/{ROOT}/MLmodel": raw(b"ok")}) as server:
            (into := tmp_path / f"into-{is_dir}").mkdir()
            with pytest.raises(Error, match=text):
                rest(server.url).download(FACTS, into)
            assert list(into.iterdir()) == []


@pytest.mark.parametrize(
    ("listing", "text"),
    [
        pytest.param([], "has no files where the registry says", id="empty"),
        pytest.param(
            [{"path": "a", "file_size": 1}, {"path": "a", "file_size": 2}], "lists a file of the version twice", id="twice"
        ),
        pytest.param([{"path": "again", "is_dir": True}], "have no end", id="folders for ever"),
    ],
)
def test_a_listing_that_makes_no_model_is_refused(listing, text):
    """READY says nothing of the files."""
    with faulty(routes={PROXY: answer({"files": listing})}) as server, pytest.raises(Error, match=text):
        rest(server.url).files(FACTS)


def test_a_file_of_another_size_than_listed_stops_the_download(tmp_path):
    """It changed meanwhile, or something else answers."""
    routes = {PROXY: answer({"files": [{"path": "MLmodel", "file_size": 5}]}), f"{PROXY}/{ROOT}/MLmodel": raw(b"longer")}
    with faulty(routes=routes) as server, pytest.raises(Error, match="sent more bytes of 'MLmodel' where it had announced 5"):
        rest(server.url).download(FACTS, tmp_path)


@pytest.mark.parametrize(
    ("uri", "text"),
    [
        pytest.param("ftp://host/model", "its files lie at ftp:, which cannot be read from here", id="ftp"),
        pytest.param("dbfs:/model", "its files lie at dbfs:", id="dbfs"),
        pytest.param("mlflow-artifacts://other:5000/0/models", r"lie on another MLflow server \(other\)", id="another server"),
        pytest.param("mlflow-artifacts:/0/../../x", "unsafe name", id="a path that climbs"),
        pytest.param("relative/path", "on the disk of the MLflow server", id="relative path"),
    ],
)
def test_a_place_that_cannot_be_read_here_is_named(tmp_path, uri, text):
    """And this server's credentials go to no other."""
    with faulty(answer()) as server:
        with pytest.raises(Error, match=text):
            rest(server.url).files(VersionFacts("risk", "1", "READY", uri, artifact_uri=uri))
        assert server.requests == []


def test_files_on_disk_are_read_only_for_a_server_on_this_machine(tmp_path):
    """A `file:` place of a server elsewhere is a place elsewhere."""
    (tmp_path / "model" / "sub").mkdir(parents=True)
    (tmp_path / "model" / "sub" / "a").write_bytes(b"a")
    (tmp_path / "into").mkdir()
    for uri in (str(tmp_path / "model"), (tmp_path / "model").as_uri()):
        facts = VersionFacts("risk", "1", "READY", uri, artifact_uri=uri)
        with pytest.raises(Error, match="on the disk of the MLflow server"):
            rest("http://mlflow.example:5000").files(facts)
        rest("http://127.0.0.1:1").download(facts, tmp_path / "into")
        assert (tmp_path / "into" / "sub" / "a").read_bytes() == b"a"
    (tmp_path / "model" / "link").symlink_to("/etc/passwd")
    with pytest.raises(Error, match="neither file nor folder"):
        rest("http://127.0.0.1:1").download(facts, tmp_path / "into")
