"""What GitHub is asked, each question once however many checks need its answer, and what a refusal means for a check."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import Future
from threading import Lock
from types import MappingProxyType
from typing import Any, TypeVar

from mlrelease.commands.doctor.checks import Check, Found, State, bad, unknown
from mlrelease.commands.doctor.github import rules
from mlrelease.commands.doctor.github.rules import Rules
from mlrelease.commands.doctor.github.shape import number
from mlrelease.errors import Error
from mlrelease.forge.github.auth import Credentials, Token
from mlrelease.forge.github.client import GitHub, part
from mlrelease.forge.github.errors import ForbiddenError, NotFoundError
from mlrelease.forge.github.place import Place
from mlrelease.http.dialect import Answer

_T = TypeVar("_T")

NEEDS: Mapping[str, str] = MappingProxyType(
    {
        "default-branch": "Metadata: read",
        "merge-settings": "Contents: write",
        "approval-gate": "Actions: read",
        "gate-self-review": "Actions: read",
        "gate-branches": "Actions: read",
        "branch-reviews": "Administration: read",
        "branch-checks": "Administration: read",
        "branch-history": "Administration: read",
        "branch-bypass": "Administration: write (GitHub shows it to nobody else)",
        "ledger-rules": "Administration: read",
        "tag-rules": "Metadata: read",
        "codeowners": "Contents: read",
        "repository-secrets": "Secrets: read",
        "actions-policy": "Administration: read",
        "actions-token": "Administration: read",
        "workflows": "Actions: read",
        "reconcile-runs": "Actions: read",
    }
)
"""The permission of an App or fine-grained token that a check needs. `GITHUB_TOKEN` has neither Administration nor Secrets."""

KINDS: Mapping[str, str] = MappingProxyType(
    {
        "ghp_": "a classic personal token",
        "github_pat_": "a fine-grained personal token",
        "gho_": "a token of the gh command",
        "ghu_": "an App's token for a person",
        "ghs_": "an installation's token",
    }
)
"""What a token is, by how it begins: https://github.blog/engineering/behind-githubs-new-authentication-token-formats/"""

LEDGER_BRANCH = "mlrelease/ledger"
_UPGRADE = "Upgrade to"
"""GitHub's words (403) for a private repository whose plan has no rules."""

_UNPROTECTED = "Branch not protected"


class Asked:
    """One repository on GitHub, as far as the token sees it. Thread-safe; answers and failures are kept."""

    def __init__(self, github: GitHub, branch: str, kind: str) -> None:
        self.github = github
        self.branch = branch
        self.kind = kind
        self._lock = Lock()
        self._kept: dict[str, Future[Any]] = {}

    @property
    def name(self) -> str:
        """`owner/repository`."""
        return self.github.place.name

    @property
    def is_enterprise_server(self) -> bool:
        """Whether it is somebody's own GitHub, where no plan withholds anything: only its API lies below `/api/v3`."""
        return self.github.place.api_url.endswith("/api/v3")

    def page(self, path: str) -> str:
        """A page of the repository for people: `settings/actions`."""
        return f"{self.github.place.html_url}/{path}"

    def once(self, key: str, question: Callable[[], _T]) -> _T:
        """What the question answers or raises, asked by the first who comes; the others wait for it.

        Each key belongs to one question, which may ask others but never itself.
        """
        with self._lock:
            kept = self._kept.get(key)
            mine = kept is None
            if kept is None:
                kept = self._kept[key] = Future()
        if mine:
            try:
                kept.set_result(question())
            except BaseException as error:  # noqa: BLE001 - it is raised again, here and for everybody who waits
                kept.set_exception(error)
        answer: _T = kept.result()
        return answer

    def repository(self) -> Mapping[str, Any]:
        """What GitHub says of the repository. Raises `Error` when it does not answer or does not know the token."""
        return self._mapping("", self._first().value)

    def headers(self) -> Mapping[str, str]:
        """The headers of that first answer; names are found in any case."""
        return self._first().headers

    def get(self, path: str) -> Mapping[str, Any]:
        """The object at that path of the repository. Raises `NotFoundError`, `ForbiddenError`, `UnavailableError`."""
        return self.once(f"one {path}", lambda: self._mapping(path, self.github.get(path)))

    def list_of(self, path: str) -> list[dict[str, Any]]:
        """All objects of a list, page after page."""
        return self.once(f"every page of {path}", lambda: list(self.github.pages(path)))

    def rulesets(self) -> Mapping[int, Mapping[str, Any]]:
        """Every ruleset that is in force, the organisation's too, in full and by id; what is not shown is left out."""

        def question() -> dict[int, Mapping[str, Any]]:
            found = {}
            for id_ in self._active():
                try:
                    found[id_] = self.get(f"rulesets/{id_}")
                except (NotFoundError, ForbiddenError):  # an organisation's may be listed and not shown
                    continue
            return found

        return self.once("rulesets in full", question)

    def rules(self, branch: str) -> Rules:
        """Everything that holds for a branch: rulesets, and classic protection where it may be read."""
        return self.once(f"rules of {branch}", lambda: self._rules(part(branch)))

    def tag_rules(self) -> Rules:
        """Everything that holds for a release tag, as far as its rulesets are shown."""
        shown = self.rulesets()
        hidden = any(found.get("target") == "tag" for id_, found in self._active().items() if id_ not in shown)
        return rules.of_ref("refs/tags/v1.2.3", shown).with_(Rules(is_whole=not hidden))

    def _active(self) -> dict[int, Mapping[str, Any]]:
        listed = self.list_of("rulesets")
        return {number(found.get("id")): found for found in listed if found.get("enforcement") == "active"}

    def _rules(self, branch: str) -> Rules:
        answer = self.list_of(f"rules/branches/{branch}")
        wanted = {found.get("ruleset_id") for found in answer}
        known = {id_: found for id_, found in self.rulesets().items() if id_ in wanted}
        found = rules.of_branch(answer, known)
        try:
            return found.with_(rules.of_classic(self.get(f"branches/{branch}/protection")))
        except NotFoundError as error:
            # "Branch not protected" is said to those who may know; to others it is just not found.
            return found if _UNPROTECTED in error.message else found.with_(Rules(is_whole=False))
        except ForbiddenError as error:
            if _UPGRADE in error.message:
                raise
            return found.with_(Rules(is_whole=False))

    def _first(self) -> Answer:
        return self.once("the repository", lambda: self.github.ask("GET", ""))

    def _mapping(self, path: str, answer: object) -> Mapping[str, Any]:
        if not isinstance(answer, Mapping):
            raise Error(
                f"{self.github.where} answers {path or self.name} with something else than an object",
                hint="is it the address of GitHub's API?",
            )
        return answer


def asked_of(place: Place, credentials: Credentials, branch: str, *, now: Callable[[], float]) -> Asked:
    """GitHub as `doctor` asks it: a rate limit is not waited for."""
    kind = "an App's key"
    if isinstance(credentials, Token):
        kind = next((said for start, said in KINDS.items() if credentials.value.startswith(start)), "a token")
    return Asked(GitHub(place, credentials, now=now, patience_s=0.0), branch, kind)


def check(asked: Asked, id_: str, ask: Callable[[], Found], environment: str = "") -> Check:
    """A question that is asked only when GitHub answers at all, and for which a refusal is `unknown`, with what it takes."""
    return Check(id_, lambda: _told(asked, id_, ask), environment, State.UNKNOWN)


def _told(asked: Asked, id_: str, ask: Callable[[], Found]) -> Found:
    try:
        asked.repository()
    except Error:
        return unknown("not asked: GitHub did not show the repository", "see github")
    try:
        return ask()
    except ForbiddenError as error:
        if _UPGRADE in error.message:
            return bad(
                "the owner's plan has no rules for private repositories: GitHub ignores those that are set",
                "a paid plan for the owner, or a public repository",
            )
        return refused(id_, "GitHub does not let this token look (403)")
    except NotFoundError:
        return refused(id_, "GitHub does not show it to this token (404)")
    except Error as error:
        return unknown(error.message, error.hint or "-v shows the question; GitHub may have changed: is mlrelease up to date?")


def refused(id_: str, what: str) -> Found:
    """Unknown, because the token may not see it."""
    return unknown(what, f"a token with {NEEDS[id_]}")
