"""One environment's folder: which file is what, what is none, and whom the findings of each block."""

from __future__ import annotations

import pytest
from mlrelease.model.finding import Finding
from mlrelease.model.spec import SourceFile
from mlrelease.spec.folder import FORMS, Folder, linked, outside, stray
from support.example import ENV, EXAMPLE, MOD, SVC

BASE = "environments/production"


def folder(**files):
    """A folder with these files below it; bytes, or the word for why there are none."""
    found = Folder("production")
    for path, data in files.items():
        found.add(f"{BASE}/{path}", SourceFile(data) if isinstance(data, bytes) else SourceFile(b"", data))
    return found


def wrong_place(path, fix="move it out of environments/, or to the path named"):
    name = path.rpartition("/")[2]
    message = "the file is none of the three kinds"
    return Finding(path, 0, 0, "wrong-place", message, found=name, expected=FORMS, fix=fix, environment="production")


def test_each_kind_is_found_by_its_path():
    """A path of ours leads back to the file that it was found by."""
    found = folder(**{"environment.yaml": EXAMPLE[ENV], "services/wine.yaml": EXAMPLE[SVC], "models/wine.yaml": EXAMPLE[MOD]})
    assert found.findings == []
    assert (found.has_file, found.environment.document.environment) == (True, "production")
    assert (list(found.services), list(found.models)) == (["wine"], ["wine"])
    assert (found.path, found.service_path("wine"), found.model_path("wine")) == (ENV, SVC, MOD)


@pytest.mark.parametrize(
    "path",
    [
        "services/README.md",
        "models/.gitkeep",
        "README.md",
        "deep/er/.gitkeep",
    ],
)
def test_an_explanation_may_lie_anywhere(path):
    """It can be taken for no pin."""
    found = folder(**{path: b"hello"})
    assert (found.findings, found.services, found.models, found.has_file) == ([], {}, {}, False)


@pytest.mark.parametrize(
    ("path", "fix"),
    [
        ("wine.yaml", ""),
        ("services/wine.json", ""),
        ("services/wine", ""),
        ("services/.yaml", ""),
        ("models/.yaml", ""),
        ("services/deep/wine.yaml", ""),
        ("models/deep/wine.yaml", ""),
        ("gates/wine.yaml", ""),
        ("services/environment.yml", "rename it to environment.yaml"),
        ("environment.yml", "rename it to environment.yaml"),
        ("services/wine.yml", "rename it to wine.yaml"),
        ("models/a.b.yml", "rename it to a.b.yaml"),
        ("services/wine.YAML", ""),
        ("models/wine.yaml.bak", ""),
        ("models/wine.yaml~", ""),
        ("services/README.md.yml", "rename it to README.md.yaml"),
    ],
)
def test_everything_else_is_in_no_place(path, fix):
    """What nobody reads would be a pin that somebody trusts; the ending that people forget has its own way out."""
    expected = wrong_place(f"{BASE}/{path}", **({"fix": fix} if fix else {}))
    assert folder(**{path: EXAMPLE[SVC]}).findings == [expected]


@pytest.mark.parametrize(
    ("problem", "rule", "message", "found", "expected"),
    [
        ("symlink", "symlink", "the file is a link", "", "a regular file"),
        ("too large", "too-large", "the file is too large", "", "at most 1 MiB"),
        ("submodule", "unreadable", "the file cannot be read", "submodule", "a regular file"),
        ("a pipe", "unreadable", "the file cannot be read", "a pipe", "a regular file"),
        ("missing from this clone", "unreadable", "the file cannot be read", "missing from this clone", "a regular file"),
    ],
)
@pytest.mark.parametrize(
    ("path", "service"),
    [("environment.yaml", ""), ("services/wine.yaml", "wine"), ("models/wine.yaml", "")],
    ids=["environment", "service", "model"],
)
def test_what_cannot_be_read_blocks_what_it_is(path, service, problem, rule, message, found, expected):
    """A service file blocks its service; of a model nobody knows whose it is. It is there all the same: not to be pruned."""
    it = folder(**{path: problem})
    (finding,) = it.findings
    assert (finding.path, finding.rule, finding.message) == (f"{BASE}/{path}", rule, message)
    assert (finding.found, finding.expected) == (found, expected)
    assert (finding.environment, finding.service, finding.line) == ("production", service, 0)
    assert it.has_file is (path == "environment.yaml")
    assert it.environment is None
    assert it.services == ({"wine": None} if service else {})
    assert it.models == ({"wine": None} if path.startswith("models") else {})
    it.report_models()
    assert it.findings == [finding]


@pytest.mark.parametrize("path", ["notes", "services/deep/link", "README.md", "models"])
def test_a_link_anywhere_else_is_a_link_and_not_a_wrong_place(path):
    """Also one by the name of an explanation: what it points at may be anything. Other trouble with such names is none."""
    (finding,) = folder(**{path: "symlink"}).findings
    assert (finding.rule, finding.path, finding.environment) == ("symlink", f"{BASE}/{path}", "production")
    assert [f.rule for f in folder(**{path: "unreadable"}).findings] == ([] if path == "README.md" else ["wrong-place"])


@pytest.mark.parametrize(
    ("model", "services", "owner"),
    [
        (EXAMPLE[MOD], {"wine": EXAMPLE[SVC]}, "wine"),
        (EXAMPLE[MOD], {"wine": "symlink"}, "wine"),
        (EXAMPLE[MOD], {"beer": EXAMPLE[SVC]}, ""),
        (EXAMPLE[MOD], {}, ""),
        (EXAMPLE[MOD].replace(b'"1"', b"1"), {"wine": EXAMPLE[SVC]}, "wine"),
        (EXAMPLE[MOD] + b"x: [\n", {"wine": EXAMPLE[SVC]}, "wine"),
        (EXAMPLE[MOD].replace(b"service: wine", b"service: 'wine'  # ours\r") + b"x: [\n", {"wine": EXAMPLE[SVC]}, "wine"),
        (EXAMPLE[MOD].replace(b"service: wine", b"  service: wine") + b"x: [\n", {"wine": EXAMPLE[SVC]}, ""),
        (EXAMPLE[MOD].replace(b"service: wine", b"# service: wine") + b"x: [\n", {"wine": EXAMPLE[SVC]}, ""),
        (EXAMPLE[MOD].replace(b"service: wine", b"service: 7"), {"7": EXAMPLE[SVC]}, ""),
        (b"", {"wine": EXAMPLE[SVC]}, ""),
        ("symlink", {"wine": EXAMPLE[SVC]}, ""),
    ],
    ids=[
        "it names one that has a file", "whose file is a link", "whose file is another's", "and there is none",
        "a value of it is wrong", "it is no YAML", "no YAML, quoted, with a comment and a Windows line end",
        "no YAML, and the line is another key's", "no YAML, and the line is a comment", "the name is a number", "it is empty",
        "it is a link",
    ],
)  # fmt: skip
def test_a_model_s_findings_block_the_service_that_it_names(model, services, owner):
    """If that has a file; else the environment, for it may be meant for any of them."""
    it = folder(**{f"services/{name}.yaml": data for name, data in services.items()}, **{"models/wine.yaml": model})
    assert it.owner("wine") == owner
    assert it.owner("nothing") == ""
    it.report_models()
    assert {f.service for f in it.findings if "/models/" in f.path} <= {owner}


@pytest.mark.parametrize(
    ("version", "command"),
    [
        (b'"7"', "mlrelease bump production wine --to 7    # resolves and writes the digest"),
        (b'"latest"', "mlrelease bump production wine --to VERSION    # resolves and writes the digest"),
        (b"7", "mlrelease bump production wine --to VERSION    # resolves and writes the digest"),
    ],
    ids=["exact", "not exact", "unquoted"],
)
def test_the_way_out_names_the_version_that_the_file_pins(version, command):
    """Where that is one: the command can be run as it stands."""
    data = EXAMPLE[MOD].replace(b'"1"', version).replace(b"digest: sha256:", b"digest: md5:")
    it = folder(**{"services/wine.yaml": EXAMPLE[SVC], "models/wine.yaml": data})
    it.report_models()
    assert [f.fix for f in it.findings if f.rule == "pin-digest"] == [command]


@pytest.mark.parametrize(
    ("kind", "stem", "inside", "rules"),
    [
        ("services", "My_Svc", b"service: My_Svc", ["bad-name"]),
        ("services", "My_Svc", b"service: wine", ["name-mismatch", "bad-name"]),
        ("services", "-x", b"service: -x", ["bad-name"]),
        ("models", "_x", b"model: _x", ["bad-name"]),
        ("models", "_x", b"model: wine", ["name-mismatch", "bad-name"]),
        ("models", "My_Model", b"model: My_Model", []),
    ],
)
def test_a_name_that_cannot_be_used_is_said_once(kind, stem, inside, rules):
    """Inside with its line; of the file itself only where the inside does not say it."""
    example, old = (EXAMPLE[SVC], b"service: wine") if kind == "services" else (EXAMPLE[MOD], b"model: wine")
    it = folder(**{f"{kind}/{stem}.yaml": example.replace(old, inside)})
    it.report_models()
    assert [f.rule for f in it.findings] == rules
    if "name-mismatch" in rules:
        assert (it.findings[-1].line, it.findings[-1].found) == (0, stem)
        assert it.findings[-1].message == "the name of the file or folder cannot be used"


def test_a_folder_whose_name_cannot_be_used_is_said_at_its_file():
    """All of the environment's commands take that name."""
    it = Folder("Prod")
    it.add("environments/Prod/environment.yaml", SourceFile(EXAMPLE[ENV]))
    found = [(f.rule, f.found, f.expected, f.path) for f in it.findings]
    expected = "lower-case letters, digits and -, at most 63, no - first"
    assert found == [
        ("name-mismatch", "production", "environment: Prod", "environments/Prod/environment.yaml"),
        ("bad-name", "Prod", expected, "environments/Prod/environment.yaml"),
    ]


def test_what_lies_outside_of_every_folder_blocks_everything():
    """No environment can be named for it."""
    for finding in (stray("environments/all.yaml"), linked("environments/staging"), outside("environments/../x")):
        assert (finding.environment, finding.service) == ("", "")
    assert linked("environments/staging").message == "the file is a link"
    assert (outside("environments/../x").message, outside("environments/../x").found) == ("the path leaves its folder", "..")
