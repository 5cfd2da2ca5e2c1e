"""What a pull request's check says: every section has room whatever the others hold, and nothing of it acts."""

from __future__ import annotations

import pytest
from mlrelease.model.finding import Finding
from mlrelease.render.comment import CheckedPull, annotation_text, comment_text

FINDING = Finding("environments/p/models/wine.yaml", 9, 9, "pin-digest", "no digest", "zz", "64 hex", "mlrelease bump")
MOVE = ("production", "wine", "update", "wine 1", "wine 2", "git moved forward")
GATE = ("production", "wine", "2", "metric", "failed", "rmse 90 > 80")


def checked(**more):
    return CheckedPull("1 finding", "a" * 40, "validate/online", **more)


def test_the_whole_of_a_small_one():
    """Verdict, commit, what merging would change, gates with baselines, findings, notes, next."""
    text = comment_text(
        checked(
            findings=(FINDING,),
            moves=(MOVE,),
            gates=(GATE,),
            baselines=("wine in production: compared with 1",),
            notes=("warning: stands",),
            next="mlrelease bump production wine --to VERSION",
            url="https://github.example/acme/models/actions/runs/7",
        )
    )
    assert (
        text
        == """\
### validate/online: 1 finding

Commit `aaaaaaaaaaaa` ([the run](https://github.example/acme/models/actions/runs/7))

#### What merging would change

| environment | service | change | from | to | reason |
| --- | --- | --- | --- | --- | --- |
| production | wine | update | wine 1 | wine 2 | git moved forward |

#### Gates

| environment | model | version | gate | status | reason |
| --- | --- | --- | --- | --- | --- |
| production | wine | 2 | metric | failed | rmse 90 &#62; 80 |

- wine in production: compared with 1

#### Findings

| where | rule | what | found | expected | to do |
| --- | --- | --- | --- | --- | --- |
| environments/p/models/wine.yaml:9:9 | pin-digest | no digest | zz | 64 hex | mlrelease bump |

- warning: stands

Next: `mlrelease bump production wine --to VERSION`
"""
    )


@pytest.mark.parametrize(
    ("more", "said"),
    [({}, "Nothing of what runs."), ({"base_known": False}, "Not known: this clone does not have the commit")],
    ids=["nothing changes", "the base is not here"],
)
def test_no_changes_are_said_in_words(more, said):
    """An empty table says nothing."""
    assert said in comment_text(checked(**more))


def test_5000_findings_leave_room_for_all_else():
    """The comment fits GitHub's limit, every section is there, and what is left out is counted."""
    findings = tuple(Finding(f"environments/p/models/m{n}.yaml", n, 1, "bad", "x" * 500) for n in range(1, 5001))
    gates = tuple((*GATE[:5], "y" * 5000) for _ in range(5000))
    moves = tuple((*MOVE[:5], "z" * 5000) for _ in range(5000))
    text = comment_text(checked(findings=findings, gates=gates, moves=moves, notes=("n" * 9000,) * 50))
    assert len(text) < 65_000
    for heading in ("#### What merging would change", "#### Gates", "#### Findings"):
        assert heading in text
    assert text.count("more: the check's annotations and the log have them.**") == 3
    shown = sum(line.startswith("| environments/p/models/m") for line in text.splitlines())
    assert f"**… and {5000 - shown:,} more: " in text


def test_one_endless_cell_is_cut():
    """A name of a megabyte is no reason to lose the rest."""
    finding = Finding("environments/" + "a" * 1_000_000, 1, 1, "bad", "m")
    text = comment_text(checked(findings=(finding, FINDING)))
    assert "pin-digest" in text
    assert len(text) < 5_000


def test_a_cell_of_signs_alone_does_not_break_the_budget():
    """Escaping makes a text eight times as long: the budget counts what is written."""
    findings = tuple(Finding("@" * 240, n, 1, "<" * 240, "|" * 240) for n in range(2000))
    assert len(comment_text(checked(findings=findings))) < 65_000


HOSTILE = "@acme <script> [x](https://evil.example) | `c` #777\x1b[31m\n::error::x"


def test_nothing_of_the_pull_request_acts_in_its_comment():
    """Paths, found text, reasons, labels, notes."""
    finding = Finding(HOSTILE, 1, 1, HOSTILE, HOSTILE, HOSTILE, HOSTILE, HOSTILE)
    text = comment_text(
        checked(findings=(finding,), moves=((HOSTILE,) * 6,), gates=((HOSTILE,) * 6,), baselines=(HOSTILE,), notes=(HOSTILE,))
    )
    for sign in ("@acme", "<script>", "](", "https://evil", "#777", "\x1b", "`c`"):
        assert sign not in text
    assert not any(line.startswith("::") for line in text.splitlines())


def test_an_annotation_is_plain_lines_of_ours():
    """The message and the rows below it, each one line, with control characters written out."""
    text = annotation_text(Finding("p", 1, 1, "rule", "bad\nline", "\x1b[31m", "", "mend it"))
    assert text == "bad\\nline\nfound: \\x1b[31m\ntry: mend it\ndocs: docs/rules.md#rule"
