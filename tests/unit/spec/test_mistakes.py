"""One row per way to break the files: which rule, where, and whom it blocks."""

# ruff: noqa: E501 - a row of the table is one line
from __future__ import annotations

import pytest
from mlrelease.model.spec import SourceFile
from mlrelease.spec.load import load
from mlrelease.spec.rules import RULES
from support.example import DIGEST, ENV, EXAMPLE, IMAGE, MOD, SVC, URI, edited, replaced, without

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
    ("the gates are an empty list", edited((ENV, "gates:\n  - gate: exists\n  - gate: digest\n", "gates: []\n")), "no-gates", ENV, 11, 8, ""),
    ("the model's gates are an empty list", edited((MOD, "\n\nversion", "\ngates: []\n\nversion")), "no-gates", MOD, 6, 8, "wine"),
    ("the digest is that of the image", edited((MOD, DIGEST, IMAGE.split("@")[1])), "foreign-digest", MOD, 8, 9, "wine"),
    ("a value of a megabyte", edited((SVC, "replicas: 2", "env:\n  A: " + "x" * 500_000)), "too-large", SVC, 9, 6, "wine"),
    ("a file of a hundred thousand values", replaced(SVC, EXAMPLE[SVC] + b"env: [" + b"a, " * 100_000 + b"]\n"), "too-large", SVC, 11, 14962, "wine"),
    ("a file over the limit of reading", without(SVC) | {SVC: SourceFile(b"", "too large")}, "too-large", SVC, 0, 0, "wine"),
    ("a directive", edited((SVC, "schema: 1", "%TAG ! tag:x,1:\n---\nschema: 1")), "yaml-feature", SVC, 3, 1, "wine"),
    ("a number of a hundred thousand sexagesimal digits", edited((SVC, "replicas: 2", "replicas: 1" + ":59" * 3_000)), "wrong-type", SVC, 8, 11, "wine"),
    ("an alias that MLflow keeps", edited((ENV, "alias: production", "alias: latest")), "bad-value", ENV, 6, 8, ""),
    ("an alias that looks like a version", edited((ENV, "alias: production", "alias: v8")), "bad-value", ENV, 6, 8, ""),
    ("a state folder with a broken reference", edited((ENV, "  listen", "  state_dir: ${\n  listen")), "bad-value", ENV, 9, 14, ""),
    ("a service file among the models", edited(**{"environments/production/models/serve.yaml": EXAMPLE[SVC]}), "wrong-place", "environments/production/models/serve.yaml", 6, 1, "wine"),
    ("a path that leaves its folder", edited(**{"environments/../etc/passwd": b""}), "wrong-place", "environments/../etc/passwd", 0, 0, ""),
    ("a path with an empty part", edited(**{"environments//x/environment.yaml": b""}), "wrong-place", "environments//x/environment.yaml", 0, 0, ""),
    ("a linked environment", edited() | {"environments/staging": SourceFile(b"", "symlink")}, "symlink", "environments/staging", 0, 0, ""),
    ("a literal password of a variable", edited((SVC, "replicas: 2", "env:\n  DB_PASSWORD: hunter2")), "literal-secret", SVC, 9, 16, "wine"),
    ("a secret as the default of a reference", edited((SVC, "replicas: 2", "env:\n  API_KEY: ${API_KEY:-hunter2}")), "literal-secret", SVC, 9, 12, "wine"),
    ("a bearer token in a comment", edited((SVC, "# One", "# Authorization: Bearer hunter2hunter2hunter2\n# One")), "literal-secret", SVC, 1, 18, "wine"),
    ("a gate is listed twice", edited((ENV, "- gate: exists", "- gate: exists\n  - gate: exists")), "gate-twice", ENV, 12, 3, ""),
    ("a waiver for a gate that has none", edited((MOD, "service: wine", "waivers: [{gate: digest, version: '1', reason: r, approver: a, expires: '2026-12-31'}]\nservice: wine")), "not-waivable", MOD, 4, 18, "wine"),
    ("an environment has no file", without(ENV), "missing-environment-file", ENV, 0, 0, ""),
    ("an environment has no services", without(SVC, MOD), "empty-environment", "environments/production/services", 0, 0, ""),
    ("a soak without a source", edited((ENV, "alias:", "soak: 24h\nalias:")), "idle-soak", ENV, 6, 7, ""),
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


def test_every_rule_has_a_case():
    """No rule is without a test that breaks it."""
    pairs = {"alias-conflict", "listen-conflict", "same-name", "too-many"}  # below: such a finding never comes alone
    online = {"undeclared", "variable-unset"}  # tests/unit/plan/test_undeclared.py, and below
    assert {case[2] for case in VALUE_CASES} | pairs | online == set(RULES)
