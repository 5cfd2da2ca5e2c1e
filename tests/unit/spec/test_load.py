"""One row per way to break the files: which rule, where, and whom it blocks."""

# ruff: noqa: E501 - a row of the table is one line
from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
from mlrelease.model.gate import GateSpec
from mlrelease.model.spec import SourceFile, State
from mlrelease.spec.load import load
from mlrelease.spec.rules import RULES

ROOT = Path(__file__).parents[3]
ENV = "environments/production/environment.yaml"
SVC = "environments/production/services/wine.yaml"
MOD = "environments/production/models/wine.yaml"
EXAMPLE = {p.relative_to(ROOT).as_posix(): p.read_bytes() for p in (ROOT / "environments").rglob("*.yaml")}
IMAGE = EXAMPLE[SVC].split(b"image: ")[1].split(b"\n")[0].decode()
DIGEST = EXAMPLE[MOD].split(b"digest: ")[1].split(b"\n")[0].decode()
URI = "${MLFLOW_TRACKING_URI:-http://127.0.0.1:5000}"


def edited(*edits: tuple[str, str, str], **added: bytes) -> dict[str, SourceFile]:
    """The example with text replaced, each replacement being there exactly as named."""
    files = dict(EXAMPLE)
    for path, old, new in edits:
        assert old.encode() in files[path], old
        files[path] = files[path].replace(old.encode(), new.encode(), 1)
    return {path: SourceFile(data) for path, data in (files | added).items()}


def replaced(path: str, data: bytes) -> dict[str, SourceFile]:
    return {p: SourceFile(d) for p, d in (EXAMPLE | {path: data}).items()}


def without(*paths: str) -> dict[str, SourceFile]:
    return {p: SourceFile(d) for p, d in EXAMPLE.items() if p not in paths}


def second(name: str = "staging", **changes: str) -> dict[str, SourceFile]:
    """The example and a second environment that shares nothing with it, but for the changes (old text to new)."""
    files = {p: SourceFile(d) for p, d in EXAMPLE.items()}
    for path, data in EXAMPLE.items():
        text = data.decode().replace("production", name).replace(":8080", ":8081")
        for old, new in changes.items():
            text = text.replace(old, new)
        files[path.replace("production", name)] = SourceFile(text.encode())
    return files


VALUE_CASES = [
    # (what is done, files, rule, path, line, column, service)
    ("a key is misspelt", edited((SVC, "replicas: 2", "replica: 2")), "unknown-key", SVC, 8, 1, "wine"),
    ("a nested key is unknown", edited((ENV, "  listen", "  port: 1\n  listen")), "unknown-key", ENV, 9, 3, ""),
    ("a gate has an option it does not know", edited((ENV, "- gate: exists", "- gate: exists\n    max: 5")), "unknown-key", ENV, 13, 5, ""),
    ("a key is given twice", edited((SVC, "replicas: 2", "replicas: 2\nreplicas: 2")), "duplicate-key", SVC, 9, 1, "wine"),
    ("a nested key is given twice", edited((ENV, "  kind: local", "  kind: local\n  kind: local")), "duplicate-key", ENV, 9, 3, ""),
    ("a key is missing", edited((MOD, "digest: " + DIGEST, "# none")), "missing-key", MOD, 3, 1, "wine"),
    ("a nested key is missing", edited((ENV, "  kind: local\n", "")), "missing-key", ENV, 8, 3, ""),
    ("a key has no value", edited((SVC, "replicas: 2", "replicas:")), "null-value", SVC, 8, 10, "wine"),
    ("a value is written null", edited((SVC, "replicas: 2", "replicas: null")), "null-value", SVC, 8, 11, "wine"),
    ("a value is blank", edited((ENV, "alias: production", 'alias: " "')), "null-value", ENV, 6, 8, ""),
    ("the file is empty", replaced(MOD, b""), "null-value", MOD, 1, 1, ""),
    ("the file holds comments only", replaced(SVC, b"# nothing\n"), "null-value", SVC, 1, 1, "wine"),
    ("the file is a list", replaced(SVC, b"- a\n"), "wrong-type", SVC, 1, 1, "wine"),
    ("a number is quoted", edited((SVC, "replicas: 2", 'replicas: "2"')), "wrong-type", SVC, 8, 11, "wine"),
    ("a whole number has a point", edited((SVC, "replicas: 2", "replicas: 2.0")), "wrong-type", SVC, 8, 11, "wine"),
    ("a truth stands for a number", edited((SVC, "replicas: 2", "replicas: yes")), "wrong-type", SVC, 8, 11, "wine"),
    ("a number that is none", edited((SVC, "replicas: 2", "replicas: 0b_")), "wrong-type", SVC, 8, 11, "wine"),
    ("a number of 5000 digits", edited((SVC, "replicas: 2", "replicas: " + "1" * 5000)), "wrong-type", SVC, 8, 11, "wine"),
    ("a name is a number", edited((MOD, "service: wine", "service: 7")), "wrong-type", MOD, 4, 10, ""),
    ("a variable is a number", edited((SVC, "replicas: 2", "env:\n  A: 1")), "wrong-type", SVC, 9, 6, "wine"),
    ("a key is a truth", edited((SVC, "replicas: 2", "env:\n  on: x")), "wrong-type", SVC, 9, 3, "wine"),
    ("a gate is a word", edited((ENV, "- gate: exists", "- exists")), "wrong-type", ENV, 12, 5, ""),
    ("a gate does not exist", edited((ENV, "- gate: exists", "- gate: accuracy\n    max: 5")), "unknown-gate", ENV, 12, 11, ""),
    ("too many replicas", edited((SVC, "replicas: 2", "replicas: 65")), "bad-value", SVC, 8, 11, "wine"),
    ("no replicas", edited((SVC, "replicas: 2", "replicas: 0")), "bad-value", SVC, 8, 11, "wine"),
    ("a duration without unit", edited((ENV, "keep_warm: 10m", 'keep_warm: "10"')), "bad-value", ENV, 10, 12, ""),
    ("a timeout of zero", edited((SVC, "  strategy: blue_green", "  timeout: 0s")), "bad-value", SVC, 10, 12, "wine"),
    ("a strategy that does not exist", edited((SVC, "blue_green", "canary")), "bad-value", SVC, 10, 13, "wine"),
    ("a tolerance of not-a-number", edited((MOD, "\n\nversion", "\ngolden: {rtol: .nan}\n\nversion")), "bad-value", MOD, 6, 16, "wine"),
    ("a port out of range", edited((ENV, "127.0.0.1:8080", "127.0.0.1:0")), "bad-value", ENV, 9, 11, ""),
    ("an address that is none", edited((ENV, "127.0.0.1:8080", "127.0.0.256:80")), "bad-value", ENV, 9, 11, ""),
    ("a variable with a strange name", edited((SVC, "replicas: 2", "env:\n  A-B: x")), "bad-value", SVC, 9, 3, "wine"),
    ("a reference that is not closed", edited((SVC, "replicas: 2", "env:\n  A: ${B")), "bad-value", SVC, 9, 6, "wine"),
    ("a placeholder version", edited((MOD, '"1"', '"<version>"')), "placeholder", MOD, 7, 10, "wine"),
    ("a digest of zeros", edited((MOD, DIGEST, "sha256:" + "0" * 64)), "placeholder", MOD, 8, 9, "wine"),
    ("a changeme", edited((ENV, "alias: production", "alias: changeme")), "placeholder", ENV, 6, 8, ""),
    ("schema is missing", edited((SVC, "schema: 1\n", "")), "schema-version", SVC, 3, 1, "wine"),
    ("schema is text", edited((SVC, "schema: 1", 'schema: "1"')), "schema-version", SVC, 3, 9, "wine"),
    ("schema is a truth", edited((SVC, "schema: 1", "schema: true")), "schema-version", SVC, 3, 9, "wine"),
    ("schema is of the future", edited((SVC, "schema: 1", "schema: 2\nnew: 1")), "schema-version", SVC, 3, 9, "wine"),
    ("the version is a bare number", edited((MOD, '"1"', "8")), "version-unquoted", MOD, 7, 10, "wine"),
    ("the version is a bare 1.10", edited((MOD, '"1"', "1.10")), "version-unquoted", MOD, 7, 10, "wine"),
    ("the version is a bare 1e5", edited((MOD, '"1"', "1e5")), "version-unquoted", MOD, 7, 10, "wine"),
    *(
        (f"the version is {text}", edited((MOD, '"1"', f'"{text}"')), "version-not-exact", MOD, 7, 10, "wine")
        for text in ("latest", "Production", "@champion", "v8", "8.0", ">=8", "08", "0", "-1", "8 ", "٨")
    ),
    *(
        (f"the digest is {text[:20]}", edited((MOD, DIGEST, text)), "pin-digest", MOD, 8, 9, "wine")
        for text in ("sha256:zz", DIGEST.upper(), DIGEST.removeprefix("sha256:"), DIGEST + "0", DIGEST.replace("256", "512"))
    ),
    *(
        (f"the image is {text[:60]}", edited((SVC, IMAGE, text)), "image-digest", SVC, 6, 8, "wine")
        for text in (
            "ghcr.io/acme/serve:1",
            "ghcr.io/acme/serve",
            "localhost:5000/serve",
            "ghcr.io/acme/serve@" + IMAGE.split("@")[1],
            "localhost:5000/serve@" + IMAGE.split("@")[1],
            "ghcr.io/acme/serve:1@sha256:abc",
            "ghcr.io/ACME/serve:1@" + IMAGE.split("@")[1],
            "https://ghcr.io/acme/serve:1@" + IMAGE.split("@")[1],
        )
    ),
    ("the pin follows a key", edited((SVC, "wine\n\n", "wine\n")), "pin-adjacent", SVC, 5, 1, "wine"),
    ("a key follows the pin", edited((SVC, "\n\nreplicas", "\nreplicas")), "pin-adjacent", SVC, 6, 1, "wine"),
    ("only comments part pin and key", edited((SVC, "\n\nreplicas", "\n# a\nreplicas")), "pin-adjacent", SVC, 6, 1, "wine"),
    ("version and digest are parted", edited((MOD, '"1"\n', '"1"\n\n')), "pin-adjacent", MOD, 9, 1, "wine"),
    ("a comment parts version and digest", edited((MOD, '"1"\n', '"1"\n# x\n')), "pin-adjacent", MOD, 9, 1, "wine"),
    ("the file is in braces", replaced(SVC, f'{{"schema": 1, "service": "wine", "image": "{IMAGE}"}}'.encode()), "pin-adjacent", SVC, 1, 34, "wine"),
    ("the service inside has another name", edited((SVC, "service: wine", "service: beer")), "name-mismatch", SVC, 4, 10, "wine"),
    ("the model inside has another name", edited((MOD, "model: wine", "model: Wine")), "name-mismatch", MOD, 5, 8, "wine"),
    ("the environment inside has another name", edited((ENV, "environment: production", "environment: prod")), "name-mismatch", ENV, 4, 14, ""),
    ("text is no YAML", edited((SVC, "replicas: 2", "replicas: [2")), "yaml-syntax", SVC, 9, 9, "wine"),
    ("a tab indents", edited((SVC, "  strategy", "\tstrategy")), "yaml-syntax", SVC, 10, 1, "wine"),
    ("a control character", edited((SVC, "# One", "# é\x07")), "yaml-syntax", SVC, 1, 4, "wine"),
    ("an alias", edited((SVC, "service: wine", "service: wine\nstate: *w")), "yaml-feature", SVC, 5, 8, "wine"),
    ("a tag", edited((MOD, 'version: "1"', "version: !!str 1")), "yaml-feature", MOD, 7, 10, "wine"),
    ("a python tag", edited((MOD, 'version: "1"', "version: !!python/object/apply:os.system [ls]")), "yaml-feature", MOD, 7, 10, "wine"),
    ("two documents", edited((SVC, "replicas: 2", "---\nreplicas: 2")), "yaml-feature", SVC, 8, 1, "wine"),
    ("latin-1", replaced(SVC, EXAMPLE[SVC].replace(b"# One", b"# \xe9")), "encoding", SVC, 1, 3, "wine"),
    ("a byte order mark", replaced(SVC, b"\xef\xbb\xbf" + EXAMPLE[SVC]), "encoding", SVC, 1, 1, "wine"),
    ("utf-16", replaced(SVC, EXAMPLE[SVC].decode().encode("utf-16")), "encoding", SVC, 1, 1, "wine"),
    ("an enormous file", replaced(SVC, EXAMPLE[SVC] + b"#" * (1 << 20)), "too-large", SVC, 0, 0, "wine"),
    ("nesting without end", replaced(SVC, b"a: " + b"[" * 100_000), "too-deep", SVC, 1, 53, "wine"),
    ("an address without scheme", edited((ENV, URI, "mlflow.example.com")), "tracking-uri", ENV, 5, 15, ""),
    ("an address that is a folder", edited((ENV, URI, "file:///srv/mlruns")), "tracking-uri", ENV, 5, 15, ""),
    ("a reference that names nothing", edited((ENV, URI, "${}")), "tracking-uri", ENV, 5, 15, ""),
    ("a default for the whole network", edited((ENV, "127.0.0.1:8080", "0.0.0.0:8080")), "tracking-uri", ENV, 5, 15, ""),
    ("a password", edited((ENV, URI, "https://ci:hunter2@h/")), "literal-secret", ENV, 5, 15, ""),
    ("a password in a default", edited((ENV, URI, "${U:-http://ci:hunter2@h}")), "literal-secret", ENV, 5, 15, ""),
    ("a password with a slash", edited((ENV, URI, "https://ci:hun/ter2@h/")), "literal-secret", ENV, 5, 15, ""),
    ("a model names no service", edited((MOD, "service: wine", "service: whine")), "unknown-service", MOD, 4, 10, ""),
    ("a service has no model", without(MOD), "service-without-models", SVC, 4, 10, "wine"),
    ("a service has an absent model only", edited((MOD, "schema: 1", "schema: 1\nstate: absent")), "service-without-models", SVC, 4, 10, "wine"),
    ("nothing is gated", edited((ENV, "gates:\n  - gate: exists\n  - gate: digest\n", "")), "no-gates", MOD, 3, 1, "wine"),
    ("the gates are an empty list", edited((ENV, "gates:\n  - gate: exists\n  - gate: digest\n", "gates: []\n")), "no-gates", MOD, 3, 1, "wine"),
    ("an environment has no file", without(ENV), "missing-environment-file", ENV, 0, 0, ""),
    ("an environment has no services", without(SVC, MOD), "empty-environment", "environments/production/services", 0, 0, ""),
    ("promotion from itself", edited((ENV, "alias:", "promotes_from: production\nalias:")), "unknown-environment", ENV, 6, 16, ""),
    ("a link", without(SVC) | {SVC: SourceFile(b"", "symlink")}, "symlink", SVC, 0, 0, "wine"),
    ("a link instead of a model", without(MOD) | {MOD: SourceFile(b"", "symlink")}, "symlink", MOD, 0, 0, ""),
    ("a file without permission", without(SVC) | {SVC: SourceFile(b"", "permission denied")}, "unreadable", SVC, 0, 0, "wine"),
    ("a file in no place", edited(**{"environments/production/wine.yaml": b""}), "wrong-place", "environments/production/wine.yaml", 0, 0, ""),
    ("a file above the environments", edited(**{"environments/all.yaml": b""}), "wrong-place", "environments/all.yaml", 0, 0, ""),
    ("no environments", {"README.md": SourceFile(b"x")}, "no-environments", "environments", 0, 0, ""),
    ("a service with a strange name", edited(**{"environments/production/services/My_Svc.yaml": EXAMPLE[SVC].replace(b": wine", b": My_Svc")}), "bad-name", "environments/production/services/My_Svc.yaml", 4, 10, "My_Svc"),
]  # fmt: skip


@pytest.mark.parametrize(("files", "rule", "blocked"), [(*c[1:3], c[3:]) for c in VALUE_CASES], ids=[c[0] for c in VALUE_CASES])
def test_one_mistake_is_one_finding(files, rule, blocked):
    """One mistake gives exactly one finding of its rule, at its place, that blocks what it must and no more."""
    found = load(files).findings
    (finding,) = [f for f in found if f.rule == rule]
    assert (finding.path, finding.line, finding.column, finding.service) == blocked
    assert finding.message
    assert finding.fix
    assert len(finding.found) <= 60
    assert "hunter2" not in repr(found)
    assert "ter2" not in repr(found)


@pytest.mark.parametrize(("files", "rule"), [c[1:3] for c in VALUE_CASES], ids=[c[0] for c in VALUE_CASES])
def test_one_mistake_has_no_echo(files, rule):
    """A mistake is not reported a second time under another rule, nor as a consequence of itself."""
    assert {f.rule for f in load(files).findings} == {rule}


def test_colliding_environments_are_both_named():
    """Equal listen and equal alias are findings at each of the two environments."""
    files = second(**{":8081": ":8080", "alias: staging": "alias: production"})
    found = [(f.rule, f.environment, f.service) for f in load(files).findings]
    assert sorted(found) == [(r, e, "") for r in ("alias-conflict", "listen-conflict") for e in ("production", "staging")]
    assert load(files).environments == {}


def test_localhost_is_the_loopback_address():
    """Two spellings of one listener collide as well."""
    assert {f.rule for f in load(second(**{"127.0.0.1:8081": "localhost:8080"})).findings} == {"listen-conflict"}


def test_an_absent_environment_collides_with_none():
    """Nor does it need services: it is on its way out."""
    files = second(**{":8081": ":8080", "alias: staging": "alias: production\nstate: absent"})
    assert load(files).findings == ()
    files = {p: f for p, f in files.items() if not p.startswith(("environments/staging/s", "environments/staging/m"))}
    assert load(files).findings == ()


def test_every_rule_has_a_case():
    """No rule is without a test that breaks it."""
    assert {case[2] for case in VALUE_CASES} | {"alias-conflict", "listen-conflict"} == set(RULES)


def test_example_is_typed():
    """The example loads without findings into exactly what it says."""
    spec = load(edited())
    assert spec.findings == ()
    environment = spec.environments["production"]
    service = environment.services["wine"]
    assert (environment.keep_warm_s, environment.alias, environment.target.listen) == (600.0, "production", "127.0.0.1:8080")
    assert (service.replicas, service.image.reference, service.timeout_s) == (2, IMAGE, 60.0)
    assert service.models[0].pin == service.bundle.models[0]
    assert (service.models[0].pin.version, service.models[0].pin.digest) == ("1", DIGEST)
    assert service.models[0].gates == (GateSpec("exists"), GateSpec("digest"))


def test_all_optional_keys_are_read():
    """Each optional key arrives in the spec."""
    files = second(
        **{
            "keep_warm: 10m": "keep_warm: 2h\nsoak: 7d\npromotes_from: production\napproval: required\nstate: absent",
            "  listen": "  state_dir: /srv/x\n  listen",
            "replicas: 2": "replicas: 3\nenv:\n  EMPTY: ''\n  URL: ${A:-b}\nstate: absent",
            "  strategy: blue_green": "  timeout: 90s",
            "schema: 1\nservice: wine  #": "schema: 1\ngolden: {rtol: 1e-3}\ngates: [{gate: exists}]\nservice: wine  #",
        }
    )
    spec = load(files)
    assert spec.findings == ()
    environment = spec.environments["staging"]
    service = environment.services["wine"]
    assert (environment.soak_s, environment.keep_warm_s, environment.approval_required) == (604800.0, 7200.0, True)
    assert (environment.promotes_from, environment.state, environment.target.state_dir) == (
        "production",
        State.ABSENT,
        "/srv/x",
    )
    assert (service.replicas, service.timeout_s, service.state) == (3, 90.0, State.ABSENT)
    assert service.env == (("EMPTY", ""), ("URL", "${A:-b}"))
    assert service.models[0].golden_rtol == 1e-3
    assert service.models[0].gates == (GateSpec("exists"), GateSpec("digest"))


def test_a_finding_blocks_its_own_service_only():
    """A broken service leaves the others of its environment in place."""
    files = edited((SVC, "replicas: 2", "replicas: 0"))
    other = EXAMPLE[SVC].replace(b": wine", b": beer"), EXAMPLE[MOD].replace(b": wine", b": beer")
    files |= {p.replace("wine", "beer"): SourceFile(d) for p, d in zip((SVC, MOD), other, strict=True)}
    environment = load(files).environments["production"]
    assert set(environment.services) == {"beer"}
    assert environment.invalid == {"wine"}
    assert load(files).blocking("production") == ()


@pytest.mark.parametrize(
    "files",
    [edited((MOD, "service: wine", "service: whine")), without(MOD) | {MOD: SourceFile(b"", "symlink")}, replaced(MOD, b"[")],
    ids=["names no service", "is a link", "is no YAML and names nothing"],
)
def test_a_model_of_unknown_service_blocks_the_environment(files):
    """Else the service it is meant for would be rolled out without it."""
    assert load(files).blocking("production")


def test_a_broken_model_file_still_says_its_service():
    """Not even YAML, the file's own line says which service is blocked."""
    files = edited((MOD, 'version: "1"', "version: ["))
    assert [(f.rule, f.service) for f in load(files).findings] == [("yaml-syntax", "wine")]


def test_a_service_with_a_finding_about_its_layout_is_left_out():
    """Also where every value could be read."""
    environment = load(edited((SVC, "\n\nreplicas", "\nreplicas"))).environments["production"]
    assert (dict(environment.services), environment.invalid) == ({}, {"wine"})


def test_an_absent_model_is_not_part_of_its_service():
    """The service goes on with its other models."""
    absent = EXAMPLE[MOD].replace(b"model: wine", b"model: beer").replace(b"schema: 1", b"schema: 1\nstate: absent")
    spec = load(edited(**{MOD.replace("wine", "beer"): absent}))
    assert spec.findings == ()
    assert [m.name for m in spec.environments["production"].services["wine"].models] == ["wine"]


def test_a_command_never_quotes_a_strange_name():
    """A name that is no word of a command is replaced in what the user is asked to type."""
    bad = EXAMPLE[MOD].replace(DIGEST.encode(), b"sha256:zz")
    found = load(edited(**{"environments/production/models/a; b.yaml": bad})).findings
    (fix,) = {f.fix for f in found if f.rule == "pin-digest"}
    assert fix.startswith("mlrelease bump production NAME --to 1 ")


def test_an_environment_with_a_bad_file_is_left_out():
    """Nothing can be planned for an environment whose policy cannot be read."""
    spec = load(edited((ENV, "  kind: local", "  kind: mainframe")))
    assert spec.environments == {}
    assert spec.blocking("production")


@pytest.mark.parametrize(
    "uri", ["http://h:5000/a", "https://h", "${URI}", "https://${U}:${P}@h/x", "sqlite:///m.db", "https://h:5000/a@b"]
)
def test_usable_tracking_addresses(uri):
    """Addresses and references pass, references as userinfo too."""
    assert load(edited((ENV, URI, uri))).findings == ()


@pytest.mark.parametrize(
    "name", ["README.md", "production/README.md", "production/models/.gitkeep"], ids=["above", "beside", "below"]
)
def test_harmless_files_are_let_be(name):
    """A README or a .gitkeep cannot be mistaken for a pin."""
    assert load(edited(**{f"environments/{name}": b"x"})).findings == ()


def test_files_elsewhere_are_ignored():
    """Only `environments/` is read."""
    assert load(edited(**{"docs/environment.yaml": b"["})).findings == ()


@pytest.mark.parametrize("comment", ["\n# why\nversion", "\n# why\n# more\nversion"], ids=["one line", "two lines"])
def test_comments_belong_to_the_pin(comment):
    """Comment lines may stand directly above a pin."""
    assert load(edited((MOD, "\nversion", comment))).findings == ()


def test_crlf_files_are_fine():
    """Windows line ends change neither findings nor values."""
    files = {path: SourceFile(data.replace(b"\n", b"\r\n")) for path, data in EXAMPLE.items()}
    assert load(files) == load(edited())


def test_control_characters_are_escaped():
    """What a file holds cannot reach the terminal as a command."""
    (finding,) = load(edited((MOD, '"1"', '"\\e[31m\\u202e\\n8"'))).findings
    assert finding.found == "\\x1b[31m\\u202e\\n8"


def test_variables_are_never_shown():
    """The value of a variable may be a secret, whatever is wrong with it."""
    files = edited((SVC, "replicas: 2", "env:\n  A: 987654321\n  B: TODO-secret\n  C: ${secret\n  D: {secret: secret}"))
    found = load(files).findings
    assert len(found) == 4
    assert "secret" not in repr(found)
    assert "987654321" not in repr(found)


def test_findings_are_plain_data():
    """A finding has nothing in it that JSON cannot hold."""
    found = load(edited((SVC, "replicas: 2", "replicas: [1]"))).findings
    assert json.loads(json.dumps([dataclasses.asdict(f) for f in found]))[0]["found"] == "a list"
