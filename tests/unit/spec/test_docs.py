"""The documentation names every rule and every key, and its examples are true."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import yaml
from mlrelease.gates.table import GATES
from mlrelease.model.spec import SourceFile
from mlrelease.spec.gates import BY_ID, WaiverEntry
from mlrelease.spec.load import load
from mlrelease.spec.rules import RULES
from mlrelease.spec.schemas import schemas

DOCS = Path(__file__).parents[3] / "docs"
RULES_MD, GATES_MD = (DOCS / "rules.md").read_text(encoding="utf-8").split("\n# The gates\n")
FILES_MD = (DOCS / "files.md").read_text(encoding="utf-8")


def test_each_rule_has_its_heading():
    """The headings of docs/rules.md are the rules of the code, in the same order."""
    assert re.findall(r"^## (.+)$", RULES_MD, re.MULTILINE) == list(RULES)


@pytest.mark.parametrize("rule", sorted(RULES))
def test_each_rule_shows_bad_good_and_fix(rule):
    """A rule is explained, shown broken and kept, and ends with what to do."""
    section = RULES_MD.split(f"## {rule}\n")[1].split("\n## ")[0]
    assert [word for word in ("Bad:", "Good:", "Fix: ") if section.count(f"\n{word}") != 1] == []
    bad, good = re.findall(r"```\w+\n(.*?)```", section, re.DOTALL)
    assert bad != good
    if "```yaml" in section and "…" not in good:
        assert yaml.safe_load(good) is not None


def keys(schema, prefix=""):
    """Every key of a schema, nested ones with a dot; entries of `gates` and `waivers` have their own headings."""
    for key, value in schema["properties"].items():
        yield f"{prefix}{key}"
        inner = value.get("$ref")
        if inner:
            yield from keys(schema["$defs"][inner.rpartition("/")[2]], f"{prefix}{key}.")


@pytest.mark.parametrize(("name", "heading"), [("environment.v1.json", "environment.yaml"), ("service.v1.json", r"services/\<service\>.yaml"), ("model.v1.json", r"models/\<model\>.yaml")])  # fmt: skip  # noqa: E501
def test_each_key_has_its_row(name, heading):
    """The table of each file names exactly the keys that its schema has."""
    schema = json.loads(schemas()[name])
    section = FILES_MD.split(f"## {heading}\n")[1].split("\n## ")[0]
    assert set(re.findall(r"^\| `([^`]+)` \|", section, re.MULTILINE)) == set(keys(schema))


def table(heading):
    """The rows of the first table below a heading of docs/files.md: first cell to second."""
    section = FILES_MD.split(f"\n{heading}\n")[1].split("\n#")[0]
    return dict(re.findall(r"^\| `(\w+)` \| (.+?) \|", section, re.MULTILINE))


def test_each_gate_has_its_heading():
    """The gates of the code, those that no file lists included, are explained one by one."""
    assert sorted(re.findall(r"^### (.+)$", GATES_MD, re.MULTILINE)) == sorted(GATES)


def test_each_gate_has_its_row():
    """The gates of the documentation and of the types are the same, each with exactly its options."""
    described = {gate: set(re.findall(r"`(\w+)`", options)) for gate, options in table("## Gates").items() if gate != "gate"}
    assert list(described) == list(BY_ID)
    assert described == {gate: set(kind.model_fields) - {"gate"} for gate, kind in BY_ID.items()}


@pytest.mark.parametrize("gate", [gate for gate, kind in BY_ID.items() if len(kind.model_fields) > 1])
def test_each_option_of_a_gate_has_its_row(gate):
    """A gate with options has a heading of its own, with a row for each."""
    assert set(table(f"### {gate}")) == set(BY_ID[gate].model_fields) - {"gate"}


def test_each_key_of_a_waiver_has_its_row():
    """A waiver is described key by key."""
    assert set(table("### Waivers")) == set(WaiverEntry.model_fields)


def test_the_examples_of_the_file_reference_are_valid():
    """What the documentation shows passes validation."""
    environment, service, model = re.findall(r"```yaml\n(# yaml-language-server.*?)```", FILES_MD, re.DOTALL)
    folder = "environments/production"
    staging = re.sub(r"environment: production\npromotes_from: staging\nsoak: .*", "environment: staging", environment)
    staging = staging.replace(":8080", ":8081").replace("alias: production", "alias: staging")
    files = {
        f"{folder}/environment.yaml": environment,
        f"{folder}/services/credit-risk.yaml": service,
        f"{folder}/models/credit-risk.yaml": model,
        "environments/staging/environment.yaml": staging,
        "environments/staging/services/credit-risk.yaml": service,
        "environments/staging/models/credit-risk.yaml": model,
    }
    assert load({path: SourceFile(text.encode()) for path, text in files.items()}).findings == ()
