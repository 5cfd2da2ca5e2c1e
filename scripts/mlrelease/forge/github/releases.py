"""GitHub releases: a draft, its assets, then published, each step done once. A published one may be immutable."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

from mlrelease.errors import Error
from mlrelease.forge.github.client import GitHub
from mlrelease.forge.github.errors import InvalidError
from mlrelease.forge.github.text import LONGEST_RELEASE, cut, same


@dataclass(frozen=True, slots=True)
class Asset:
    """One file of a release. `digest` is `sha256:…`, empty on servers that do not say it."""

    id: int
    name: str
    size: int
    digest: str
    is_whole: bool


@dataclass(frozen=True, slots=True)
class Release:
    """One release. `upload_url` is without its template; `tag` exists in git only once it is published."""

    id: int
    tag: str
    name: str
    body: str
    draft: bool
    upload_url: str
    html_url: str
    assets: tuple[Asset, ...]


def find(github: GitHub, tag: str) -> Release | None:
    """The release of that tag, published or draft; the published one where there are both."""
    # By its tag GitHub finds published releases only.
    found = [_release(item) for item in github.pages("releases") if item.get("tag_name") == tag]
    return min(found, key=lambda release: release.draft, default=None)


def draft(github: GitHub, *, tag: str, name: str, body: str, target: str) -> Release:
    """The release of that tag: the one there is, published too, or a new draft. `target` is a branch or a commit.

    A draft gets this name and text; a published release is given back as it is.
    """
    text = cut(body, LONGEST_RELEASE)

    def make() -> Release:
        fields = {"tag_name": tag, "target_commitish": target, "name": name, "body": text, "draft": True}
        return _release(github.post("releases", fields))

    release, is_new = github.once(lambda: find(github, tag), make)
    if is_new or not release.draft or (release.name == name and same(release.body, text)):
        return release
    return _release(github.patch(f"releases/{release.id}", {"name": name, "body": text, "target_commitish": target}))


def upload(github: GitHub, release: Release, name: str, data: bytes, content_type: str) -> Asset:
    """The asset of that name with these bytes: the one that is there already, or sent now.

    A half-sent one, and another one of that name on a draft, is replaced. Raises `Error` for a published release that has
    other bytes under that name, or none: what people downloaded does not change.
    """
    digest = f"sha256:{hashlib.sha256(data).hexdigest()}"

    def there() -> Asset | None:
        now = _release(github.get(f"releases/{release.id}"))
        found = next((asset for asset in now.assets if asset.name == name), None)
        if found is not None and found.is_whole and found.size == len(data) and found.digest in ("", digest):
            return found
        if not now.draft:
            what = "has other bytes" if found else "is missing"
            raise Error(
                f"{name} {what} in the published release {now.tag}",
                hint="a published release is not changed: cut the next one",
                where=now.html_url,
            )
        if found is not None:
            github.delete(f"releases/assets/{found.id}")
        return None

    def make() -> Asset:
        try:
            return _asset(github.upload(release.upload_url, {"name": name}, data, content_type))
        except InvalidError as e:
            if e.code == "already_exists" and (found := there()) is not None:  # somebody else sent it meanwhile
                return found
            raise

    return github.once(there, make)[0]


def publish(github: GitHub, number: int) -> Release:
    """Publishes the draft; GitHub makes the tag where there is none. A published one stays as it is."""
    release = _release(github.get(f"releases/{number}"))
    return _release(github.patch(f"releases/{number}", {"draft": False})) if release.draft else release


def _release(item: Any) -> Release:
    return Release(
        id=int(item["id"]),
        tag=str(item["tag_name"]),
        name=str(item.get("name") or ""),
        body=str(item.get("body") or ""),
        draft=bool(item["draft"]),
        upload_url=str(item["upload_url"]).partition("{")[0],
        html_url=str(item["html_url"]),
        assets=tuple(_asset(asset) for asset in item.get("assets", [])),
    )


def _asset(item: Any) -> Asset:
    whole = item.get("state", "uploaded") == "uploaded"  # `starter`: an upload that broke off
    return Asset(int(item["id"]), str(item["name"]), int(item["size"]), str(item.get("digest") or ""), whole)
