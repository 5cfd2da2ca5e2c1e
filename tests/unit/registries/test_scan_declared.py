"""What skops' schema and the `MLmodel` file make a loader import and open, whatever shape they have."""

from __future__ import annotations

import json

import pytest
from mlrelease.registries.scan import mlmodel, skops_files
from mlrelease.registries.scan.found import Scan
from support.hostile import node, npy, skops, zipped
from support.scanning import RUNS, scanned, told, version

OWN = "builtins.list"


@pytest.mark.parametrize(
    ("nodes", "names"),
    [
        pytest.param([], (), id="nothing but the root"),
        pytest.param([node("a.b", "C")], ("a.b.C",), id="an object"),
        pytest.param([node("a", "B"), node("a", "B", "TypeNode")], ("a.B",), id="each name once"),
        pytest.param([node("a", "B", "CachedNode")], (), id="one that stands elsewhere"),
        pytest.param([node("a", "B", content={"x": [node("c", "D")]})], ("a.B", "c.D"), id="in another's content"),
        pytest.param([{"plain": {"deep": [[node("a", "B")]]}}], ("a.B",), id="below what is no node"),
        pytest.param([node("a", "B", "MethodNode", content={"func": "f", "obj": 1})], ("a.B", "a.B.f"), id="a method"),
        pytest.param([node("a", "B", "MethodNode")], ("a.B", "a.B.None"), id="a method that is not named"),
        pytest.param([node("a", "B", "MethodNode", content=[1])], ("a.B", "a.B.None"), id="a method of another shape"),
        pytest.param(
            [node("statsmodels.base.data", "PandasData")],
            ("statsmodels.base.data.PandasData", "statsmodels.formula"),
            id="a state that may evaluate a formula",
        ),
        pytest.param([node("statsmodels", "X", "CachedNode")], (), id="statsmodels itself, which is no module of it"),
    ],
)
def test_every_type_of_a_schema_is_told(nodes, names):
    """Wherever it lies, with its method; what is only referred to lies elsewhere in the schema."""
    ((path, kind, found, problem),) = told(skops(*nodes))
    assert (path, kind, problem) == ("x", "skops", "")
    assert sorted(found) == sorted({OWN, *names})


NO_TYPE = "a node of the kind ListNode names no type"
PROTOCOL = "its schema is of an unknown protocol"
UNKNOWN = "it has a node of the unknown kind "
SHAPE = "its schema is no JSON that skops writes"


@pytest.mark.parametrize(
    ("schema", "problem"),
    [
        pytest.param(b"{", SHAPE, id="cut off"),
        pytest.param(b"\xff", SHAPE, id="no text"),
        pytest.param(b"[" * 100_000, SHAPE, id="too deep"),
        pytest.param(b"[]", PROTOCOL, id="a list"),
        pytest.param(b"{}", PROTOCOL, id="no protocol"),
        pytest.param(b'{"protocol": 3}', PROTOCOL, id="a newer protocol"),
        pytest.param(b'{"protocol": -1}', PROTOCOL, id="none that ever was"),
        pytest.param(b'{"protocol": "2"}', PROTOCOL, id="a text"),
        pytest.param(b'{"protocol": [2]}', PROTOCOL, id="a list of them"),
        pytest.param(
            b'{"protocol": 2, "__loader__": "ReduceNode"}', UNKNOWN + "'ReduceNode'", id="a kind nobody knows"
        ),
        pytest.param(b'{"protocol": 2, "__module__": "os"}', UNKNOWN + "'None'", id="a node without a kind"),
        pytest.param(b'{"protocol": 2, "__class__": "os"}', UNKNOWN + "'None'", id="a class alone"),
        pytest.param(
            b'{"protocol": 2, "__loader__": ["ListNode"]}', UNKNOWN + "\"['ListNode']\"", id="a kind in a list"
        ),
        pytest.param(
            b'{"protocol": 2, "__loader__": "ListNode", "__module__": "os"}', NO_TYPE, id="no class"
        ),
        pytest.param(
            b'{"protocol": 2, "__loader__": "ListNode", "__module__": 1, "__class__": "x"}',
            NO_TYPE,
            id="a module that is no text",
        ),
    ],
)  # fmt: skip
def test_a_schema_that_skops_does_not_write_is_a_problem(schema, problem):
    """It is one even where all the names that were found are allowed."""
    assert told(zipped({"schema.json": schema})) == [("x", "skops", (), problem)]


def test_what_was_named_before_the_problem_is_told():
    """A reader sees both."""
    ((_, _, names, problem),) = told(skops(node("a", "B", "EvilNode"), node("c", "D")))
    assert (set(names), problem) == ({OWN, "c.D"}, "it has a node of the unknown kind 'EvilNode'")


def test_arrays_beside_the_schema_are_looked_at():
    """Skops reads them as `.npy`; the schema itself is no file of its own."""
    schema = json.dumps({"protocol": 2}).encode()
    assert told(zipped({"schema.json": schema, "1.npy": npy(RUNS)}), "m.skops") == [
        ("m.skops", "skops", (), ""),
        ("m.skops!1.npy", "pickle", ("posix.system",), ""),
    ]


def test_a_schema_larger_than_any_is_not_read(monkeypatch):
    """Its size counts as it stands in the directory."""
    monkeypatch.setattr(skops_files, "LARGEST_SCHEMA", 10)
    assert told(zipped({"schema.json": b'{"protocol": 2}'})) == [("x", "skops", (), "its schema is larger than 0 MiB")]


# ---- MLmodel

OUTSIDE = "it names a path outside of the version: "
STRANGE = "it is not one that MLflow writes"


def names(tmp_path, text):
    """What is told of the `MLmodel` file alone."""
    files = scanned(version(tmp_path, {}, text.encode() if isinstance(text, str) else text))
    ((found, problem),) = [file[2:] for file in files if file[:2] == ("MLmodel", "MLmodel")]
    return found, problem


@pytest.mark.parametrize(
    ("text", "found", "problem"),
    [
        pytest.param("flavors: {}", (), "", id="no flavor"),
        pytest.param("flavors: {a: {loader_module: x.y}, b: {loader_module: x.y}}", ("loader:x.y",), "", id="one loader twice"),
        pytest.param("flavors: {a: {loader_module: b, model_class: c.D}}", ("loader:b", "c.D"), "", id="a class to call"),
        pytest.param("flavors: {a: {deep: [{loader_module: b}]}}", ("loader:b",), "", id="a loader in a list"),
        pytest.param("flavors: {a: {loader_module: [b, c]}}", ("loader:b", "loader:c"), "", id="a list of loaders"),
        pytest.param("flavors: {a: {env: {x: ../../b, loader_module: y}}}", (), "", id="its environment, which is not opened"),
        pytest.param("flavors: {a: {uri: /from/there, model_code_path: /home/m.py}}", (), "", id="where it came from"),
        pytest.param("flavors: {a: {data: /x}}", (), OUTSIDE + "'/x'", id="elsewhere"),
        pytest.param("flavors: {a: {data: b/../../x}}", (), OUTSIDE + "'b/../../x'", id="further up"),
        pytest.param("flavors: {a: {data: [/b, /a]}}", (), OUTSIDE + "'/a'", id="the first of them"),
        pytest.param("flavors: {a: {data: 7, x: null, y: true}}", (), "", id="what is no text"),
        pytest.param("flavors: [{loader_module: b}]", ("loader:b",), "", id="flavors in a list"),
        pytest.param("{}", (), STRANGE, id="no flavors"),
        pytest.param("[]", (), STRANGE, id="a list"),
        pytest.param("", (), STRANGE, id="empty"),
        pytest.param("a: b: c", (), STRANGE, id="no YAML"),
        pytest.param("flavors: !!python/object/apply:os.system [x]", (), STRANGE, id="a tag"),
        pytest.param("flavors: " + "[" * 5000, (), STRANGE, id="too deep"),
        pytest.param(b"\xff\xfe\x00", (), STRANGE, id="no text"),
        pytest.param("flavors: &a [*a]", (), "it holds more than 100,000 values", id="a flavor that holds itself"),
        pytest.param("flavors: {}" + "#" * (4 << 20), (), "it is larger than 4 MiB", id="too large"),
    ],
)  # fmt: skip
def test_what_mlflow_would_import_is_told(text, found, problem, tmp_path):
    """In full, whatever else the file holds; a file that cannot be read is a problem."""
    assert names(tmp_path, text) == (found, problem)


def test_a_link_is_no_mlmodel(tmp_path):
    """Its content could be another by the time that it is opened."""
    version(tmp_path, {"other": b"flavors: {}"})
    (tmp_path / "MLmodel").unlink()
    (tmp_path / "MLmodel").symlink_to("other")
    assert scanned(tmp_path) == [
        ("MLmodel", "MLmodel", (), "there is no such file"),
        ("MLmodel", "link", (), "it is no regular file"),
    ]


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("flavors: {a: {code: code}}", ("code",)),
        ("flavors: {a: {code: ./code/}}", ("code",)),
        ("flavors: {a: {code: ''}}", (".",)),
        ("flavors: {a: {model_code_path: /home/me/model.py}}", ("model.py",)),
        ("flavors: {a: {code: b, x: {code: a}}}", ("a", "b")),
        ("flavors: {a: {code: null}}", ()),
    ],
)
def test_what_lies_on_pythons_path_is_what_the_flavors_say(text, code, tmp_path):
    """Of the code that a model was logged from, only the file's own name counts."""
    found = mlmodel.declared(version(tmp_path, {}, text.encode()), Scan(0.0))
    assert found.code == code
