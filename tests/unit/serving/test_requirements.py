"""What a model was logged with, beside what is here."""

from __future__ import annotations

import platform
from importlib.metadata import version

import pytest
from mlrelease.serving.requirements import differences

HERE = ".".join(platform.python_version_tuple()[:2])
NUMPY = version("numpy")


@pytest.fixture
def folder(tmp_path):
    """A model of this Python that asks for nothing."""
    (tmp_path / "MLmodel").write_text(f"flavors:\n  python_function:\n    python_version: {HERE}.99\n")
    return tmp_path


@pytest.mark.parametrize(
    "line",
    [
        "",
        "numpy",
        f"numpy=={NUMPY}",
        f"NumPy >= {NUMPY}  # as it was then",
        "# nothing-of-this-name==1",
        "nothing-of-this-name==1; python_version < '3'",
        "nothing-of-this-name @ https://example.com/nothing-1.whl",
        "--index-url https://example.com/simple",
        "./wheels/nothing-1-py3-none-any.whl",
        "git+https://example.com/nothing.git",
        "-r other.txt",
        "\x00",
    ],
)
def test_what_fits_or_cannot_be_told_is_no_difference(folder, line):
    """As it is installed, not meant for here, or no name of a package."""
    (folder / "requirements.txt").write_text(f"{line}\n")
    assert differences(folder) == []


def test_each_difference_names_both_sides(folder):
    """In the order of the file, one sentence each."""
    (folder / "requirements.txt").write_text("numpy<1\nnothing-of-this-name==1.5\npandas\nnothing-else\n")
    assert differences(folder) == [
        f"numpy {NUMPY} is here, <1 is asked for",
        "nothing-of-this-name is not here, ==1.5 is asked for",
        "nothing-else is not here, any version is asked for",
    ]


def test_a_pre_release_counts_as_what_it_is(folder, monkeypatch):
    """2.0rc1 is at least 1."""
    monkeypatch.setattr("mlrelease.serving.requirements.version", lambda name: "2.0rc1")
    (folder / "requirements.txt").write_text("numpy>=1\nnumpy>=2\n")
    assert differences(folder) == ["numpy 2.0rc1 is here, >=2 is asked for"]


@pytest.mark.parametrize("written", ["3.2.1", "'3.2.1'", '"3.2"'])
def test_another_python_is_a_difference(tmp_path, written):
    """Its minor version counts, its patch does not."""
    (tmp_path / "MLmodel").write_text(f"flavors:\n  python_function:\n    python_version: {written}\n")
    assert differences(tmp_path) == [f"Python {HERE} is here, 3.2 is asked for"]


def test_files_that_are_missing_or_no_text_say_nothing(tmp_path):
    """The model loads or it does not: this is not the place to say so."""
    assert differences(tmp_path) == []
    (tmp_path / "requirements.txt").write_bytes(b"\xff\xfe\x00numpy<1")
    (tmp_path / "MLmodel").mkdir()
    assert differences(tmp_path) == []
