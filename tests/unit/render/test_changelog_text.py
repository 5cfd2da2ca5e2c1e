"""A changelog that people write by hand: nothing that stands in it is lost, whatever form they gave it."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mlrelease.history.releases import MovedBack
from mlrelease.model.bundle import Bundle, Digest, ImagePin, ModelPin
from mlrelease.model.release import Entry, Level, Section, Version
from mlrelease.model.when import from_iso
from mlrelease.render import changelog
from mlrelease.render.report import cell, inert

V = Version(1, 2, 0)
DAY = "2027-01-15"
SECTION = "### Added\n\n- A thing.\n"
OLD = "## [1.1.0] - 2026-12-24\n\n### Fixed\n\n- Old.\n"
COMPARE = "[Unreleased]: https://x/compare/v1.1.0...HEAD\n"


def cut(text, version=V):
    """One release after the other, as the verb does it: what is unreleased becomes the version's section."""
    section = changelog.body(changelog.unreleased(text), [])
    return changelog.released(text, version, DAY, section)


@pytest.mark.parametrize(
    ("unreleased", "kept"),
    [
        (
            "- See [docs].\n\n[docs]: https://x\n\n- And more.",
            {Section.CHANGED: "- See [docs].\n\n[docs]: https://x\n\n- And more."},
        ),
        (
            "### Added\n\n- See [docs].\n\n[docs]: https://x\n\n### Fixed\n\n- Late.",
            {Section.ADDED: "- See [docs].\n\n[docs]: https://x", Section.FIXED: "- Late."},
        ),
        ("### Added\n\n- One.\n\n### Added\n\n- Two.", {Section.ADDED: "- One.\n- Two."}),
        ("### ADDED\n\n- Loud.", {Section.ADDED: "- Loud."}),
        ("### Security \n\n- Sealed.", {Section.SECURITY: "- Sealed."}),
        ("### Added\n\n\n", {}),
        ("###Added\n\n- No blank.", {Section.CHANGED: "###Added\n\n- No blank."}),
        ("#### Deeper\n\n- Below.", {Section.CHANGED: "#### Deeper\n\n- Below."}),
        ("- Indented:\n\n    ## no heading\n", {Section.CHANGED: "- Indented:\n\n    ## no heading"}),
        ("[docs]: https://x", {}),
    ],
    ids=[
        "a link in the midst of lines",
        "a link before the next section",
        "a section twice is one",
        "a heading in capitals",
        "a heading with a blank behind it",
        "a heading with nothing below",
        "what is no heading to Markdown",
        "a heading of another depth",
        "a heading's sign inside of a line",
        "nothing but a link",
    ],
)
@pytest.mark.parametrize("behind", ["", f"\n{OLD}", f"\n{OLD}\n{COMPARE}"], ids=["alone", "before a version", "before links"])
def test_lines_by_hand_are_read_by_section(unreleased, kept, behind):
    """As they are written, whatever follows them in the file."""
    assert changelog.unreleased(f"# Changelog\n\n## [Unreleased]\n\n{unreleased}\n{behind}") == kept


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (
            f"## [Unreleased]\n\n- See [docs].\n\n[docs]: https://x\n\n- More.\n\n{OLD}",
            f"## [Unreleased]\n\n## [1.2.0] - {DAY}\n\n### Changed\n\n- See [docs].\n\n[docs]: https://x\n\n- More.\n\n{OLD}",
        ),
        (
            f"## [Unreleased]\n\n- See [docs].\n\n[docs]: https://x\n\n{OLD}",
            f"## [Unreleased]\n\n## [1.2.0] - {DAY}\n\n### Changed\n\n- See [docs].\n\n[docs]: https://x\n\n{OLD}",
        ),
        (
            f"## [Unreleased]\n\n- New.\n\n{OLD}\n{COMPARE}[1.1.0]: https://x/tag/v1.1.0\n",
            (
                f"## [Unreleased]\n\n## [1.2.0] - {DAY}\n\n### Changed\n\n- New.\n\n{OLD}\n"
                "[Unreleased]: https://x/compare/v1.2.0...HEAD\n[1.2.0]: https://x/compare/v1.1.0...v1.2.0\n"
                "[1.1.0]: https://x/tag/v1.1.0\n"
            ),
        ),
        (
            "## [Unreleased]\n\n- See [docs].\n\n[docs]: https://x\n\n- More.\n",
            f"## [Unreleased]\n\n## [1.2.0] - {DAY}\n\n### Changed\n\n- See [docs].\n\n[docs]: https://x\n\n- More.\n",
        ),
    ],
    ids=["a link in their midst", "a link behind them", "links to comparisons stay at the end", "a link, and no version yet"],
)
def test_a_release_keeps_every_line_and_every_link(before, after):
    """They move into the version's section; nothing stays under Unreleased, nothing is gone."""
    assert cut(f"# Changelog\n\n{before}") == f"# Changelog\n\n{after}"


lines = st.lists(
    st.sampled_from(
        ["- One.", "- See [docs].", "[docs]: https://x", "### Added", "### Fixed", "Words.", "", "[a]: b", "### Odd", "  - sub"]
    ),
    max_size=12,
)


@given(lines, st.booleans(), st.booleans())
@settings(max_examples=60, deadline=None)
def test_whatever_is_written_no_line_is_lost(written, older, linked):
    """All that stands under Unreleased stands in the file after a release, but for headings of sections."""
    text = (
        "\n".join(["# Changelog", "", "## [Unreleased]", "", *written, ""])
        + (OLD if older else "")
        + (COMPARE if linked else "")
    )
    after = cut(text).splitlines()
    for line in written:
        if line.strip() and not line.startswith("###"):
            assert after.count(line) >= text.splitlines().count(line), (line, text)
    assert changelog.unreleased("\n".join(after)) == {}


@given(lines, st.integers(1, 4))
@settings(max_examples=40, deadline=None)
def test_older_versions_stay_as_they_are(written, releases):
    """Release after release, what a version's section once said it says for ever."""
    text = "\n".join(["# Changelog", "", "## [Unreleased]", "", *written, ""])
    said = {}
    for minor in range(releases):
        version = Version(1, minor, 0)
        text = changelog.released(text, version, DAY, f"### Added\n\n- Number {minor}.\n")
        said[version] = changelog.section_of(text, version)
        assert {v: changelog.section_of(text, v) for v in said} == said


@pytest.mark.parametrize(
    ("heading", "found"),
    [
        ("## [1.2.0] - 2027-01-15", True),
        ("## 1.2.0 - 2027-01-15", True),
        ("## v1.2.0", True),
        ("## [v1.2.0]", True),
        ("##   [1.2.0]", True),
        ("## [1.2.0]\r", True),
        ("## [1.2.00]", False),
        ("## [11.2.0]", False),
        ("### [1.2.0]", False),
        ("##[1.2.0]", False),
        ("## Version 1.2.0", False),
    ],
    ids=ascii,
)
def test_which_headings_name_a_version(heading, found):
    """With or without brackets and the letter v; nothing that only looks alike."""
    assert changelog.section_of(f"# Changelog\n\n{heading}\n\n- A line.\n", V) == ("- A line." if found else "")


def test_of_a_version_that_stands_there_twice_the_first_is_told():
    """The newest is on top."""
    assert changelog.section_of("## [1.2.0]\n\n- First.\n\n## [1.2.0]\n\n- Second.\n", V) == "- First."


def test_a_new_file_says_what_form_it_has():
    """The whole of it."""
    assert (
        changelog.released("", V, DAY, SECTION)
        == f"""\
# Changelog

All notable changes. The form is [Keep a Changelog](https://keepachangelog.com/en/1.1.0/), the versions are
[semantic](https://semver.org/).

## [Unreleased]

## [1.2.0] - {DAY}

### Added

- A thing.
"""
    )


@pytest.mark.parametrize(
    "link",
    ["[unreleased]: https://x/compare/v1.1.0...HEAD", "[Unreleased]: https://x/compare/v1.1.0...HEAD  "],
    ids=["in small letters", "with blanks behind it"],
)
def test_a_link_to_a_comparison_is_found_in_any_form(link):
    """And written in ours."""
    text = changelog.released(f"## [Unreleased]\n\n{OLD}\n{link}\n", V, DAY, SECTION)
    assert text.endswith("[Unreleased]: https://x/compare/v1.2.0...HEAD\n[1.2.0]: https://x/compare/v1.1.0...v1.2.0\n")


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ("### Added\n\n- a\n\n### Fixed\n\n- b\n", "Added:\n\n- a\n\nFixed:\n\n- b"),
        ("- fixes #7\n  # not a comment to Markdown", "- fixes #7\n  # not a comment to Markdown"),
        ("#hash", "#hash"),
        ("", ""),
    ],
    ids=["every heading", "a sign within a line", "a sign without a blank", "nothing"],
)
def test_a_section_as_the_message_of_a_tag(section, message):
    """Headings become lines that git does not drop."""
    assert changelog.unmarked(section) == message


IMAGE = ImagePin(f"ghcr.io/acme/serve:0.1.0@sha256:{'ab' * 32}")
AT = from_iso("2027-01-15T23:59:59.999Z")


def bundle(version):
    return Bundle("wine", IMAGE, (ModelPin("wine", version, Digest(f"sha256:{int(version):064x}")),))


def moves(count):
    return [MovedBack("wine", bundle(str(n + 2)), bundle(str(n + 1)), AT, "bad", automatic=False) for n in range(count)]


@pytest.mark.parametrize(
    ("count", "last"),
    [
        (1, "wine 2 rolled back to 1 in production on 2027-01-15: bad"),
        (20, "wine 2 rolled back to 1 in production on 2027-01-15: bad"),
        (21, "1 more rollback in production"),
        (22, "2 more rollbacks in production"),
    ],
    ids=["one", "as many as are shown", "one more", "two more"],
)
def test_rollbacks_are_told_newest_first_and_then_counted(count, last):
    """Each has the level of a fix."""
    found = changelog.rollback_entries("production", moves(count))
    assert len(found) == min(count, 21)
    assert found[0].text == f"wine {count + 1} rolled back to {count} in production on 2027-01-15: bad"
    assert found[-1] == Entry(Section.FIXED, last, Level.PATCH)
    assert {(entry.section, entry.level) for entry in found} == {(Section.FIXED, Level.PATCH)}


def test_no_rollback_is_no_line():
    """And no heading."""
    assert changelog.body({}, changelog.rollback_entries("production", [])) == ""


@pytest.mark.parametrize(("length", "ends"), [(200, "x" * 5), (201, "xxxx…")], ids=["as long as a reason may be", "one more"])
def test_a_reason_that_is_too_long_says_so(length, ends):
    """Cut before it is made inert: no entity is cut in two."""
    found = changelog.plain("x" * length)
    assert found.endswith(ends)
    assert changelog.plain("<" * 300) == "&#60;" * 200 + "…"


@pytest.mark.parametrize(
    ("left", "kept", "automatic", "text"),
    [
        (None, bundle("1"), False, "nothing rolled back to 1"),
        (bundle("2"), None, False, "wine 2 rolled back to nothing"),
        (None, None, True, "nothing failed its verification"),
    ],
    ids=["out of nothing", "to nothing", "nothing known"],
)
def test_a_move_of_which_a_side_is_not_known_is_still_a_line(left, kept, automatic, text):
    """Nothing is a word."""
    (entry,) = changelog.rollback_entries("production", [MovedBack("wine", left, kept, AT, "x", automatic=automatic)])
    assert entry.text == f"{text} in production on 2027-01-15: x"


@pytest.mark.parametrize("text", ["wine < 2", "a & b", "[x](y) by @somebody", "`code` #12", "\x1b[31mred", "http://somewhere"])
def test_a_terminal_is_shown_signs_and_not_their_entities(text):
    """What is inert in Markdown is read again as it was; what a terminal would act on stays shown and not sent."""
    assert changelog.shown(f"### Fixed\n\n- {cell(text)}") == ["Fixed:", f"- {inert(text)}"]


@given(st.text(alphabet="&#;x01à<@lt\n\u200b", max_size=30))
def test_a_shown_section_has_no_line_break_within_a_line(text):
    """An entity of a line break makes a line of its own, so that no line can pretend to be two."""
    assert all("\n" not in line and "\r" not in line for line in changelog.shown(text))
