"""Where on GitHub a repository is: read off the variables of a workflow, our own, or the address of the git remote."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import quote, urlsplit

from mlrelease.errors import Error

PUBLIC_API = "https://api.github.com"
_ELSEWHERE = ("gitlab.com", "bitbucket.org", "codeberg.org", "dev.azure.com", "ssh.dev.azure.com", "sr.ht", "git.sr.ht")
"""Git hosts that are no GitHub; any other unknown host may be an Enterprise server."""

_NAME = re.compile(r"[A-Za-z0-9_.-]+")
_SCP = re.compile(r"(?:[^@/\s]+@)?(?P<host>[A-Za-z0-9.-]+):(?!//)(?P<path>[^\s]+)")


@dataclass(frozen=True, slots=True)
class Place:
    """One repository: the API's root, its owner and name, and its page for people."""

    api_url: str
    owner: str
    repo: str
    html_url: str

    @property
    def name(self) -> str:
        """`owner/repo`."""
        return f"{self.owner}/{self.repo}"

    @property
    def path(self) -> str:
        """The repository's path below the API's root."""
        return f"/repos/{quote(self.owner, safe='')}/{quote(self.repo, safe='')}"


def place_of(variables: Mapping[str, str], remote_url: str) -> Place | None:
    """The repository's place; None where nothing names one (a path, another kind of git host).

    Our own variables come first, then those of a workflow run, then the remote. Raises `Error` for a half-set or senseless one.
    """
    for repository, api in (("MLRELEASE_GITHUB_REPOSITORY", "MLRELEASE_GITHUB_API"), ("GITHUB_REPOSITORY", "GITHUB_API_URL")):
        if named := variables.get(repository, ""):
            server = variables.get("GITHUB_SERVER_URL", "") if api == "GITHUB_API_URL" else ""
            return _named(named, variables.get(api, ""), server, repository=repository, api=api)
    if variables.get("MLRELEASE_GITHUB_API") and (found := _of_remote(remote_url)):
        return _named(found.name, variables["MLRELEASE_GITHUB_API"], "", repository="the remote", api="MLRELEASE_GITHUB_API")
    return _of_remote(remote_url)


def _named(name: str, api_url: str, server_url: str, *, repository: str, api: str) -> Place:
    owner, _, repo = name.strip().partition("/")
    if not _is_name(owner) or not _is_name(repo):
        raise Error(f"{repository} is not owner/name", hint=f"set {repository}=acme/models")
    api_url = (api_url.strip() or PUBLIC_API).rstrip("/")
    try:
        parts = urlsplit(api_url)
        host, _ = parts.hostname, parts.port
    except ValueError as e:
        raise Error(f"{api} is not a URL", hint=f"set {api}={PUBLIC_API}, or https://HOST/api/v3") from e
    if parts.scheme not in ("http", "https") or not host:
        raise Error(f"{api} is not an http(s) URL", hint=f"set {api}={PUBLIC_API}, or https://HOST/api/v3")
    server_url = server_url.strip().rstrip("/") or _server_of(parts.scheme, parts.netloc.rpartition("@")[2])
    return Place(api_url, owner, repo, f"{server_url}/{owner}/{repo}")


def _server_of(scheme: str, authority: str) -> str:
    """The address for people beside an API's: `api.github.com` → `github.com`, an Enterprise server's own."""
    tenant = authority.startswith("api.") and (authority == "api.github.com" or authority.endswith(".ghe.com"))
    return f"{scheme}://{authority.removeprefix('api.') if tenant else authority}"


def _of_remote(remote_url: str) -> Place | None:
    """The place that a git remote's address names: `https://`, `ssh://` and `git@host:owner/repo` forms."""
    text = remote_url.strip()
    if "://" in text:
        try:
            parts = urlsplit(text)
            host, port = (parts.hostname or "").lower(), parts.port
        except ValueError:
            return None
        if parts.scheme not in ("https", "http", "ssh", "git+ssh", "git"):
            return None
        is_web = parts.scheme in ("https", "http")
        authority = f"{host}:{port}" if is_web and port else host
        path, scheme = parts.path, parts.scheme if is_web else "https"
    elif found := _SCP.fullmatch(text):
        host = authority = found["host"].lower()
        path, scheme = found["path"], "https"
    else:
        return None
    names = [part for part in path.removesuffix("/").removesuffix(".git").split("/") if part]
    # A name without a dot is an alias of ~/.ssh/config, or this machine: nobody's API is known for it.
    is_loopback = host.startswith("127.") or "." not in host
    if len(names) != 2 or not all(map(_is_name, names)) or host in _ELSEWHERE or is_loopback:
        return None
    owner, repo = names
    if host in ("github.com", "www.github.com", "ssh.github.com"):
        return Place(PUBLIC_API, owner, repo, f"https://github.com/{owner}/{repo}")
    if host.endswith(".ghe.com"):
        return Place(f"https://api.{host}", owner, repo, f"https://{host}/{owner}/{repo}")
    return Place(f"{scheme}://{authority}/api/v3", owner, repo, f"{scheme}://{authority}/{owner}/{repo}")


def _is_name(text: str) -> bool:
    return bool(_NAME.fullmatch(text)) and text not in (".", "..")
