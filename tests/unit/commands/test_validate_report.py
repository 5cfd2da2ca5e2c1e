"""What `validate` makes of findings and gates: the verdict, which rows are shown, the exit code, and the next command."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mlrelease.commands.validate import HEADERS, Checked, report_of
from mlrelease.delivery.proposal import Proposed
from mlrelease.gates.interface import Subject
from mlrelease.model.finding import Finding
from mlrelease.model.gate import GateResult, GateStatus, SkipReason
from mlrelease.model.spec import Spec
from support.core import environment, model, service
from support.newcomer import text

ENV = environment(service(models={"A": "7", "B": "1"}), service("fraud", models={"C": "2"}))
FINDING = Finding(
    path="environments/production/services/risk.yaml", line=9, column=3, rule="pin-digest", message="digest is not whole"
)
MEND = "mend the files named above, then: mlrelease validate"
BUMP = "mlrelease bump production A --to VERSION"


def judged(gate="metric", status=GateStatus.PASSED, *, name="A", stands=False, reason="it says", skip=None):
    """A gate's word on a model of `risk`."""
    spec = ENV.services["risk"]
    proposed = Proposed(spec, spec.models[0], Subject("production", "risk", model(name, "7")), (), False, stands)
    return proposed, GateResult(gate, f"model:{name}", status, reason, skip_reason=skip)


def checked(*words, findings=(), offline=False):
    return Checked(Spec({"production": ENV}, tuple(findings)), offline, judged=words)


SKIPPED = {"status": GateStatus.SKIPPED, "skip": SkipReason.ROLLBACK}

TABLE = {
    "nothing is judged": ((), (), 0, "mlrelease validate"),
    "all open": ((judged(), judged("exists")), (), 0, "git push"),
    "one failed": ((judged(), judged(status=GateStatus.FAILED)), (), 5, BUMP),
    "one has too little data": ((judged(status=GateStatus.INCONCLUSIVE),), (), 5, BUMP),
    "one could not be asked": ((judged(status=GateStatus.ERRORED),), (), 1, "mlrelease validate"),
    "skipped with a reason": ((judged(**SKIPPED),), (), 0, "git push"),
    "a finding alone": ((), (FINDING,), 4, MEND),
    "a finding and all open": ((judged(),), (FINDING,), 4, MEND),
    "a finding and one failed": ((judged(status=GateStatus.FAILED),), (FINDING,), 5, MEND),
    "a finding and one not asked": ((judged(status=GateStatus.ERRORED),), (FINDING,), 1, MEND),
    "one not asked, one failed": (
        (judged(status=GateStatus.ERRORED), judged(status=GateStatus.FAILED)), (), 1, "mlrelease validate",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("words", "findings", "code", "command"), TABLE.values(), ids=TABLE)
def test_the_worst_decides_and_every_end_has_a_next_command(words, findings, code, command, capsys):
    """Could not be asked, then a no, then findings, then well."""
    report = report_of(checked(*words, findings=findings))
    assert (report.exit_code, report.next) == (code, command)


@settings(max_examples=50, deadline=None)
@given(st.permutations([judged(), judged(status=GateStatus.FAILED), judged(status=GateStatus.ERRORED), judged(**SKIPPED)]))
def test_the_order_of_the_gates_does_not_matter(words):
    """To the exit code, and to what stands first: what does not open."""
    report = report_of(checked(*words))
    assert report.exit_code == 1
    assert [row[5] in ("passed", "skipped") for row in report.rows] == [False, False, True, True]
    assert report.verdict.endswith("; gates 2 of 4")


@pytest.mark.parametrize(
    ("word", "is_shown"),
    [
        (judged(), True),
        (judged(stands=True), False),
        (judged("exists", stands=True), True),
        (judged("digest", stands=True), True),
        (judged(status=GateStatus.FAILED, stands=True), True),
        (judged(stands=True, **SKIPPED), False),
        (judged("rejected", stands=True), False),
        (judged("rejected", stands=True, **SKIPPED), True),
    ],
    ids=[
        "of a pin that moves", "of one that stays", "whether it is there", "whether it is the same", "one that does not open",
        "one that was skipped", "not rejected", "rejected, but it stands",
    ],
)  # fmt: skip
def test_of_a_pin_that_stays_only_what_matters_is_shown(word, is_shown):
    """In a fleet a thousand pins stay; the JSON has every word."""
    report = report_of(checked(word))
    assert bool(report.rows) is is_shown
    (said,) = report.data["gates"]
    assert (said["environment"], said["service"], said["version"], said["component"]) == ("production", "risk", "7", "model:A")


def test_a_standing_pin_that_was_rejected_is_a_warning():
    """A note, and no no."""
    report = report_of(checked(judged("rejected", stands=True, reason="rejected by ada: biased", **SKIPPED)))
    assert list(report.notes) == ["warning: production: rejected by ada: biased"]
    assert report.exit_code == 0
    refused = report_of(checked(judged("rejected", GateStatus.FAILED, reason="rejected by ada: biased")))
    assert (list(refused.notes), refused.exit_code) == ([], 5)


def test_a_row_names_place_gate_and_reason(capsys):
    """Whole, as a person reads it."""
    report = report_of(checked(judged(status=GateStatus.FAILED, reason="rmse 2 is worse than 1"), judged("exists")))
    assert report.headers == HEADERS
    assert text(report, capsys) == (
        "0 findings in 1 environment, 2 services, 3 models; gates 1 of 2\n"
        "environment  service  model  version  gate    status  reason\n"
        "production   risk     A      7        metric  failed  rmse 2 is worse than 1\n"
        "production   risk     A      7        exists  passed  it says\n"
        f"next: {BUMP}\nexit 5\n"
    )


@pytest.mark.parametrize(
    ("findings", "code", "verdict"),
    [
        ((), 0, "0 findings in 1 environment, 2 services, 3 models (files only, nothing was asked)"),
        ((FINDING,), 4, "1 finding in 1 environment, 2 services, 3 models (files only, nothing was asked)"),
    ],
)
def test_offline_only_files_count(findings, code, verdict, capsys):
    """And it is said that nobody was asked; the JSON has no gate."""
    report = report_of(checked(findings=findings, offline=True))
    assert (report.verdict, report.exit_code, report.data["gates"]) == (verdict, code, [])


def test_an_empty_repository_is_counted_too():
    """In the plural, as nothing is."""
    report = report_of(Checked(Spec({}, ()), offline=True))
    assert report.verdict.startswith("0 findings in 0 environments, 0 services, 0 models ")


@pytest.mark.parametrize("actions", ["", "true"])
def test_findings_go_to_the_story_as_text_or_as_annotations(actions, monkeypatch, capsys):
    """Each once; standard output is the report's."""
    monkeypatch.setenv("GITHUB_ACTIONS", actions)
    report = report_of(checked(findings=(FINDING,)))
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("digest is not whole") == 1
    assert err.startswith("::error ") is (actions == "true")
    assert report.data["findings"][0]["rule"] == "pin-digest"


def test_without_a_finding_the_story_is_silent(capsys):
    """Nothing is said of nothing."""
    report_of(checked(judged()))
    assert capsys.readouterr() == ("", "")
