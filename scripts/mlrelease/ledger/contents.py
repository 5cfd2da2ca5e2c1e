"""What the ledger's branch holds at a commit of it: chains of events and files, read by few git commands, each once."""

from __future__ import annotations

from collections.abc import Sequence

from mlrelease.errors import Error
from mlrelease.forge.git import Git
from mlrelease.ledger.chain import Link, link


class Contents:
    """The branch's tree at any `tip`, a commit that is here (None: before the first one). What was read is kept."""

    def __init__(self, git: Git) -> None:
        self._git = git
        self._read: dict[str, tuple[str | None, tuple[Link, ...]]] = {}
        self._parsed: dict[str, dict[tuple[str, str], Link]] = {}

    def links(self, environment: str, tip: str | None) -> tuple[Link, ...]:
        """The chain of one environment at a tip: one `ls-tree`, and one `cat-file` for files not read before."""
        before = self._read.get(environment)
        if before is not None and before[0] == tip:
            return before[1]
        links: tuple[Link, ...] = ()
        if tip is not None:
            listing = self._git.call("ls-tree", "-r", "-z", "--full-tree", tip, f"{environment}/events")
            if listing.code:
                raise Error(f"the ledger at {tip[:12]} cannot be read: {listing.messages}", hint="git fsck")
            names, objects = [], []
            for record in listing.out.split(b"\0")[:-1]:
                about, _, path = record.partition(b"\t")
                names.append(path.decode(errors="backslashreplace").removeprefix(f"{environment}/events/"))
                objects.append(about.split()[2].decode())
            parsed = self._parsed.get(environment, {})
            unread = [(n, o) for n, o in zip(names, objects, strict=True) if (n, o) not in parsed]
            contents = self._git.blobs([o for _, o in unread])
            fresh = {key: link(environment, key[0], data or b"") for key, data in zip(unread, contents, strict=True)}
            now_parsed = {key: fresh.get(key) or parsed[key] for key in zip(names, objects, strict=True)}
            self._parsed[environment] = now_parsed
            links = tuple(now_parsed.values())
        self._read[environment] = (tip, links)
        return links

    def environments(self, tip: str | None) -> set[str]:
        """The environments that have events."""
        if tip is None:
            return set()
        listing = self._git.call("ls-tree", "-r", "-d", "-z", "--name-only", "--full-tree", tip)
        if listing.code:
            raise Error(f"the ledger at {tip[:12]} cannot be read: {listing.messages}", hint="git fsck")
        folders = listing.out.decode(errors="backslashreplace").split("\0")
        return {name for name, _, inner in (folder.partition("/") for folder in folders) if inner == "events"}

    def spoilt(self, environment: str, tip: str | None) -> list[str]:
        """The events of an environment that a later commit changed or removed, in a sentence each."""
        if tip is None:
            return []
        flags = ("--diff-filter=DMT", "--no-renames", "--name-status", "--format=%h")
        changed = self._git.run("log", *flags, tip, "--", f":(top){environment}/events")
        found, commit = [], ""
        for line in (line for line in changed.splitlines() if line):
            letter, _, path = line.partition("\t")
            if not path:
                commit = line
                continue
            did = "removed" if letter == "D" else "changed"
            found.append(f"{path.rpartition('/')[2]} was {did} by commit {commit}")
        return found

    def files(self, paths: Sequence[str], tip: str | None) -> dict[str, bytes]:
        """The bytes at these paths; those that are not there are left out."""
        if tip is None or not paths:
            return {}
        datas = self._git.blobs([f"{tip}:{path}" for path in paths])
        return {path: data for path, data in zip(paths, datas, strict=True) if data is not None}
