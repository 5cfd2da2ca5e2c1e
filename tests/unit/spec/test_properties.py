"""What holds for any input: the loader never raises, an edit changes one token, an edited pin is the pin that loads.

Bounded in number, new ones each run: what fails once is printed with the lines that make it fail again.
"""

from __future__ import annotations

from pathlib import Path

from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from mlrelease.errors import Error
from mlrelease.model.spec import SourceFile
from mlrelease.render import findings
from mlrelease.spec import layout
from mlrelease.spec.check import MAX_DEFECTS, PINS
from mlrelease.spec.documents import ModelFile
from mlrelease.spec.edit import set_image, set_model_pin, set_scalar
from mlrelease.spec.load import load
from mlrelease.spec.rules import RULES
from mlrelease.spec.tree import Node, Opaque, parse

ROOT = Path(__file__).parents[3]
EXAMPLE = {p.relative_to(ROOT).as_posix(): p.read_bytes() for p in sorted((ROOT / "environments").rglob("*.yaml"))}
MODEL = "environments/production/models/wine.yaml"
SERVICE = "environments/production/services/wine.yaml"
SECRET = "hunter2hunter2hunter2"

PIECES = st.sampled_from(
    (
        b"&a |*a|!!x |<<: |? |- |[|{|}|>\n|\t|\r|\x00|\xff|\xef\xbb\xbf|0b_|.nan|2020-99-99|'|\"|---\n|...\n|"
        b"%YAML 9.9\n|\xe2\x80\xa8|${|<x>|: |\n\n|#|version: |gates: []\n|" + b"1" * 5000
    ).split(b"|")
)
KEYS = st.sampled_from(
    [
        "schema",
        "environment",
        "service",
        "model",
        "version",
        "digest",
        "image",
        "tracking_uri",
        "alias",
        "target",
        "kind",
        "listen",
        "state_dir",
        "keep_warm",
        "soak",
        "promotes_from",
        "approval",
        "gates",
        "gate",
        "metric",
        "max",
        "waivers",
        "golden",
        "rtol",
        "state",
        "replicas",
        "delivery",
        "strategy",
        "timeout",
        "env",
        "runtime",
    ]
)
SCALARS = st.one_of(
    st.sampled_from(
        ["1", '"8"', "8", "1.10", "~", '""', "yes", "'it''s'", "latest", "${A}", "${A:-b}", "${", "TODO", "<x>", "1e-6", "0x1F",
         "2026-11-21", "sha256:" + "ab" * 32, "r.io/a:1@sha256:" + "cd" * 32, "http://h:1", "127.0.0.1:80", "10m", '"\\u202e"',
         "|\n    text", ">\n    text\n    more", "[a, b]", "{a: b}", "é", "😀", "a # no comment", "*a", "&a b", "!!str x", "[]"]
    ),
    st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=12),
)  # fmt: skip
ENDS = st.sampled_from(["\n", "\r\n", "\n\n", "  # why\n", "\n# é\n", " \n"])
INDENTS = st.sampled_from(["", "  ", "  - ", "- ", "    "])
many = settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@st.composite
def documents(draw) -> bytes:
    """A text that looks like one of ours: our keys, any values, comments, line ends, quoting and indentation of any kind."""
    lines = draw(st.lists(st.tuples(INDENTS, KEYS, SCALARS, ENDS), max_size=12))
    text = "".join(f"{indent}{key}: {value}{end}" for indent, key, value, end in lines)
    if draw(st.booleans()):
        text = text.removesuffix("\n")
    return (draw(st.sampled_from(["", "schema: 1\n", "---\n", "# a\n", "\ufeff"])) + text).encode()


@st.composite
def mutated(draw, data: bytes) -> bytes:
    """The text after a few accidents: bytes flipped, put in, taken out; lines lost, doubled or swapped; pieces of YAML."""
    for _ in range(draw(st.integers(1, 4))):
        lines = data.splitlines(keepends=True) or [b""]
        at, row = draw(st.integers(0, len(data))), draw(st.integers(0, len(lines) - 1))
        match draw(st.sampled_from(["flip", "put", "take", "double", "lose", "swap", "piece"])):
            case "flip":
                data = data[:at] + bytes([draw(st.integers(0, 255))]) + data[at + 1 :]
            case "put":
                data = data[:at] + draw(st.binary(max_size=5)) + data[at:]
            case "take":
                data = data[:at] + data[at + draw(st.integers(0, 40)) :]
            case "double":
                data = b"".join([*lines[: row + 1], *lines[row:]])
            case "lose":
                data = b"".join([*lines[:row], *lines[row + 1 :]])
            case "swap":
                other = draw(st.integers(0, len(lines) - 1))
                lines[row], lines[other] = lines[other], lines[row]
                data = b"".join(lines)
            case "piece":
                data = data[:at] + draw(PIECES) + data[at:]
    return data


def sound(files: dict[str, bytes]) -> None:
    """Loads, and checks that each finding is one that can be shown."""
    spec = load({path: SourceFile(data) for path, data in files.items()})
    for finding in spec.findings:
        assert finding.rule in RULES
        assert len(finding.found) <= 60
        assert finding.found.isascii() or finding.found.endswith("…")
        assert (finding.line == 0) == (finding.column == 0)
        assert finding.line <= files.get(finding.path, b"").count(b"\n") + 1
    assert findings.text(spec.findings).replace("\n", "").isprintable()
    assert list(spec.findings) == sorted(spec.findings)
    for path in files:
        assert sum(f.path == path for f in spec.findings) <= MAX_DEFECTS + 10
    named = {(name, f.service) for name in spec.environments for f in spec.findings if f.environment == name and f.service}
    assert not {(name, service) for name, env in spec.environments.items() for service in env.services} & named


@many
@given(st.sampled_from(sorted(EXAMPLE)), st.binary(max_size=300))
def test_any_bytes_can_be_loaded(path, data):
    """A file may hold anything; the loader reports and never raises."""
    sound(EXAMPLE | {path: data})


@many
@given(st.sampled_from(sorted(EXAMPLE)), st.data())
def test_any_mutation_can_be_loaded(path, data):
    """Neither does it for files that are nearly right."""
    sound(EXAMPLE | {path: data.draw(mutated(EXAMPLE[path]))})


@many
@given(st.sampled_from(sorted(EXAMPLE)), documents())
def test_any_document_of_our_keys_can_be_loaded(path, text):
    """Nor for our own keys in any order, with any value, nested anywhere."""
    sound(EXAMPLE | {path: text})


@many
@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="/\0"), min_size=1, max_size=80))
def test_any_file_name_can_be_loaded(name):
    """Names of folders and files may hold anything too."""
    for path, data in EXAMPLE.items():
        sound({f"environments/{name}/x": b"", f"environments/{name}/environment.yaml": data})
        sound(EXAMPLE | {path.replace("wine.yaml", f"{name}.yaml"): data})


@many
@given(st.sampled_from(sorted(EXAMPLE)), st.data())
def test_no_accident_shows_a_secret(path, data):
    """Wherever in the file it stands and whatever is wrong around it, the value is in no finding."""
    lines = EXAMPLE[path].splitlines(keepends=True)
    row = data.draw(st.integers(0, len(lines)))
    line = data.draw(
        st.sampled_from(["password: {0}\n", "# Bearer {0}\n", "tracking_uri: https://ci:{0}@h\n", "env: {{DB_TOKEN: '{0}'}}\n"])
    )
    text = b"".join([*lines[:row], line.format(SECRET).encode(), *lines[row:]])
    cut = data.draw(st.integers(0, len(text)))
    text = text[:cut] + data.draw(st.sampled_from([b"", b"\n", b"[", b"'", b"\t", b": ", b"&a "])) + text[cut:]
    spec = load({p: SourceFile(d) for p, d in (EXAMPLE | {path: text}).items()})
    shown = findings.text(spec.findings) + repr(findings.as_json(spec.findings)) + findings.github(spec.findings)
    assert "hunter2" not in shown


@many
@given(st.integers(1, 10**18), st.binary(min_size=32, max_size=32), st.binary(min_size=32, max_size=32))
def test_an_edited_pin_is_the_pin_that_loads(version, model, image):
    """Loading what was edited gives the new pin, and the rest of the spec as before."""
    digest, reference = f"sha256:{model.hex()}", f"ghcr.io/acme/serve:{version}@sha256:{image.hex()}"
    assume("0" * 64 not in (model.hex(), image.hex()))  # a placeholder, by rule
    assume(model != image)  # one of the two is in the wrong place, by rule
    files = {p: SourceFile(d) for p, d in EXAMPLE.items()}
    files[MODEL] = SourceFile(set_model_pin(EXAMPLE[MODEL], str(version), digest))
    files[SERVICE] = SourceFile(set_image(EXAMPLE[SERVICE], reference))
    spec = load(files)
    service = spec.environments["production"].services["wine"]
    assert spec.findings == ()
    assert (service.models[0].pin.version, service.models[0].pin.digest) == (str(version), digest)
    assert service.image.reference == reference


def leaves(node: Node, keys: tuple[str, ...] = ()):
    """The path and node of every single value that mappings lead to."""
    for name, (_, inner) in node.entries.items():
        if inner.is_scalar:
            yield (*keys, name), inner
        else:
            yield from leaves(inner, (*keys, name))


@settings(many, max_examples=600)
@given(st.one_of(documents(), st.sampled_from(sorted(EXAMPLE.values())).flatmap(mutated)), st.data())
def test_an_edit_changes_one_token_or_nothing(text, data):
    """In any document: either it is refused, or what stood before and behind the token is there byte for byte."""
    value = data.draw(st.one_of(SCALARS, st.text(st.characters(exclude_categories=["Cs"]), max_size=20)))
    root = parse(text).root
    places = list(leaves(root)) if root is not None else []
    keys, node = data.draw(st.sampled_from(places)) if places else (("version",), None)
    try:
        edited = set_scalar(text, keys, value)
    except Error:
        return
    assert node is not None
    whole = text.decode()
    before, after = whole[: node.start].encode(), whole[node.end :].encode()
    assert edited.startswith(before)
    assert edited.endswith(after)
    assert len(edited) >= len(before) + len(after)
    again = parse(edited)
    assert again.defects == ()
    assert dict(leaves_values(again.root)) == dict(leaves_values(root)) | {keys: value}


def leaves_values(node):
    """The path and value of each; its text where two equal texts are not equal values (a date that is refused, NaN)."""
    compared = ((keys, leaf, isinstance(leaf.value, Opaque) or leaf.value != leaf.value) for keys, leaf in leaves(node))
    return ((keys, leaf.raw if by_text else leaf.value) for keys, leaf, by_text in compared)


@many
@given(st.sampled_from(sorted(EXAMPLE.values())), st.data())
def test_an_edit_and_its_reverse_are_nothing(text, data):
    """Putting the old value back gives the old bytes: a revert by hand is a revert."""
    keys, node = data.draw(st.sampled_from([(k, n) for k, n in leaves(parse(text).root) if isinstance(n.value, str)]))
    assert set_scalar(set_scalar(text, keys, "another"), keys, node.value) == text


LINES = st.lists(
    st.sampled_from(
        ["\n", "# a\n", "  \n", "model: a\n", 'version: "8"\n', f"digest: sha256:{'ab' * 32}\n", "gates: []\n", "x: |\n\n"]
    ),
    max_size=9,
    unique=False,
)


@settings(many, max_examples=500)
@given(LINES, st.booleans())
def test_the_quick_look_at_a_pin_agrees_with_the_careful_one(lines, has_end):
    """Where the short cut says that a pin stands alone, counting lines says so, too."""
    text = "".join(lines) if has_end else "".join(lines).removesuffix("\n")
    root = parse(text.encode()).root
    assume(root is not None and root.entries)
    nodes = [(key, value) for key, value in root.entries.values() if key.value in PINS[ModelFile]]
    assume(nodes)
    quick = layout._is_alone(text, nodes)
    careful = layout._careful(text, nodes, PINS[ModelFile])
    assert not (quick and careful)
