"""References to variables in values."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mlrelease.errors import Error
from mlrelease.spec.expand import defaults, expand, has_default, is_well_formed, missing, names, without_references

PIECES = st.lists(st.sampled_from(["a", "$", "{", "}", "${A}", "${B:-x}", "${B:-}", ":-", "é", "\n"]), max_size=8).map("".join)


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


@pytest.mark.parametrize(
    ("text", "variables", "message", "hint"),
    [
        (
            "${A} ${",
            {"A": "hunter2"},
            "a ${ in the file is not closed or names no variable",
            "write ${NAME} or ${NAME:-default}",
        ),
        ("${A}${B_1}", {"A": "hunter2"}, "the variable B_1 is not set", "set it where mlrelease runs: export B_1=…"),
    ],
    ids=["torn", "unset"],
)
def test_an_error_is_a_name_and_a_way_out(text, variables, message, hint):
    """And no value."""
    with pytest.raises(Error) as raised:
        expand(text, variables)
    assert (raised.value.message, raised.value.hint, raised.value.where) == (message, hint, None)
    with pytest.raises(Error) as named:
        expand(text, variables, where="environments/production/environment.yaml")
    needed = ", and environments/production/environment.yaml needs it" if "is not set" in message else ""
    assert named.value.message == message + needed
    assert named.value.where == "environments/production/environment.yaml"


@pytest.mark.parametrize(
    ("text", "written", "by_default"),
    [
        ("plain", "plain", ()),
        ("${A}", "", ()),
        ("a${A}b", "ab", ()),
        ("${A:-x}", "", ("x",)),
        ("${A:-}${B:-y z}", "", ("", "y z")),
        ("${A:-a:-b}", "", ("a:-b",)),
        ("${A:-{}", "${A:-{}", ()),
        ("${A:-x}y}", "y}", ("x",)),
    ],
)
def test_a_text_is_what_is_written_and_its_defaults(text, written, by_default):
    """A default ends at the first brace, and holds none."""
    assert (without_references(text), defaults(text), has_default(text)) == (written, by_default, bool(by_default))


@settings(max_examples=80, deadline=None)
@given(PIECES, st.dictionaries(st.sampled_from(["A", "B"]), st.sampled_from(["", "v", "${A}"])))
def test_expanding_fails_exactly_where_it_is_said_to(text, variables):
    """`is_well_formed` and `missing` say beforehand whether it will; what is not referred to does not matter."""
    if is_well_formed(text) and not missing(text, variables):
        found = expand(text, variables)
        assert found == expand(text, {name: variables[name] for name in names(text) if name in variables} | {"OTHER": "x"})
        assert without_references(text) == text or names(text)
    else:
        with pytest.raises(Error):
            expand(text, variables)
    assert set(missing(text, variables)) <= set(names(text)) - set(variables)
