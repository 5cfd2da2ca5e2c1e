"""The documentation names every rule and every key, and its examples are true."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import yaml
from mlrelease.model.spec import SourceFile
from mlrelease.spec.documents import GATES, GateEntry
from mlrelease.spec.load import load
from mlrelease.spec.rules import RULES
from mlrelease.spec.schemas import schemas

DOCS = Path(__file__).parents[3] / "docs"
RULES_MD = (DOCS / "rules.md").read_text(encoding="utf-8")
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
    """Every key of a schema, nested ones with a dot; entries of `gates` are described under their own heading."""
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


def test_each_gate_has_its_row():
    """The gates of the documentation, of the table and of the type are the same."""
    section = FILES_MD.split("## Gates\n")[1]
    assert tuple(re.findall(r"^\| `(\w+)` \| (?!opens)", section, re.MULTILINE)) == GATES
    assert GateEntry.model_json_schema()["properties"]["gate"]["enum"] == list(GATES)


def test_the_examples_of_the_file_reference_are_valid():
    """What the documentation shows passes validation."""
    environment, service, model = re.findall(r"```yaml\n(.*?)```", FILES_MD, re.DOTALL)
    folder = "environments/production"
    staging = environment.replace("environment: production\npromotes_from: staging", "environment: staging")
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
