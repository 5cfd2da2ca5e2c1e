"""What holds for any input: the loader never raises, an edited pin is the pin that loads."""

from __future__ import annotations

from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mlrelease.model.spec import SourceFile
from mlrelease.render import findings
from mlrelease.spec.edit import set_image, set_model_pin
from mlrelease.spec.load import load
from mlrelease.spec.rules import RULES

ROOT = Path(__file__).parents[3]
EXAMPLE = {p.relative_to(ROOT).as_posix(): p.read_bytes() for p in sorted((ROOT / "environments").rglob("*.yaml"))}
MODEL = "environments/production/models/wine.yaml"
SERVICE = "environments/production/services/wine.yaml"

PIECES = st.sampled_from(
    (
        b"&a |*a|!!x |<<: |? |- |[|{|}|>\n|\t|\r|\x00|\xff|\xef\xbb\xbf|0b_|.nan|2020-99-99|'|\"|---\n|...\n|"
        b"%YAML 9.9\n|\xe2\x80\xa8|${|<x>|" + b"1" * 5000
    ).split(b"|")
)
hundred = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def sound(files: dict[str, bytes]) -> None:
    """Loads, and checks that each finding is one that can be shown."""
    spec = load({path: SourceFile(data) for path, data in files.items()})
    for finding in spec.findings:
        assert finding.rule in RULES
        assert len(finding.found) <= 60
        assert (finding.line == 0) == (finding.column == 0)
    assert findings.text(spec.findings).replace("\n", "").isprintable()
    assert list(spec.findings) == sorted(spec.findings)


@hundred
@given(st.sampled_from(sorted(EXAMPLE)), st.binary(max_size=300))
def test_any_bytes_can_be_loaded(path, data):
    """A file may hold anything; the loader reports and never raises."""
    sound(EXAMPLE | {path: data})


@hundred
@given(st.data())
def test_any_mutation_can_be_loaded(data):
    """Neither does it for files that are nearly right: pieces of YAML put in, ranges taken out."""
    path = data.draw(st.sampled_from(sorted(EXAMPLE)))
    text = EXAMPLE[path]
    for _ in range(data.draw(st.integers(1, 4))):
        start = data.draw(st.integers(0, len(text)))
        end = data.draw(st.integers(start, min(len(text), start + 40)))
        text = text[:start] + data.draw(st.one_of(PIECES, st.binary(max_size=5))) + text[end:]
    sound(EXAMPLE | {path: text})


@hundred
@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="/\0"), min_size=1, max_size=80))
def test_any_file_name_can_be_loaded(name):
    """Names of folders and files may hold anything too."""
    for path, data in EXAMPLE.items():
        sound({f"environments/{name}/x": b"", f"environments/{name}/environment.yaml": data})
        sound(EXAMPLE | {path.replace("wine.yaml", f"{name}.yaml"): data})


@hundred
@given(st.integers(1, 10**18), st.binary(min_size=32, max_size=32), st.binary(min_size=32, max_size=32))
def test_an_edited_pin_is_the_pin_that_loads(version, model, image):
    """Loading what was edited gives the new pin, and the rest of the spec as before."""
    digest, reference = f"sha256:{model.hex()}", f"ghcr.io/acme/serve:{version}@sha256:{image.hex()}"
    if "0" * 64 in (model.hex(), image.hex()):
        return  # a placeholder, by rule
    files = {p: SourceFile(d) for p, d in EXAMPLE.items()}
    files[MODEL] = SourceFile(set_model_pin(EXAMPLE[MODEL], str(version), digest))
    files[SERVICE] = SourceFile(set_image(EXAMPLE[SERVICE], reference))
    spec = load(files)
    service = spec.environments["production"].services["wine"]
    assert spec.findings == ()
    assert (service.models[0].pin.version, service.models[0].pin.digest) == (str(version), digest)
    assert service.image.reference == reference
