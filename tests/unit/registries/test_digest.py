"""The digest of a model version."""

from __future__ import annotations

import hashlib
import json
import os

import pytest
from mlrelease.errors import Error
from mlrelease.registries import digest


@pytest.fixture
def model(tmp_path):
    """A folder as a model's artifacts lie in it."""
    root = tmp_path / "model"
    (root / "code" / "deep").mkdir(parents=True)
    (root / "empty folder").mkdir()
    (root / "MLmodel").write_bytes(b"flavors: {}\n")
    (root / "b.bin").write_bytes(b"")
    (root / "code" / "z.py").write_bytes(b"z = 1\n")
    (root / "code" / "deep" / "\u00e9.txt").write_bytes(b"\xff\x00")
    return root


def test_the_digest_is_the_hash_of_the_json_that_the_design_writes_down(model):
    """Computed here a second time, by hand, from DESIGN §5.6."""
    names = ["MLmodel", "b.bin", "code/deep/\u00e9.txt", "code/z.py"]
    rows = [[n, (model / n).stat().st_size, hashlib.sha256((model / n).read_bytes()).hexdigest()] for n in names]
    text = json.dumps(rows, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
    entries = digest.manifest(model)
    assert [e.path for e in entries] == names
    assert digest.manifest_json(entries) == text
    assert digest.digest_of(entries) == "sha256:" + hashlib.sha256(text).hexdigest()


def test_the_digest_of_a_fixed_folder_never_changes(tmp_path):
    """Pins in git outlive every version of this program."""
    (tmp_path / "a").write_bytes(b"1")
    assert (
        digest.digest_of(digest.manifest(tmp_path)) == "sha256:c3eb9bc9639ec2980b542c8978601bdd44a0ac9d8824c4e215a9d67730d5695d"
    )


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda m: (m / "b.bin").write_bytes(b"x"), id="a byte more"),
        pytest.param(lambda m: (m / "code/z.py").write_bytes(b"z = 2\n"), id="another byte, same size"),
        pytest.param(lambda m: (m / "b.bin").rename(m / "c.bin"), id="another name"),
        pytest.param(lambda m: (m / "new").write_bytes(b""), id="an empty file more"),
        pytest.param(lambda m: (m / "b.bin").unlink(), id="a file less"),
        pytest.param(lambda m: (m / "code/z.py").rename(m / "z.py"), id="another folder"),
    ],
)
def test_every_change_of_a_file_changes_the_digest(model, change):
    """Content, size, name and place all count."""
    before = digest.digest_of(digest.manifest(model))
    change(model)
    assert digest.digest_of(digest.manifest(model)) != before


def test_what_is_not_content_leaves_the_digest(model):
    """MLflow's own file on any level, times, modes and empty folders do not count."""
    before = digest.digest_of(digest.manifest(model))
    (model / "registered_model_meta").write_text("model_name: a")
    (model / "code" / "registered_model_meta").write_text("model_name: b")
    (model / "another empty folder").mkdir()
    (model / "b.bin").chmod(0o400)
    os.utime(model / "b.bin", (1, 1))
    assert digest.digest_of(digest.manifest(model)) == before


def test_a_file_larger_than_one_chunk_is_hashed_whole(tmp_path):
    """The last partial chunk counts too."""
    data = os.urandom((2 << 20) + 17)
    (tmp_path / "large").write_bytes(data)
    (entry,) = digest.manifest(tmp_path)
    assert entry == ("large", len(data), hashlib.sha256(data).hexdigest())


def _fifo(root):
    os.mkfifo(root / "pipe")


@pytest.mark.parametrize(
    ("spoil", "text"),
    [
        pytest.param(
            lambda m: (m / "link").symlink_to("b.bin"), "'link' among the model's files is a symbolic link", id="link"
        ),
        pytest.param(
            lambda m: (m / "dir").symlink_to("code"), "'dir' among the model's files is a symbolic link", id="to a folder"
        ),
        pytest.param(lambda m: (m / "dead").symlink_to("nowhere"), "is a symbolic link", id="dead link"),
        pytest.param(_fifo, "'pipe' among the model's files is neither file nor folder", id="pipe"),
        pytest.param(lambda m: open(os.fsencode(m) + b"/\xff", "w").close(), "not UTF-8", id="file name not UTF-8"),
    ],
)
def test_what_is_no_regular_file_is_refused(model, spoil, text):
    """A link could change its target under the same digest; a pipe could hang the reader."""
    spoil(model)
    with pytest.raises(Error, match=text):
        digest.manifest(model)


@pytest.mark.parametrize(("name", "text"), [("nothing", "no such file"), ("empty", "no model files")], ids=["missing", "empty"])
def test_a_folder_without_files_has_no_digest(tmp_path, name, text):
    """Nothing is not a model."""
    (tmp_path / "empty").mkdir()
    with pytest.raises(Error, match=f"(?i){text}"):
        digest.manifest(tmp_path / name)
