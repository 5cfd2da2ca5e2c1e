"""What loads: a typed spec, what is left out of it, and how findings are cut and shown."""

from __future__ import annotations

import dataclasses
import json

import pytest
from mlrelease.model.gate import GateSpec, Waiver
from mlrelease.model.spec import SourceFile, State
from mlrelease.spec.load import load
from support.example import DIGEST, ENV, EXAMPLE, IMAGE, MOD, SVC, URI, edited, replaced, second, without


def test_hundreds_of_findings_in_one_file_are_cut():
    """The first hundred by place, and how many more; the service is blocked all the same."""
    spec = load(replaced(SVC, EXAMPLE[SVC] + b"a: *b\n" * 300))
    found = spec.findings
    assert [f.rule for f in found].count("too-many") == 1
    assert (len(found), next(f.found for f in found if f.rule == "too-many")) == (101, "500 more")
    assert max(f.line for f in found) < 70
    assert spec.environments["production"].invalid == {"wine"}


def test_a_secret_in_a_file_that_is_no_yaml_is_found():
    """Nor is it shown."""
    found = load(replaced(SVC, b"-----BEGIN RSA PRIVATE KEY-----\nhunter2\n: [\n")).findings
    assert {(f.rule, f.line) for f in found} == {("literal-secret", 1), ("yaml-syntax", 3)}
    assert "hunter2" not in repr(found)


def test_two_secrets_on_one_line_are_one_finding():
    """A finding a line is enough to find both."""
    line = "env: {A_TOKEN: hunter2, B_TOKEN: hunter2, C: 'Bearer hunter2hunter2hunter2'}"
    found = load(edited((SVC, "replicas: 2", line))).findings
    assert [(f.rule, f.line) for f in found] == [("literal-secret", 8)] * 2
    assert "hunter2" not in repr(found)


def test_a_neighbour_of_the_pin_is_named_by_its_key_only():
    """What stands next to a pin may be a line of a secret."""
    text = EXAMPLE[SVC].replace(b"\n\nimage", b"\nenv:\n  A: |\n    hunter2\nimage")
    (finding,) = [f for f in load(replaced(SVC, text)).findings if f.rule == "pin-adjacent"]
    assert finding.found == "a line"


def test_the_models_of_a_thousand_services_are_theirs():
    """Each service has its own models, whatever their number."""
    files = {ENV: SourceFile(EXAMPLE[ENV])}
    for n in range(1000):
        name = f"s{n}".encode()
        files[SVC.replace("wine", f"s{n}")] = SourceFile(EXAMPLE[SVC].replace(b": wine", b": " + name))
        files[MOD.replace("wine", f"s{n}")] = SourceFile(EXAMPLE[MOD].replace(b": wine", b": " + name))
    spec = load(files)
    assert spec.findings == ()
    assert all([m.name for m in s.models] == [name] for name, s in spec.environments["production"].services.items())
    assert len(spec.environments["production"].services) == 1000


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
            "schema: 1\nservice: wine  #": "schema: 1\ngolden: {rtol: 1e-3}\ngates: [{gate: exists}]\nwaivers:"
            " [{gate: metric, metric: rmse, version: '8', reason: r, approver: ada, expires: '2026-12-31'}]\nservice: wine  #",
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
    promoted_from = GateSpec("promoted_from", {"environment": "production", "soak_s": 604800.0, "target": "local"})
    assert service.models[0].gates == (GateSpec("exists"), GateSpec("digest"), promoted_from)
    assert service.models[0].waivers == (Waiver("metric", "8", "r", "ada", "2026-12-31", "rmse"),)


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
    files = edited((SVC, "replicas: 2", "env:\n  A: 987654321\n  B: TODO-secret\n  C: ${secret\n  D: {inner: secret}"))
    found = load(files).findings
    assert len(found) == 4
    assert "secret" not in repr(found)
    assert "987654321" not in repr(found)


def test_findings_are_plain_data():
    """A finding has nothing in it that JSON cannot hold."""
    found = load(edited((SVC, "replicas: 2", "replicas: [1]"))).findings
    assert json.loads(json.dumps([dataclasses.asdict(f) for f in found]))[0]["found"] == "a list"


@pytest.mark.parametrize(
    ("path", "rule"),
    [
        ("environments/production/../x.yaml", "wrong-place"),
        ("environments/./production/x.yaml", "wrong-place"),
        ("environments/..", "wrong-place"),
        ("environments//environment.yaml", "wrong-place"),
        ("environments/production/", "wrong-place"),
        ("environments/.hidden/environment.yaml", "bad-name"),
        ("environments/a..b/environment.yaml", "bad-name"),
        ("environments/.gitkeep", None),
        ("environments", None),
        ("environments.yaml", None),
        ("Environments/production/x.yaml", None),
        ("x/environments/production/x.yaml", None),
    ],
)
def test_a_path_is_taken_at_its_word(path, rule):
    """What leaves its folder is named, and nothing is read from there; what only looks so is a name."""
    spec = load(edited(**{path: EXAMPLE[ENV]}))
    assert {f.rule for f in spec.findings if f.path == path} >= ({rule} if rule else set())
    assert bool(spec.findings) is (rule is not None)


@pytest.mark.parametrize("problem", ["symlink", "too large", "unreadable"])
def test_environments_itself_may_be_no_folder(problem):
    """A link, or a file in its place, is said; there is no environment then."""
    spec = load({"environments": SourceFile(b"", problem)})
    expected = "symlink" if problem == "symlink" else "wrong-place"
    assert sorted((f.rule, f.path) for f in spec.findings) == sorted(
        [("no-environments", "environments"), (expected, "environments")]
    )
    assert spec.environments == {}


def test_the_order_of_the_files_does_not_matter():
    """Neither for the findings nor for what is planned: a disk lists as it likes."""
    broken = second(**{":8081": ":8080", "alias: staging": "alias: production", "replicas: 2": "replicas: 0"})
    for files in (edited(), second(), broken):
        assert load(dict(reversed(files.items()))) == load(files)
    assert list(load(broken).findings) == sorted(load(broken).findings)


def test_services_models_and_variables_come_in_the_order_of_their_names():
    """A bundle is the same whatever order its files have."""
    models = {
        f"environments/production/models/{n}.yaml": EXAMPLE[MOD].replace(b"model: wine", f"model: {n}".encode()) for n in "zaM"
    }
    files = edited((SVC, "replicas: 2", "env: {Z: z, A: a}\nruntime: {python: /opt/bin/python}"), **models)
    service = load(files).environments["production"].services["wine"]
    assert [model.name for model in service.models] == ["M", "a", "wine", "z"]
    assert service.env == (("A", "a"), ("Z", "z"))
    assert service.python == "/opt/bin/python"
