"""Who signs the commits of the ledger: the tool itself, so that no git identity is needed on a host."""

from __future__ import annotations

NAME = "mlrelease"
ADDRESS = "mlrelease@localhost"


def authored(now: float) -> dict[str, str]:
    """The variables that make git sign a commit as the tool at this moment."""
    date = f"@{int(max(now, 0))} +0000"
    return {
        "GIT_AUTHOR_NAME": NAME,
        "GIT_AUTHOR_EMAIL": ADDRESS,
        "GIT_AUTHOR_DATE": date,
        "GIT_COMMITTER_NAME": NAME,
        "GIT_COMMITTER_EMAIL": ADDRESS,
        "GIT_COMMITTER_DATE": date,
    }
