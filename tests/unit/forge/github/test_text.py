"""Text that GitHub keeps: markers that are found again, and cuts that are seen."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mlrelease.errors import Error
from mlrelease.forge.github.text import LONGEST_BODY, cut, is_marked, marked, marker_line, same, shortened

CUT = "\n\n**… cut here: the text is longer than GitHub takes.**\n"
few = settings(max_examples=50, deadline=None)
LINES = st.lists(st.text("ab é", max_size=30), max_size=20).map("\n".join)


@few
@given(st.one_of(LINES, st.text(max_size=300)), st.integers(60, 200))
def test_a_cut_text_fits_and_says_so(text, longest):
    """What fits is as it was, what does not is a beginning of it with the mark, and cutting twice is cutting once."""
    found = cut(text, longest)
    assert len(found) <= longest
    assert cut(found, longest) == found
    if len(text) <= longest:
        assert found == text
    else:
        assert found.endswith(CUT)
        assert text.startswith(found.removesuffix(CUT))


ROOM = 200
HALF = (len(CUT) + ROOM) // 2


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("line\n" * 80, "line\n" * 39 + "line"),
        ("x" * 300, "x" * ROOM),
        ("a\n" + "x" * 300, "a\n" + "x" * (ROOM - 2)),
        ("y" * (HALF + 1) + "\n" + "x" * 300, "y" * (HALF + 1)),
        ("y" * HALF + "\n" + "x" * 300, "y" * HALF + "\n" + "x" * (ROOM - HALF - 1)),
    ],
    ids=["whole lines", "one endless line", "behind a short line", "behind more than half", "behind half"],
)
def test_a_cut_is_at_the_end_of_a_line_unless_that_leaves_too_little(text, kept):
    """Half of a table's row reads wrongly; half of the room is worth more than that."""
    assert cut(text, len(CUT) + ROOM) == kept + CUT


@few
@given(st.text(max_size=30), st.integers(1, 30))
def test_a_shortened_text_ends_in_a_mark(text, longest):
    """In exactly so many characters, if it was longer."""
    found = shortened(text, longest)
    assert found == text if len(text) <= longest else found == text[: longest - 1] + "…"
    assert shortened(found, longest) == found


@few
@given(LINES)
def test_a_marked_text_is_found_by_its_marker_alone(body):
    """Also as GitHub gives it back, with a browser's line ends and without the last one."""
    text = marked("mlrelease:plan", body)
    for kept in (text, text.replace("\n", "\r\n"), f"\n  {text}", text.rstrip()):
        assert is_marked("mlrelease:plan", kept)
        assert not is_marked("mlrelease:plan:closed", kept)
        assert not is_marked("mlrelease", kept)
    assert same(text, text.replace("\n", "\r\n") + "\n ")


@pytest.mark.parametrize(
    "body",
    ["", "mlrelease:plan", "text\n<!-- mlrelease:plan -->", "> <!-- mlrelease:plan -->", "<!-- mlrelease:plan --> and more",
     "<!--mlrelease:plan-->"],
    ids=["empty", "the word alone", "further down", "quoted", "with words behind", "in another form"],
)  # fmt: skip
def test_a_marker_elsewhere_is_somebody_s_quotation(body):
    """Only the whole first line counts."""
    assert not is_marked("mlrelease:plan", body)


@pytest.mark.parametrize("marker", ["", "  ", "a--b", "a\nb", "a>b", "-->", "a" * 100 + "--"])
def test_a_marker_that_would_end_its_comment_is_refused(marker):
    """Everybody would see it, and nothing would be found."""
    with pytest.raises(Error) as raised:
        marker_line(marker)
    assert raised.value.message == f"not a marker: {marker[:80]!r}"
    assert raised.value.hint == "letters, digits, `:`, `/` and single hyphens"


def test_a_marked_text_is_cut_behind_its_marker():
    """The first line is what it is found by."""
    text = marked("m", "x\n" * LONGEST_BODY)
    assert len(text) <= LONGEST_BODY
    assert is_marked("m", text)
    assert text.endswith(CUT)


@pytest.mark.parametrize(
    ("one", "other", "is_same"),
    [("a\nb", "a\r\nb", True), ("a", "\n a \r\n", True), ("a b", "a  b", False), ("a\n\nb", "a\nb", False), ("A", "a", False)],
)
def test_the_same_to_github_is_the_same_but_for_ends(one, other, is_same):
    """Either way round."""
    assert same(one, other) is is_same
    assert same(other, one) is is_same
