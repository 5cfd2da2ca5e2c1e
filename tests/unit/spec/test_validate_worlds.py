"""What no git repository can hold, and what is too large to keep in one: built here, the reports are golden files."""

from __future__ import annotations

import os
import shutil
import socket
import stat
import tempfile
import threading
from pathlib import Path

import pytest
from mlrelease.forge.files import on_disk
from mlrelease.forge.git import Git
from mlrelease.render import findings
from mlrelease.spec.load import load
from support.example import DIGEST, ENV, EXAMPLE, MOD, SVC
from support.repositories import git, repository

EXPECTED = Path(__file__).parents[2] / "golden" / "validate-worlds"


def example(root: Path) -> Path:
    for name, data in EXAMPLE.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(data)
    return root


def pipe(root: Path) -> None:
    (root / MOD).unlink()
    os.mkfifo(root / MOD)


def bound_socket(root: Path) -> None:
    """Bound from within the folder: the path of a socket is short."""
    (root / SVC).unlink()
    here = Path.cwd()
    os.chdir((root / SVC).parent)
    try:
        with socket.socket(socket.AF_UNIX) as one:
            one.bind("wine.yaml")
    finally:
        os.chdir(here)


def device(root: Path) -> None:
    (root / ENV).unlink()
    os.mknod(root / ENV, stat.S_IFCHR | 0o600, os.makedev(1, 5))  # /dev/zero: reading it never ends


def fifty_megabytes(root: Path) -> None:
    with (root / MOD).open("ab") as file:
        file.truncate(50_000_000)


def over_the_limit_of_a_file(root: Path) -> None:
    (root / MOD).write_bytes(EXAMPLE[MOD] + b"#" * (1 << 20))


def nested_thousands_of_levels(root: Path) -> None:
    (root / SVC).write_bytes(b"a: " + b"[" * 500_000)


def billion_laughs(root: Path) -> None:
    lines = ["a: &a [x]"] + [f"k{n}: &k{n} [*{'a' if n == 0 else f'k{n - 1}'}, x]" for n in range(2_000)]
    (root / MOD).write_text("\n".join(lines))


def hundreds_of_thousands_of_values(root: Path) -> None:
    (root / SVC).write_bytes(EXAMPLE[SVC] + b"env: [" + b"a," * 400_000 + b"]\n")


def thousands_of_directives(root: Path) -> None:
    (root / SVC).write_bytes(b"".join(b"%%TAG !%d! tag:x,1:\n" % n for n in range(40_000)) + b"---\n" + EXAMPLE[SVC])


def a_value_of_half_a_megabyte(root: Path) -> None:
    (root / ENV).write_bytes(EXAMPLE[ENV].replace(b"${MLFLOW_TRACKING_URI:-http://127.0.0.1:5000}", b"//" + b":" * 500_000))


def names_that_differ_in_case(root: Path) -> None:
    (root / MOD.replace("wine", "Wine")).write_bytes(EXAMPLE[MOD].replace(b"model: wine", b"model: Wine"))
    (root / SVC.replace("wine", "Wine")).write_bytes(EXAMPLE[SVC].replace(b": wine", b": Wine"))
    for name, data in EXAMPLE.items():
        other = root / name.replace("production", "Production")
        other.parent.mkdir(parents=True, exist_ok=True)
        other.write_bytes(data.replace(b"production", b"Production").replace(b":8080", b":8081"))


def a_link_instead_of_the_folder(root: Path) -> None:
    shutil.move(root / "environments", root / "elsewhere")
    (root / "environments").symlink_to("elsewhere")


def a_file_instead_of_the_folder(root: Path) -> None:
    shutil.rmtree(root / "environments")
    (root / "environments").write_text("nothing")


def a_nested_repository(root: Path) -> None:
    (root / "environments" / "staging" / ".git").mkdir(parents=True)


def a_name_that_is_not_text(root: Path) -> None:
    with open(os.fsencode(root / "environments") + b"/\xff\x1b[2J.yaml", "wb"):
        pass


def nothing(root: Path) -> None:
    shutil.rmtree(root / "environments")


WORLDS = [
    pipe, bound_socket, device, fifty_megabytes, over_the_limit_of_a_file, nested_thousands_of_levels, billion_laughs,
    hundreds_of_thousands_of_values, thousands_of_directives, a_value_of_half_a_megabyte, names_that_differ_in_case,
    a_link_instead_of_the_folder, a_file_instead_of_the_folder, a_nested_repository, a_name_that_is_not_text, nothing,
]  # fmt: skip


@pytest.mark.timeout(60)
@pytest.mark.parametrize("build", WORLDS, ids=lambda build: build.__name__.replace("_", "-"))
def test_the_report_is_the_expected_one(build, tmp_path, update_golden):
    """Whatever lies there, it is neither waited for nor read to the end, and the report says what it is."""
    try:
        build(example(tmp_path))
    except PermissionError:
        pytest.skip("only root may make a device here")
    files = on_disk(tmp_path, "environments")
    report = findings.text(load(files).findings)
    assert sum(len(file.data) for file in files.values()) < 4 << 20
    expected = EXPECTED / f"{build.__name__.replace('_', '-')}.txt"
    if update_golden:
        expected.parent.mkdir(exist_ok=True)
        expected.write_text(report, encoding="utf-8")
    assert report == expected.read_text(encoding="utf-8")
    assert report


def test_no_golden_world_is_left_over():
    """Each file belongs to a world above."""
    assert {p.stem for p in EXPECTED.iterdir()} == {build.__name__.replace("_", "-") for build in WORLDS}


def test_a_commit_whose_paths_leave_their_folder(tmp_path):
    """Git's own commands make no such tree, a hostile host may: nothing is looked up by such a path, and it is a finding."""
    root = repository(tmp_path / "r")
    made = Git(root)
    blob = git(root, "hash-object", "-w", "README.md")
    tree = made.run("hash-object", "-w", "-t", "tree", "--literally", "--stdin", stdin=_entry("100644", "passwd", blob)).strip()
    for name in ("..", "environments"):
        tree = made.run("hash-object", "-w", "-t", "tree", "--literally", "--stdin", stdin=_entry("40000", name, tree)).strip()
    files = made.tree(tree, "")
    assert list(files) == ["environments/../passwd"]
    found = [(f.rule, f.path) for f in load(files).findings]
    assert found == [("no-environments", "environments"), ("wrong-place", "environments/../passwd")]


def _entry(mode: str, name: str, sha: str) -> bytes:
    return f"{mode} {name}\0".encode() + bytes.fromhex(sha)


def test_a_file_without_permission_is_unreadable():
    """Read as another user, for root may read anything; the others are read all the same."""
    root = example(Path(tempfile.mkdtemp(prefix="unreadable")))
    try:
        for place in (root, *root.rglob("*")):
            place.chmod(0o755 if place.is_dir() else 0o644)
        (root / SVC).chmod(0)
        (root / MOD).parent.chmod(0)
        if os.geteuid() == 0:
            os.seteuid(65534)
        try:
            files = on_disk(root, "environments")
        finally:
            if os.getuid() == 0:
                os.seteuid(0)
        found = [(f.rule, f.path, f.found) for f in load(files).findings]
    finally:
        (root / MOD).parent.chmod(0o755)
        shutil.rmtree(root)
    assert ("unreadable", SVC, "unreadable") in found
    assert files[ENV].data == EXAMPLE[ENV]
    assert {path for _, path, _ in found} == {SVC, "environments/production/models"}


def test_a_file_that_changes_its_kind_meanwhile_is_not_waited_for(tmp_path):
    """Between the listing and the opening a file may become a pipe or a link: no read hangs, nothing elsewhere is read."""
    root, secret = example(tmp_path / "r"), tmp_path / "secret"
    secret.write_text("hunter2")
    place, stop = root / MOD, threading.Event()

    def turn() -> None:
        other = tmp_path / "other"
        while not stop.is_set():
            for make in (lambda: os.mkfifo(other), lambda: other.symlink_to(secret), lambda: other.write_bytes(EXAMPLE[MOD])):
                make()
                other.replace(place)

    thread = threading.Thread(target=turn)
    thread.start()
    try:
        seen = {on_disk(root, "environments")[MOD] for _ in range(300)}
    finally:
        stop.set()
        thread.join()
    assert {file.data for file in seen} <= {b"", EXAMPLE[MOD]}
    assert {file.problem for file in seen} <= {"", "a pipe", "symlink", "unreadable", "not a file"}


def test_ten_thousand_findings_are_counted_first(tmp_path):
    """None is left out; the first line says how many there are of which rule."""
    files = on_disk(example(tmp_path), "environments")
    for n in range(10_000):
        text = EXAMPLE[MOD].replace(b"model: wine", b"model: m%d" % n).replace(DIGEST.encode(), b"sha256:%d" % n)
        files[MOD.replace("wine", f"m{n}")] = type(files[MOD])(text)
    spec = load(files)
    report = findings.text(spec.findings)
    assert report.partition("\n")[0] == "10,000 findings in 10,000 files: 10,000 pin-digest"
    assert report.count("\n  docs      docs/rules.md#pin-digest\n") == 10_000
    assert len(findings.as_json(spec.findings)) == findings.github(spec.findings).count("\n") == 10_000
    assert spec.environments["production"].invalid == {"wine"}


def test_two_thousand_files_on_disk_are_all_read(tmp_path):
    """A folder has as many models as it has; each arrives in the spec."""
    example(tmp_path)
    for n in range(2_000):
        (tmp_path / MOD.replace("wine", f"m{n}")).write_bytes(EXAMPLE[MOD].replace(b"model: wine", b"model: m%d" % n))
    spec = load(on_disk(tmp_path, "environments"))
    assert spec.findings == ()
    assert len(spec.environments["production"].services["wine"].models) == 2_001
