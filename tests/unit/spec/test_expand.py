"""References to variables in values."""

from __future__ import annotations

import pytest
from mlrelease.errors import Error
from mlrelease.spec.expand import expand, missing, names


@pytest.mark.parametrize(
    ("text", "variables", "value"),
    [
        ("plain $HOME $ {x}", {}, "plain $HOME $ {x}"),
        ("${A}", {"A": "x"}, "x"),
        ("a${A}b${B}", {"A": "1", "B": "2"}, "a1b2"),
        ("${A}", {"A": ""}, ""),
        ("${A}", {"A": "${B}"}, "${B}"),
        ("${A:-d}", {"A": "x"}, "x"),
        ("${A:-d}", {"A": ""}, "d"),
        ("${A:-http://127.0.0.1:5000}", {}, "http://127.0.0.1:5000"),
        ("${A:-}", {}, ""),
    ],
    ids=["no reference", "set", "two", "set to nothing", "values are not expanded", "a default is not needed",
         "an empty variable takes the default", "the default", "an empty default"],
)  # fmt: skip
def test_references_are_replaced(text, variables, value):
    """Each reference becomes its variable's value, or its default."""
    assert expand(text, variables) == value


@pytest.mark.parametrize("text", ["${A", "${}", "${1}", "${A:-${B}}", "${A:+x}", "${A}${"])
def test_malformed_references_are_refused(text):
    """What looks like a reference and is none is never passed on as text."""
    with pytest.raises(Error, match="not closed or names no variable"):
        expand(text, {"A": "x", "B": "y"})


def test_an_unset_variable_is_named_and_nothing_shown():
    """The error names the variable and holds no value of another one, nor the text around it."""
    with pytest.raises(Error) as caught:
        expand("pre-${SET}-${UNSET}", {"SET": "hunter2"})
    shown = f"{caught.value.message} {caught.value.hint}"
    assert "UNSET" in shown
    assert "hunter2" not in shown
    assert "pre-" not in shown


@pytest.mark.parametrize(
    ("text", "unset"),
    [("${A}", ("A",)), ("${A}${B}${A}", ("A", "B")), ("${SET}", ()), ("${A:-x}", ()), ("${EMPTY}", ()), ("${", ()), ("A", ())],
    ids=["one", "two, each once", "set", "with a default", "empty", "no reference", "no dollar"],
)
def test_what_is_missing_is_what_expanding_would_miss(text, unset):
    """Without expanding: the names of the variables that are neither set nor have a default."""
    assert missing(text, {"SET": "x", "EMPTY": ""}) == unset


def test_names_come_once_in_order():
    """`names` lists what a text refers to."""
    assert names("${B}${A:-x}${B}") == ("B", "A")
