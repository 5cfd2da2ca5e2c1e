"""The files that GitHub reads, ours and those that `init` installs: valid by their schemas, and meaning what they should."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from jsonschema import Draft202012Validator

ROOT = Path(__file__).parents[3]
OURS, THEIRS = ROOT / ".github", ROOT / "templates" / "github"
BOTH = pytest.mark.parametrize("folder", [OURS, THEIRS], ids=["ours", "those that init installs"])
BIN = Path(sys.executable).parent

REF_RULES = ("creation", "deletion", "non_fast_forward", "required_linear_history", "required_signatures")
BOOLEAN, NUMBER, TEXT = (
    {"type": "boolean"},
    {"type": "integer", "minimum": 0, "maximum": 10},
    {"type": "string", "minLength": 1},
)


def closed(properties, optional=()):
    """An object with exactly these keys."""
    required = [key for key in properties if key not in optional]
    return {"type": "object", "properties": properties, "required": required, "additionalProperties": False}


def rule(name, parameters=None):
    return closed({"type": {"const": name}} | ({"parameters": parameters} if parameters else {}))


# The body of `POST /repos/{owner}/{repo}/rulesets`, as GitHub's REST reference describes it, as far as these files use it.
RULESET = closed(
    {
        "name": TEXT,
        "target": {"enum": ["branch", "tag"]},
        "enforcement": {"enum": ["disabled", "active", "evaluate"]},
        "bypass_actors": {
            "type": "array",
            "items": closed(
                {
                    "actor_id": {"type": ["integer", "null"]},
                    "actor_type": {"enum": ["Integration", "OrganizationAdmin", "RepositoryRole", "Team", "DeployKey"]},
                    "bypass_mode": {"enum": ["always", "pull_request"]},
                }
            ),
        },
        "conditions": closed(
            {"ref_name": closed({"include": {"type": "array", "items": TEXT, "minItems": 1}, "exclude": {"type": "array"}})}
        ),
        "rules": {
            "type": "array",
            "minItems": 1,
            "items": {
                "oneOf": [
                    *(rule(name) for name in REF_RULES),
                    rule("update", closed({"update_allows_fetch_and_merge": BOOLEAN})),
                    closed({"type": {"const": "update"}}),
                    rule(
                        "pull_request",
                        closed(
                            {
                                "allowed_merge_methods": {"type": "array", "items": {"enum": ["merge", "squash", "rebase"]}},
                                "dismiss_stale_reviews_on_push": BOOLEAN,
                                "require_code_owner_review": BOOLEAN,
                                "require_last_push_approval": BOOLEAN,
                                "required_approving_review_count": NUMBER,
                                "required_review_thread_resolution": BOOLEAN,
                            }
                        ),
                    ),
                    rule(
                        "required_status_checks",
                        closed(
                            {
                                "do_not_enforce_on_create": BOOLEAN,
                                "strict_required_status_checks_policy": BOOLEAN,
                                "required_status_checks": {
                                    "type": "array",
                                    "items": closed({"context": TEXT, "integration_id": {"type": "integer"}}),
                                },
                            }
                        ),
                    ),
                ]
            },
        },
    }
)

RULESETS = ("ledger", "ledger-writers", "main", "tag-writers", "tags")


def ruleset(folder: Path, name: str) -> dict:
    return json.loads((folder / "rulesets" / f"{name}.json").read_text(encoding="utf-8"))


def rules(folder: Path, name: str) -> dict[str, dict]:
    """The rules of a ruleset by type, with their parameters."""
    return {rule["type"]: rule.get("parameters", {}) for rule in ruleset(folder, name)["rules"]}


@BOTH
def test_rulesets_are_bodies_that_github_takes(folder):
    """Each file is sent as it is: the keys of the request and no others."""
    found = sorted(path.stem for path in (folder / "rulesets").glob("*.json"))
    assert found == list(RULESETS)
    for name in found:
        Draft202012Validator(RULESET).validate(ruleset(folder, name))


def test_the_schema_would_find_a_wrong_key():
    """A rule without its parameters, an unknown actor and a misspelt key are refused."""
    good = ruleset(OURS, "main")
    wrong = [
        {**good, "rule": []},
        {**good, "rules": [{"type": "pull_request"}]},
        {**good, "rules": [{"type": "no_such_rule"}]},
        {**good, "bypass_actors": [{"actor_id": 1, "actor_type": "Anybody", "bypass_mode": "always"}]},
        {**good, "target": "everything"},
    ]
    assert [Draft202012Validator(RULESET).is_valid(body) for body in wrong] == [False] * len(wrong)


@BOTH
def test_the_tracked_branch_takes_reviewed_pull_requests_only(folder):
    """Nobody passes by: reviewed by an owner after the last push, checked against the tip, reverted without an option."""
    found = rules(folder, "main")
    assert ruleset(folder, "main")["bypass_actors"] == []
    assert {"deletion", "non_fast_forward", "required_linear_history"} <= set(found)
    review = found["pull_request"]
    assert review["require_code_owner_review"]
    assert review["require_last_push_approval"]
    assert review["required_approving_review_count"] >= 1
    assert "merge" not in review["allowed_merge_methods"], "a merge commit is reverted with -m"
    assert found["required_status_checks"]["strict_required_status_checks_policy"]


@BOTH
@pytest.mark.parametrize(
    ("never", "writers", "refs", "forbidden"),
    [
        ("ledger", "ledger-writers", "refs/heads/mlrelease/ledger", {"deletion", "non_fast_forward"}),
        ("tags", "tag-writers", "refs/tags/v*", {"deletion", "non_fast_forward", "update"}),
    ],
    ids=["the ledger", "release tags"],
)
def test_nobody_rewrites_and_few_write(folder, never, writers, refs, forbidden):
    """Two rulesets each, since a bypass actor passes by every rule of a ruleset: nobody may pass by the first."""
    assert ruleset(folder, never)["bypass_actors"] == []
    assert set(rules(folder, never)) == forbidden
    assert {actor["actor_type"] for actor in ruleset(folder, writers)["bypass_actors"]} <= {"DeployKey", "RepositoryRole"}
    assert "creation" in rules(folder, writers)
    assert not set(rules(folder, writers)) & {"deletion", "non_fast_forward"}
    for name in (never, writers):
        assert ruleset(folder, name)["conditions"]["ref_name"]["include"] == [refs]


def test_the_ledger_is_written_by_keys_alone():
    """No role of a person is among its writers: a word of a person goes by a workflow or by the host."""
    for folder in (OURS, THEIRS):
        assert [actor["actor_type"] for actor in ruleset(folder, "ledger-writers")["bypass_actors"]] == ["DeployKey"]
        assert "update" in rules(folder, "ledger-writers")


def test_the_shared_rulesets_are_the_same():
    """Only what must have passed differs between us and our users."""
    for name in RULESETS:
        if name != "main":
            assert ruleset(OURS, name) == ruleset(THEIRS, name)
    ours, theirs = ruleset(OURS, "main"), ruleset(THEIRS, "main")
    for body in (ours, theirs):
        body["rules"] = [rule for rule in body["rules"] if rule["type"] != "required_status_checks"]
    assert ours == theirs


def contexts(folder: Path) -> set[str]:
    checks = rules(folder, "main")["required_status_checks"]["required_status_checks"]
    assert {check["integration_id"] for check in checks} == {15368}, "only GitHub Actions may say that they passed"
    return {check["context"] for check in checks}


def jobs() -> set[str]:
    """The names under which the jobs of our workflows report."""
    found = set()
    for path in (OURS / "workflows").glob("*.yml"):
        workflow = yaml.safe_load(path.read_text(encoding="utf-8"))
        found |= {job.get("name", key) for key, job in workflow["jobs"].items()}
    return found


def test_every_required_check_is_reported_by_somebody():
    """A required check that nothing reports would keep every pull request waiting for ever."""
    assert contexts(OURS) == {"all-green"}
    assert contexts(OURS) <= jobs()
    assert contexts(THEIRS) == {"validate/offline", "validate/online"}
    source = "".join(path.read_text() for path in (ROOT / "scripts" / "mlrelease").rglob("*.py"))
    for context in contexts(THEIRS) - jobs():
        assert context in source, f"{context} is no job, and no check that the code reports"


SCHEMAS = [
    ("vendor.dependabot", "dependabot.yml"),
    ("vendor.github-issue-config", "ISSUE_TEMPLATE/config.yml"),
    ("vendor.github-issue-forms", "ISSUE_TEMPLATE/[!c]*.yml"),
]


@pytest.mark.parametrize(("schema", "pattern"), SCHEMAS, ids=[pattern for _, pattern in SCHEMAS])
def test_bot_and_forms_keep_githubs_schemas(schema, pattern):
    """Checked by the schemas that GitHub's users keep, ours and theirs in one go."""
    files = [str(path) for folder in (OURS, THEIRS) for path in folder.glob(pattern)]
    assert len(files) >= 2
    subprocess.run([BIN / "check-jsonschema", "--builtin-schema", schema, *files], check=True, capture_output=True, timeout=60)


def test_the_update_bot_passes_the_audit():
    """Its updates wait a week: a hijacked release is usually found by then."""
    files = [str(folder / "dependabot.yml") for folder in (OURS, THEIRS)]
    done = subprocess.run(
        [BIN / "zizmor", "--offline", "--quiet", *files], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stdout


def test_the_update_bot_sees_what_is_pinned():
    """Actions of both, and our packages; each folder that it is told to look at is there."""
    for folder, ecosystems in ((OURS, {"github-actions", "pip"}), (THEIRS, {"github-actions"})):
        updates = yaml.safe_load((folder / "dependabot.yml").read_text())["updates"]
        assert {update["package-ecosystem"] for update in updates} == ecosystems
        assert all(update["cooldown"]["default-days"] >= 7 for update in updates)
    assert (OURS / "actions").is_dir()


def owners(folder: Path) -> list[tuple[str, list[str]]]:
    """Pattern and owners of every line."""
    lines = [line.split() for line in (folder / "CODEOWNERS").read_text().splitlines() if line and not line.startswith("#")]
    return [(pattern, who) for pattern, *who in lines]


OWNED = [
    ("environments/staging/models/wine.yaml", {"model-owners"}),
    ("environments/staging/environment.yaml", {"platform"}),
    ("environments/production/models/wine.yaml", {"release-owners"}),
    ("environments/production/environment.yaml", {"release-owners"}),
    ("releases/v1.2.0.yaml", {"release-owners"}),
    (".github/workflows/deploy.yml", {"platform"}),
    (".github/actions/setup-mlrelease/action.yml", {"platform"}),
    (".github/CODEOWNERS", {"platform", "release-owners"}),
    (".github/rulesets/main.json", {"platform", "release-owners"}),
    ("templates/schemas/model.v1.json", {"platform"}),
    ("anything.txt", {"platform"}),
]


OUR_CODE, OUR_WORD, THEIR_TOOL = "scripts/mlrelease/cli.py", "SECURITY.md", ".mlrelease-version"
PATHS = [*(path for path, _ in OWNED), OUR_CODE, OUR_WORD, THEIR_TOOL]


@pytest.fixture(scope="module")
def owner_of(tmp_path_factory):
    """Who owns a path: the last line whose pattern, which is one of git's for ignoring, matches it by git's own word."""
    asked = tmp_path_factory.mktemp("owners")
    subprocess.run(["git", "init", "--quiet", str(asked)], check=True)
    found: dict[tuple[Path, str], set[str]] = {}
    for folder in (OURS, THEIRS):
        for pattern, who in owners(folder):
            (asked / ".gitignore").write_text(f"{pattern}\n")
            done = subprocess.run(
                ["git", "check-ignore", "--no-index", "--stdin"],
                cwd=asked, input="\n".join(PATHS), capture_output=True, text=True, check=False, timeout=30,
            )  # fmt: skip
            found |= {(folder, path): {name.partition("/")[2] for name in who} for path in done.stdout.splitlines()}
    return lambda folder, path: found.get((folder, path), set())


@BOTH
@pytest.mark.parametrize(("path", "teams"), OWNED, ids=[path for path, _ in OWNED])
def test_every_path_has_the_owners_that_it_should(owner_of, folder, path, teams):
    """What runs in production, what decides what may run, and this file itself are each owned by those who answer for it."""
    assert owner_of(folder, path) == teams


@BOTH
def test_no_line_of_the_owners_is_without_one(folder):
    """A line without owners would free a path from review; each is a team of one organisation."""
    organisation = "@acme/" if folder == OURS else "@ORGANISATION/"
    for pattern, who in owners(folder):
        assert who, pattern
        assert all(name.startswith(organisation) for name in who)


def test_our_code_has_its_owners(owner_of):
    """The tool, its pages for emergencies and its word on safety."""
    assert owner_of(OURS, OUR_CODE) == {"platform"}
    assert owner_of(OURS, OUR_WORD) == {"platform", "release-owners"}
    assert owner_of(THEIRS, THEIR_TOOL) == {"platform"}


@BOTH
def test_forms_ask_for_no_secret_and_ids_are_unique(folder):
    """Each form has fields with ids of their own, at least one of them required."""
    for path in (folder / "ISSUE_TEMPLATE").glob("*.yml"):
        if path.name == "config.yml":
            continue
        fields = [field for field in yaml.safe_load(path.read_text())["body"] if field["type"] != "markdown"]
        ids = [field["id"] for field in fields]
        assert len(set(ids)) == len(ids)
        assert any(field.get("validations", {}).get("required") for field in fields)
        assert not re.search(r"password|token", path.read_text(), flags=re.IGNORECASE)


def test_init_installs_what_is_theirs():
    """Every file below templates/github comes to .github of a user's repository, byte for byte."""
    from mlrelease.commands.shipped import vendored_files

    shipped = vendored_files()
    for path in (path for path in THEIRS.rglob("*") if path.is_file()):
        assert shipped[f".github/{path.relative_to(THEIRS).as_posix()}"] == path.read_bytes()
