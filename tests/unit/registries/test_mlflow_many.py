"""Many versions asked of an MLflow server at once: what is searched for, what is asked singly, and what is never read."""

from __future__ import annotations

from urllib.parse import parse_qs, urlsplit

import pytest
from mlrelease.errors import Error
from mlrelease.http.errors import HttpError
from mlrelease.registries.mlflow_rest import MlflowRest
from support.faulty_server import answer, error, faulty

API = "/api/2.0/mlflow"
SEARCH, GET = f"{API}/model-versions/search", f"{API}/model-versions/get"
MISSING = error(404, "RESOURCE_DOES_NOT_EXIST")


def rest(url):
    return MlflowRest(url, credentials={})


def row(name, version="1"):
    return {"name": name, "version": version, "status": "READY", "source": "s3://b/m"}


def query(path):
    return {name: values[0] for name, values in parse_qs(urlsplit(path).query).items()}


def holding(rows, *, knows_in=True, page=1000):
    """A server that holds these rows: both of its ways to ask for versions."""

    def search(handler):
        asked = query(handler.path)
        if "IN" in asked["filter"] and not knows_in:
            error(400, "INVALID_PARAMETER_VALUE", "Invalid clause(s) in filter string")(handler)
            return
        listed = "name IN (" in asked["filter"]
        found = [item for item in rows if not listed or f"'{item['name']}'" in asked["filter"]]
        start = int(asked.get("page_token", 0))
        token = {"next_page_token": str(start + page)} if len(found) > start + page else {}
        answer({"model_versions": found[start : start + page], **token})(handler)

    def get(handler):
        asked = query(handler.path)
        found = next((i for i in rows if (i["name"], i["version"]) == (asked["name"], asked["version"])), None)
        (answer({"model_version": found}) if found else MISSING)(handler)

    return {SEARCH: search, GET: get}


def asked(server, path):
    return [query(request.path) for request in server.requests if urlsplit(request.path).path == path]


def test_a_few_versions_are_asked_for_one_by_one():
    """Twelve at most; a search would be no faster."""
    with faulty(routes=holding([row(f"m{n}") for n in range(12)])) as server:
        found = rest(server.url).describe([(f"m{n}", "1") for n in range(12)])
    assert all(facts is not None for facts in found.values())
    assert (len(asked(server, SEARCH)), len(asked(server, GET))) == (0, 12)


def test_many_versions_are_found_by_one_search():
    """What else it finds is left out."""
    rows = [row(f"m{n}", version) for n in range(40) for version in ("1", "2")]
    with faulty(routes=holding(rows)) as server:
        found = rest(server.url).describe([(f"m{n}", "1") for n in range(40)])
    assert [(key, facts.version) for key, facts in found.items()] == [(key, "1") for key in sorted(found)]
    assert (len(asked(server, SEARCH)), len(asked(server, GET))) == (1, 0)
    assert asked(server, SEARCH)[0]["filter"].endswith("AND version_number >= 1 AND version_number <= 1")


def test_a_search_of_several_pages_is_read_to_its_end():
    """The token of each page asks for the next."""
    with faulty(routes=holding([row(f"m{n:02d}") for n in range(40)], page=15)) as server:
        found = rest(server.url).describe([(f"m{n:02d}", "1") for n in range(40)])
    assert all(facts is not None for facts in found.values())
    assert [one.get("page_token") for one in asked(server, SEARCH)] == [None, "15", "30"]


@pytest.mark.parametrize(
    ("missing", "confirmed"), [(3, 3), (150, 100)], ids=["a few are confirmed by name", "of many a hundred are"]
)
def test_what_no_search_found_is_asked_for_by_itself(missing, confirmed):
    """That a version does not exist stops somebody's work: it is the server's word on that version."""
    keys = [(f"there-{n}", "1") for n in range(20)] + [(f"gone-{n}", "1") for n in range(missing)]
    with faulty(routes=holding([row(f"there-{n}") for n in range(20)])) as server:
        found = rest(server.url).describe(keys)
    assert {key for key, facts in found.items() if facts is None} == {key for key in keys if key[0].startswith("gone")}
    assert len(asked(server, GET)) == confirmed


def test_names_that_cannot_stand_in_a_filter_are_asked_for_by_themselves():
    """However many they are, they end nobody's filter."""
    names = [f"it's number {n}" for n in range(20)] + [f"m{n}" for n in range(20)]
    with faulty(routes=holding([row(name) for name in names])) as server:
        found = rest(server.url).describe([(name, "1") for name in names])
    assert all(facts is not None for facts in found.values())
    assert "it's" not in asked(server, SEARCH)[0]["filter"]
    assert sorted(one["name"] for one in asked(server, GET)) == sorted(names[:20])


def test_what_cannot_be_a_version_is_never_asked_for():
    """Among many as alone."""
    keys = [(f"m{n}", version) for n in range(20) for version in ("1", "latest", "")]
    with faulty(routes=holding([row(f"m{n}") for n in range(20)])) as server:
        found = rest(server.url).describe(keys)
    assert sum(facts is not None for facts in found.values()) == 20
    assert "latest" not in asked(server, SEARCH)[0]["filter"]
    assert asked(server, GET) == []


def test_a_server_without_in_for_names_is_read_page_by_page():
    """MLflow 2: within the bounds of the version numbers."""
    rows = [row(f"m{n:03d}", version) for n in range(100) for version in ("1", "2")]
    with faulty(routes=holding(rows, knows_in=False, page=80)) as server:
        found = rest(server.url).describe([(f"m{n:03d}", "1") for n in range(100)])
    assert all(facts is not None for facts in found.values())
    filters = [one["filter"] for one in asked(server, SEARCH)]
    assert filters[1:] == ["version_number >= 1 AND version_number <= 1"] * 3
    assert asked(server, GET) == []


def test_a_large_registry_without_in_is_not_read_whole():
    """Twenty rows for each version asked for, and the rest is asked for one by one."""
    rows = [row(f"a{n:05d}") for n in range(5000)] + [row(f"z{n}") for n in range(20)]
    with faulty(routes=holding(rows, knows_in=False, page=100)) as server:
        found = rest(server.url).describe([(f"z{n}", "1") for n in range(20)])
    assert all(facts is not None for facts in found.values())
    assert len(asked(server, SEARCH)) <= 1 + 5
    assert len(asked(server, GET)) == 20


def test_a_line_that_is_too_long_for_a_server_is_no_failure():
    """Gunicorn answers 400 without MLflow's code, others 414."""
    routes = holding([row(f"m{n}") for n in range(20)])
    search = routes[SEARCH]

    def short(handler):
        (error(414, "") if len(handler.path) > 200 else search)(handler)

    with faulty(routes=routes | {SEARCH: short}) as server:
        found = rest(server.url).describe([(f"m{n}", "1") for n in range(20)])
    assert all(facts is not None for facts in found.values())


def test_a_search_that_is_denied_is_not_taken_for_an_empty_one():
    """403 is an error, for all that were asked for."""
    routes = holding([]) | {SEARCH: error(403, "PERMISSION_DENIED", "no")}
    with faulty(routes=routes) as server, pytest.raises(HttpError, match="denies access"):
        rest(server.url).describe([(f"m{n}", "1") for n in range(20)])


LOGGED = {"key": "rmse", "value": 2.5, "step": 0, "timestamp": 1, "run_id": "r1"}
OF_RUN = answer({"run": {"info": {}, "data": {"metrics": [{"key": "rmse", "value": 9.5}]}}})


@pytest.mark.parametrize(
    ("source", "routes", "values", "whose"),
    [
        pytest.param(
            "models:/m-1",
            {"logged-models/m-1": answer({"model": {"data": {"metrics": [LOGGED]}}})},
            {"rmse": 2.5},
            "model",
            id="of the logged model",
        ),
        pytest.param(
            "models:/m-1",
            {"logged-models/m-1": answer({"model": {"info": {}}}), "runs/get": OF_RUN},
            {"rmse": 9.5},
            "run",
            id="of the run, where the model has none",
        ),
        pytest.param(
            "models:/m-1", {"logged-models/m-1": MISSING, "runs/get": OF_RUN}, {"rmse": 9.5}, "run", id="a model that is gone"
        ),
        pytest.param("runs:/r1/model", {"runs/get": OF_RUN}, {"rmse": 9.5}, "run", id="of the run alone: MLflow 2"),
        pytest.param("runs:/r1/model", {"runs/get": answer({"run": {"info": {}}})}, {}, "", id="a run without any"),
        pytest.param("runs:/r1/model", {"runs/get": MISSING}, {}, "", id="a run that is gone"),
        pytest.param(
            "models:/other%20one/3",
            {
                "model-versions/get": answer({"model_version": row("other%20one", "3") | {"source": "models:/m-1"}}),
                "logged-models/m-1": answer({"model": {"data": {"metrics": [LOGGED]}}}),
            },
            {"rmse": 2.5},
            "model",
            id="of a copy's original",
        ),
        pytest.param(
            "models:/other/3",
            {"model-versions/get": MISSING, "runs/get": OF_RUN},
            {"rmse": 9.5},
            "run",
            id="a copy whose original is gone",
        ),
        pytest.param(
            "models:/risk/1",
            {"model-versions/get": answer({"model_version": row("risk") | {"source": "models:/risk/1"}}), "runs/get": OF_RUN},
            {"rmse": 9.5},
            "run",
            id="a copy of itself",
        ),
    ],
)
def test_metrics_are_the_models_own_or_its_runs(source, routes, values, whose):
    """And whose they are is said: a run's belong to all of its models."""
    from mlrelease.registries.mlflow_answers import facts_of

    facts = facts_of({"name": "risk", "version": "1", "source": source, "run_id": "r1"})
    with faulty(MISSING, routes={f"{API}/{path}": play for path, play in routes.items()}) as server:
        assert rest(server.url).metrics(facts) == (values, whose)


@pytest.mark.parametrize(
    "body",
    [
        {"model": []},
        {"model": {"data": []}},
        {"model": {"data": {"metrics": [7]}}},
        {"model": {"data": {"metrics": [{"value": 1}]}}},
        {"model": {"data": {"metrics": [{"key": "a", "value": "high"}]}}},
    ],
    ids=repr,
)
def test_metrics_of_another_shape_are_an_error(body):
    """Not a KeyError, and not no metrics."""
    from mlrelease.registries.mlflow_answers import facts_of

    facts = facts_of({"name": "risk", "version": "1", "source": "models:/m-1"})
    with faulty(answer(body)) as server, pytest.raises(Error, match="something else than the API describes"):
        rest(server.url).metrics(facts)
