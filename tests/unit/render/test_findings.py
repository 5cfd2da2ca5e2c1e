"""Findings as text, JSON and annotations."""

from __future__ import annotations

import json
from dataclasses import replace

from mlrelease.model.finding import Finding
from mlrelease.render import findings

DIGEST = Finding(
    path="environments/production/models/credit-risk.yaml",
    line=9,
    column=9,
    rule="pin-digest",
    message="digest is not a full sha256",
    found="sha256:zz",
    expected="sha256: followed by 64 hex digits",
    fix="mlrelease bump production credit-risk --to 8    # resolves and writes the digest",
    environment="production",
    service="credit-risk",
)
BARE = Finding("environments", 0, 0, "no-environments", "there is no environment")

TEXT = """\
environments/production/models/credit-risk.yaml:9:9: error[pin-digest]: digest is not a full sha256
  found     sha256:zz
  expected  sha256: followed by 64 hex digits
  try       mlrelease bump production credit-risk --to 8    # resolves and writes the digest
  docs      docs/rules.md#pin-digest

environments: error[no-environments]: there is no environment
  docs      docs/rules.md#no-environments
"""


def test_text_is_the_form_of_the_house():
    """Place, rule and message on the first line, the rest as labelled rows, a blank line between findings."""
    assert findings.text([DIGEST, BARE]) == TEXT
    assert findings.text([]) == ""


def test_many_findings_are_counted_first():
    """Up to a screen of them there is nothing above; beyond, one line says how many of which rule, and none is left out."""
    many = [replace(DIGEST, line=n) for n in range(1, findings.MANY)] + [BARE]
    assert findings.text(many).startswith(DIGEST.path)
    report = findings.text([*many, BARE])
    assert report.partition("\n\n")[0] == "21 findings in 2 files: 19 pin-digest, 2 no-environments"
    assert report.count(": error[") == 21
    assert findings.summary([DIGEST] * 1234) == "1,234 findings in 1 file: 1,234 pin-digest\n"


def test_a_hostile_path_cannot_write_to_the_terminal():
    """Control characters of a file name are escaped."""
    assert "\x1b" not in findings.text([Finding("environments/\x1b[2J", 1, 1, "wrong-place", "x")])


def test_json_has_stable_keys():
    """Every key is there for every finding, whatever is known."""
    keys = ["path", "line", "column", "rule", "message", "found", "expected", "fix", "docs", "environment", "service"]
    data = json.loads(json.dumps(findings.as_json([DIGEST, BARE])))
    assert [list(entry) for entry in data] == [keys, keys]
    assert data[0]["docs"] == "docs/rules.md#pin-digest"
    assert data[1]["line"] == 0


def test_annotations_are_escaped():
    """Properties escape what ends them, the message escapes line ends and per cent, nothing else."""
    finding = Finding("a,b:c%.yaml", 3, 4, "bad-value", "100%\r\nsure: yes, no", found="::error::x")
    assert findings.github([finding, BARE]) == (
        "::error file=a%2Cb%3Ac%25.yaml,line=3,col=4,title=bad-value::100%25%0D%0Asure: yes, no%0Afound: ::error::x"
        "%0Adocs/rules.md#bad-value\n"
        "::error file=environments,title=no-environments::there is no environment%0Adocs/rules.md#no-environments\n"
    )
