"""The scanner against files that would run something: each is refused by the default policy, and none ever runs."""

from __future__ import annotations

import subprocess
import time

import pytest
from mlrelease.gates.scan import refusal
from mlrelease.registries.scan import scan
from support.hostile import PACKED, PICKLES, RUNNING, calling, good_model, load_for_real, model_with


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    """A real model that the policy lets through."""
    return good_model(tmp_path_factory.mktemp("good") / "model")


@pytest.fixture
def trace(tmp_path):
    """Where a file would leave its trace."""
    return tmp_path / "trace"


@pytest.fixture(autouse=True)
def _nothing_ran(request, trace):
    """After every test there is no trace, unless the test is the one that shows that there could be."""
    yield
    assert trace.exists() is ("for_real" in request.node.name)


@pytest.mark.parametrize("name", RUNNING)
def test_it_leaves_its_trace_when_loaded_for_real(name, trace, tmp_path):
    """The files are what they are said to be: unpickled in a process of its own, each leaves the trace."""
    load_for_real(PICKLES[name][0](trace), tmp_path)
    end = time.monotonic() + 20
    while not trace.exists():  # subprocess.Popen is not waited for by its pickle
        assert time.monotonic() < end
        time.sleep(0.01)


@pytest.mark.parametrize("name", PICKLES)
def test_a_hostile_pickle_is_refused(name, trace, tmp_path, good):
    """Whatever it tries: by name, or as something that cannot be followed."""
    make, said = PICKLES[name]
    path = model_with(tmp_path / "model", "model.pkl", make(trace), good=good)
    report = scan(path)
    told = " ".join(
        (refusal(report, ()), *(n for file in report.files for n in file.globals), *(f.problem for f in report.files))
    )
    assert refusal(report, ())
    assert said in told


@pytest.mark.parametrize("name", PACKED)
def test_a_hostile_file_of_another_format_is_refused(name, trace, tmp_path, good):
    """By its content, however it is called and however often it is packed."""
    place, make, said = PACKED[name]
    report = scan(model_with(tmp_path / "model", place, make(trace), good=good))
    told = " ".join(
        (refusal(report, ()), *(n for file in report.files for n in file.globals), *(f.problem for f in report.files))
    )
    assert refusal(report, ())
    assert said in told


@pytest.mark.parametrize("place", ["model.pkl", "notes.txt", "README.md", "deep/er/weights", "model.skops.bak", "x.json"])
def test_the_name_of_a_file_says_nothing(place, trace, tmp_path, good):
    """A pickle is one wherever it lies and however it is called."""
    path = model_with(tmp_path / "model", place, calling("posix", "system", f"touch {trace}"), good=good)
    assert refusal(scan(path), ()) == f"loading {place} would import posix.system, which is not allowed"


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("loader_module: mlflow.sklearn", "loader_module: evil", "import evil to load with"),
        ("code: null", "code: ../../tmp", "names a path outside of the version: '../../tmp'"),
        ("pickled_model: model.skops", "pickled_model: /tmp/model.pkl", "outside of the version: '/tmp/model.pkl'"),
        ("model_path: model.skops", "model_path: a/../../model.pkl", "names a path outside of the version"),
        ("serialization_format: skops", "model_class: os.system", "import os.system"),
        ("flavors:", "flavours:", "MLmodel (MLmodel) cannot be vouched for: it is not one that MLflow writes"),
    ],
    ids=["a loader of its own", "code outside", "a model elsewhere", "a model further up", "a class to call", "no MLmodel"],
)  # fmt: skip
def test_what_mlflow_is_told_to_open_and_import_counts_too(old, new, said, tmp_path, good):
    """`MLmodel` is content of the version as well."""
    path = model_with(tmp_path / "model", "empty.txt", b"", good=good)
    file = path / "MLmodel"
    content = file.read_text()
    assert old in content
    file.write_text(content.replace(old, new))
    assert said in refusal(scan(path), ())


def test_a_requirements_file_is_text_unless_the_flavor_opens_it(trace, tmp_path, good):
    """`cloudpickle` over `numpy` reads as the opcode GLOBAL; it is no model unless MLmodel says so."""
    path = model_with(tmp_path / "model", "requirements.txt", b"cloudpickle\nnumpy\n", good=good)
    assert refusal(scan(path), ()) == ""
    (path / "requirements.txt").write_bytes(f"cposix\nsystem\n(S'touch {trace}'\ntR.".encode())
    assert refusal(scan(path), ()) == ""
    file = path / "MLmodel"
    file.write_text(file.read_text().replace("pickled_model: model.skops", "pickled_model: ./requirements.txt"))
    assert refusal(scan(path), ()) == "loading requirements.txt would import posix.system, which is not allowed"


def test_code_that_mlflow_puts_on_the_path_is_told_file_by_file(tmp_path, good):
    """Everything below `code` is, whatever its suffix; the exact file or its folder allows it."""
    path = model_with(tmp_path / "model", "code/features/build.txt", b"x = 1\n", good=good)
    file = path / "MLmodel"
    file.write_text(file.read_text().replace("code: null", "code: code"))
    report = scan(path)
    assert (
        refusal(report, ())
        == "loading code/features/build.txt would run code/features/build.txt (python code), which is not allowed"
    )
    assert refusal(report, ("file:code/features/build.txt",)) == ""
    assert refusal(report, ("file:code/*",)) == ""
    assert refusal(report, ("file:*", "*", "file:code")) != ""


def test_links_and_pipes_are_not_followed(tmp_path, good):
    """A link is a problem of its own; a pipe would hang who opens it."""
    path = model_with(tmp_path / "model", "a.txt", b"", good=good)
    (path / "link").symlink_to("/etc/passwd")
    subprocess.run(["mkfifo", str(path / "pipe")], check=True)
    found = {file.path: file.problem for file in scan(path).files}
    assert found["link"] == found["pipe"] == "it is no regular file"


def test_an_empty_folder_is_no_model(tmp_path):
    """Nothing to object to is not the same as nothing wrong."""
    assert "there is no such file" in refusal(scan(tmp_path), ())
