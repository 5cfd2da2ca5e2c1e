"""What is wrong between files: environments that collide, names that are nearly one, variables that are not set."""

from __future__ import annotations

import pytest
from mlrelease.model.spec import SourceFile
from mlrelease.spec.load import load
from support.example import ENV, EXAMPLE, MOD, SVC, URI, edited, second


def test_colliding_environments_are_both_named():
    """Equal listen and equal alias are findings at each of the two environments."""
    files = second(**{":8081": ":8080", "alias: staging": "alias: production"})
    found = [(f.rule, f.environment, f.service) for f in load(files).findings]
    assert sorted(found) == [(r, e, "") for r in ("alias-conflict", "listen-conflict") for e in ("production", "staging")]
    assert load(files).environments == {}


@pytest.mark.parametrize(
    ("here", "there", "is_conflict"),
    [
        ("127.0.0.1:8080", "localhost:8080", True),
        ("127.0.0.1:8080", "LocalHost:08080", True),
        ("127.0.0.1:8080", "0.0.0.0:8080", True),
        ("127.0.0.1:8080", "[::]:8080", True),
        ("[::1]:8080", "[0:0:0:0:0:0:0:1]:8080", True),
        ("[::ffff:127.0.0.1]:8080", "127.0.0.1:8080", True),
        ("10.0.0.1:8080", "0.0.0.0:8080", True),
        ("host.example:8080", "HOST.example:8080", True),
        ("[::1]:8080", "0.0.0.0:8080", False),
        ("127.0.0.1:8080", "127.0.0.2:8080", False),
        ("127.0.0.1:8080", "127.0.0.1:8081", False),
        ("127.0.0.1:8080", "[::1]:8080", False),
    ],
    ids=str,
)
def test_one_listener_has_many_spellings(here, there, is_conflict):
    """Two environments may not take one port of one interface, whichever comes first and however it is written."""
    for one, other in ((here, there), (there, here)):
        files = second(**{"127.0.0.1:8081": f'"{other}"'})
        text = EXAMPLE[ENV].decode().replace("127.0.0.1:8080", f'"{one}"').replace(URI, "https://mlflow.example.com")
        files[ENV] = SourceFile(text.encode())
        other_env = ENV.replace("production", "staging")
        files[other_env] = SourceFile(files[other_env].data.replace(URI.encode(), b"https://mlflow.example.com"))
        found = {(f.rule, f.environment) for f in load(files).findings}
        assert found == ({("listen-conflict", e) for e in ("production", "staging")} if is_conflict else set())


@pytest.mark.parametrize(
    ("here", "there", "variables", "is_conflict"),
    [
        ("http://h:5000", "http://h:5000/", None, True),
        ("http://h", "http://H.:80", None, True),
        ("https://h/mlflow", "https://h:443/mlflow/", None, True),
        ("http://localhost:5000", "http://127.0.0.1:5000", None, True),
        ("${A}", "${A}", None, True),
        ("${A:-http://h:5000}", "http://h:5000", None, True),
        ("sqlite:///m.db", "sqlite:///./m.db", None, True),
        ("http://h:5000", "https://h:5000", None, False),
        ("http://h:5000", "http://h:5001", None, False),
        ("https://h/a", "https://h/b", None, False),
        ("${A}", "${B}", None, False),
        ("http://h:bad", "http://h:worse", None, False),
        ("${A}", "${B}", {"A": "http://h", "B": "http://h:80/"}, True),
        ("${A}", "${B}", {"A": "http://h", "B": "http://i"}, False),
        ("${A:-http://h}", "http://h", {"A": "http://i"}, False),
    ],
    ids=str,
)
def test_one_server_has_many_spellings(here, there, variables, is_conflict):
    """Equal aliases collide in one MLflow server, however its address is written; online, as the variables make it."""
    files = second(**{URI: there, "alias: staging": "alias: production"})
    files[ENV] = SourceFile(EXAMPLE[ENV].replace(URI.encode(), here.encode()))
    found = {(f.rule, f.environment) for f in load(files, variables).findings}
    assert found == ({("alias-conflict", e) for e in ("production", "staging")} if is_conflict else set())


@pytest.mark.parametrize(
    ("uri", "variables", "unset"),
    [
        ("${A}", {}, ["A"]),
        ("https://${U}:${P}@h/${U}", {}, ["U", "P"]),
        ("https://${U}:${P}@h/", {"U": "x"}, ["P"]),
        ("${A}", {"A": "http://h"}, []),
        ("${A:-http://h}", {}, []),
        ("http://h", {}, []),
    ],
    ids=["one", "two, each once", "one of two", "set", "has a default", "no reference"],
)
def test_an_unset_variable_is_a_finding_online(uri, variables, unset):
    """Where MLflow is asked, the address must be complete: the finding names file, line and variable. Offline it may wait."""
    files = edited((ENV, URI, uri))
    assert load(files).findings == ()
    found = [(f.rule, f.path, f.line, f.column, f.found, f.fix) for f in load(files, variables).findings]
    assert sorted(found) == [
        ("variable-unset", ENV, 5, 15, f"${{{name}}}", f"export {name}=…    # where mlrelease runs") for name in sorted(unset)
    ]
    assert set(load(files, variables).environments) == (set() if unset else {"production"})


def test_an_absent_environment_needs_no_variable():
    """It is on its way out."""
    assert load(edited((ENV, URI, "${A}\nstate: absent")), {}).findings == ()


@pytest.mark.parametrize(
    ("one", "other", "rules"),
    [
        (MOD, MOD.replace("wine.yaml", "Wine.yaml"), {"same-name", "name-mismatch"}),
        (SVC, SVC.replace("wine.yaml", "WINE.yaml"), {"same-name", "name-mismatch", "bad-name", "service-without-models"}),
        (MOD, MOD.replace("wine.yaml", "ｗine.yaml"), {"same-name", "name-mismatch", "bad-name"}),
    ],
    ids=["two models", "two services", "two models, one in wide letters"],
)
def test_names_that_differ_in_case_only(one, other, rules):
    """Both get the finding: one checkout in two has one file for them."""
    found = load(edited(**{other: EXAMPLE[one]})).findings
    assert {f.path for f in found if f.rule == "same-name"} == {one, other}
    assert {f.rule for f in found} <= rules


def test_environments_that_differ_in_case_only():
    """Two folders of one name, to some file systems: both get the finding, and nothing of either is planned."""
    spec = load(second("Production"))
    found = [(f.rule, f.path) for f in spec.findings]
    assert [path for rule, path in found if rule == "same-name"] == [ENV.replace("production", "Production"), ENV]
    assert dict(spec.environments) == {}


def test_a_letter_that_looks_like_another_is_seen():
    """The name is shown in ASCII: on a screen, the two are the same."""
    (finding,) = load(edited((MOD, "service: wine", "service: w\u0456ne"))).findings
    assert (finding.rule, finding.found) == ("bad-name", "w\\u0456ne")


def test_an_absent_environment_collides_with_none():
    """Nor does it need services: it is on its way out."""
    files = second(**{":8081": ":8080", "alias: staging": "alias: production\nstate: absent"})
    assert load(files).findings == ()
    files = {p: f for p, f in files.items() if not p.startswith(("environments/staging/s", "environments/staging/m"))}
    assert load(files).findings == ()
