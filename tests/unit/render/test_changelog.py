"""CHANGELOG.md: what stands under Unreleased, a version's section, links, and texts of others made inert."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mlrelease.history.releases import MovedBack
from mlrelease.model.bundle import Bundle, Digest, ImagePin, ModelPin
from mlrelease.model.release import (
    ApprovedBy,
    Entry,
    Level,
    Release,
    ReleasedEnvironment,
    ReleasedModel,
    ReleasedService,
    Section,
    Version,
)
from mlrelease.model.when import from_iso
from mlrelease.render import changelog
from mlrelease.render.release_body import ROWS_SHOWN, page, pins, release_body

V = Version(1, 2, 0)
DAY = "2027-01-15"
SECTION = "### Added\n\n- A thing.\n"
HEAD = "# Changelog\n\nWords.\n\n"
COMPARED = "[Unreleased]: https://x/compare/v1.2.0...HEAD\n[1.2.0]: https://x/compare/v1.1.0...v1.2.0\n"
OLD = "## [1.1.0] - 2026-12-24\n\n### Fixed\n\n- Old.\n"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (
            f"{HEAD}## [Unreleased]\n\n{OLD}",
            f"{HEAD}## [Unreleased]\n\n## [1.2.0] - {DAY}\n\n{SECTION}\n{OLD}",
        ),
        (
            f"{HEAD}## [Unreleased]\n\n### Added\n\n- By hand.\n\n{OLD}",
            f"{HEAD}## [Unreleased]\n\n## [1.2.0] - {DAY}\n\n{SECTION}\n{OLD}",
        ),
        (f"{HEAD}## [Unreleased]\n", f"{HEAD}## [Unreleased]\n\n## [1.2.0] - {DAY}\n\n{SECTION}"),
        (f"{HEAD}{OLD}", f"{HEAD}## [Unreleased]\n\n## [1.2.0] - {DAY}\n\n{SECTION}\n{OLD}"),
        (HEAD, f"{HEAD}## [Unreleased]\n\n## [1.2.0] - {DAY}\n\n{SECTION}"),
        ("", f"{changelog.NEW}\n## [1.2.0] - {DAY}\n\n{SECTION}"),
        (
            f"{HEAD}## Unreleased\n\n{OLD}",
            f"{HEAD}## Unreleased\n\n## [1.2.0] - {DAY}\n\n{SECTION}\n{OLD}",
        ),
        (
            f"{HEAD}## [Unreleased]\n\n{OLD}\n[Unreleased]: https://x/compare/v1.1.0...HEAD\n[1.1.0]: https://x/tag/v1.1.0\n",
            f"{HEAD}## [Unreleased]\n\n## [1.2.0] - {DAY}\n\n{SECTION}\n{OLD}\n{COMPARED}[1.1.0]: https://x/tag/v1.1.0\n",
        ),
        (
            f"{HEAD}## [Unreleased]\n\n[Unreleased]: https://x/compare/v1.1.0...HEAD\n",
            f"{HEAD}## [Unreleased]\n\n## [1.2.0] - {DAY}\n\n{SECTION}\n{COMPARED}",
        ),
    ],
    ids=[
        "nothing under Unreleased",
        "lines by hand are replaced by the section that holds them",
        "no version yet",
        "without an Unreleased heading one is made",
        "without any heading",
        "without a file",
        "Unreleased without brackets",
        "links to comparisons move on",
        "links right behind Unreleased",
    ],
)
def test_the_section_stands_on_top(before, after):
    """Unreleased stays, empty; what is older stays as it is."""
    assert changelog.released(before, V, DAY, SECTION) == after


def test_release_after_release_keeps_the_order():
    """Newest first, each once."""
    text = ""
    for minor in range(4):
        text = changelog.released(text, Version(1, minor, 0), DAY, f"### Added\n\n- Number {minor}.\n")
    headings = [line for line in text.splitlines() if line.startswith("## ")]
    assert headings == ["## [Unreleased]", *(f"## [1.{minor}.0] - {DAY}" for minor in (3, 2, 1, 0))]
    assert [changelog.section_of(text, Version(1, minor, 0)) for minor in range(4)] == [
        f"### Added\n\n- Number {minor}." for minor in range(4)
    ]


def test_a_version_that_is_not_there_has_no_section():
    """Also not that of a version whose number begins alike."""
    text = changelog.released("", Version(1, 2, 10), DAY, SECTION)
    assert changelog.section_of(text, Version(1, 2, 1)) == ""


def test_the_section_of_the_last_version_ends_before_the_links():
    """They are no lines of it."""
    text = f"{HEAD}{OLD}\n[1.1.0]: https://x/tag/v1.1.0\n"
    assert changelog.section_of(text, Version(1, 1, 0)) == "### Fixed\n\n- Old."


def test_what_is_unreleased_is_read_by_section_as_it_is_written():
    """Unknown headings and lines without one count as changed; older versions do not."""
    text = f"{HEAD}## [Unreleased]\n\n- Loose.\n\n### removed\n\n- Gone.\n  More.\n\n### Odd\n\n- Strange.\n\n{OLD}"
    assert changelog.unreleased(text) == {
        Section.CHANGED: "- Loose.\n- Strange.",
        Section.REMOVED: "- Gone.\n  More.",
    }
    assert changelog.unreleased(OLD) == changelog.unreleased("") == {}


def test_lines_by_hand_have_the_level_of_their_section():
    """They decide with all others."""
    found = changelog.written({Section.FIXED: "- a", Section.REMOVED: "- b"})
    assert {entry.level for entry in found} == {Level.PATCH, Level.MAJOR}


def test_the_body_has_the_sections_in_their_order_lines_by_hand_first():
    """Whatever order they come in."""
    entries = [
        Entry(Section.FIXED, "f", Level.PATCH),
        Entry(Section.ADDED, "a", Level.MINOR),
        Entry(Section.FIXED, "g", Level.PATCH),
    ]
    assert changelog.body({Section.FIXED: "- by hand"}, entries) == ("### Added\n\n- a\n\n### Fixed\n\n- by hand\n- f\n- g\n")
    assert changelog.body({}, []) == ""


def test_for_git_headings_lose_their_sign():
    """A line that begins with it is a comment to git's editor."""
    assert changelog.unmarked("### Added\n\n- a # b\n") == "Added:\n\n- a # b"


@given(st.text(max_size=300))
def test_texts_of_others_are_one_inert_line(text):
    """No line break, no markup that GitHub or a terminal would act on."""
    found = changelog.plain(text)
    assert "\n" not in found
    assert found.isprintable()
    bare = found.replace("&#8203;", "").replace("&amp;", "")
    assert not any(sign in bare for sign in ("<", "`", "[", "]", "|", "*"))
    assert not any(c in found for c in "\x1b\r\x07")


@pytest.mark.parametrize("text", ["@acme/owners look", "see https://evil.example", "fixes #7", "**bold** _em_", "<img src=x>"])
def test_nobody_is_mentioned_and_nothing_linked(text):
    """A probe's reason may hold anything."""
    found = changelog.plain(text)
    assert "@acme" not in found
    assert "https://" not in found
    assert "#7" not in found
    assert "**" not in found
    assert "<img" not in found


def test_a_long_reason_is_cut():
    """A line of a changelog, not a traceback."""
    assert changelog.plain("x" * 10_000) == "x" * changelog.LONGEST_REASON + "…"


IMAGE = ImagePin(f"ghcr.io/acme/serve:0.1.0@sha256:{'ab' * 32}")
AT = from_iso("2027-01-15T08:00:00Z")


def bundle(*models, image=IMAGE):
    return Bundle("wine", image, tuple(ModelPin(n, v, Digest(f"sha256:{int(v):064x}")) for n, v in models))


@pytest.mark.parametrize(
    ("move", "text"),
    [
        (
            MovedBack("wine", bundle(("wine", "3")), bundle(("wine", "2")), AT, "moved back", automatic=False),
            "wine 3 rolled back to 2 in production on 2027-01-15: moved back",
        ),
        (
            MovedBack("wine", bundle(("wine", "3")), bundle(("wine", "2")), AT, "golden differ", automatic=True),
            "wine 3 failed its verification, wine 2 went on answering in production on 2027-01-15: golden differ",
        ),
        (
            MovedBack("wine", bundle(("wine", "3")), None, AT, "x", automatic=True),
            "wine 3 failed its verification in production on 2027-01-15: x",
        ),
        (
            MovedBack(
                "wine",
                bundle(("wine", "3"), image=ImagePin(IMAGE.reference.replace("0.1.0", "0.2.0"))),
                bundle(("wine", "3")),
                AT,
                "x",
                automatic=False,
            ),
            "wine with ghcr.io/acme/serve:0.2.0 rolled back to ghcr.io/acme/serve:0.1.0 in production on 2027-01-15: x",
        ),
        (
            MovedBack(
                "wine",
                bundle(*((f"m{n}", "2") for n in range(5))),
                bundle(*((f"m{n}", "1") for n in range(5))),
                AT,
                "x",
                automatic=False,
            ),
            "m0 2, m1 2, m2 2 and 2 more rolled back to m0 1, m1 1, m2 1 and 2 more in production on 2027-01-15: x",
        ),
    ],
    ids=["asked for", "automatic", "nothing was there before", "an image", "many models"],
)
def test_a_rollback_is_one_line(move, text):
    """Who left, for what, when and why."""
    (entry,) = changelog.rollback_entries("production", [move])
    assert entry == Entry(Section.FIXED, text, Level.PATCH)


def test_many_rollbacks_are_counted():
    """The newest are shown."""
    moves = [MovedBack("wine", bundle(("wine", str(n))), None, AT + n, "x", automatic=True) for n in range(1, 31)]
    found = changelog.rollback_entries("production", moves)
    assert len(found) == changelog.ROLLBACKS_SHOWN + 1
    assert found[0].text.startswith("wine 30 ")
    assert found[-1].text == "10 more rollbacks in production"


# -- the text of the pull request and of the release's page ------------------------------------------------------------


def record(models=1, approver="grace"):
    service = ReleasedService(
        "wine",
        "0" * 12,
        IMAGE,
        tuple(ReleasedModel(ModelPin(f"m{n}", "8", Digest(f"sha256:{n:064x}"))) for n in range(models)),
        "R1",
        "2027-01-15T08:00:00.000Z",
        "1" * 40,
        approvals=(ApprovedBy("A1", approver, "2027-01-15T08:00:00.000Z"),) if approver else (),
    )
    environment = ReleasedEnvironment("production", "observed", 2, Digest(f"sha256:{'e' * 64}"), {"wine": service})
    return Release(V, "v1.1.0", "2027-01-15T08:00:00.000Z", "Ada", "2" * 40, {"production": environment})


def test_the_pull_request_says_what_merging_it_does():
    """And how it is refreshed."""
    text = release_body(record(), SECTION)
    assert text.startswith("Merging this releases **v1.2.0**")
    assert "`mlrelease release publish`" in text
    assert "- A thing." in text
    assert "| production | wine | m0 | 8 | sha256:" in text
    assert "| grace |" in text


def test_the_page_has_the_section_first():
    """What people look for."""
    text = page(record(), SECTION)
    assert text.startswith("### Added\n\n- A thing.")
    assert "`mlrelease release verify v1.2.0`" in text


def test_a_fleet_is_cut_and_counted():
    """GitHub takes 65,536 characters."""
    lines = pins(record(models=1000))
    assert lines[0] == "<details><summary>1001 pins at 222222222</summary>"
    assert sum(line.startswith("| production") for line in lines) == ROWS_SHOWN
    assert f"… and {1001 - ROWS_SHOWN} more pins, all in `releases/v1.2.0.yaml`." in lines
    assert len("\n".join(lines)) < 65_000


@pytest.mark.parametrize("name", ["@everyone", "<script>", "a|b", "x](https://evil)"])
def test_an_approvers_name_is_inert(name):
    """It comes from outside."""
    text = release_body(record(approver=name), SECTION)
    assert name not in text


def test_without_an_approval_there_is_a_dash():
    """No empty cell that looks like one forgotten."""
    assert "| – |" in release_body(record(approver=""), SECTION)
