"""What git needs to be told inside a GitHub Actions job: the job's token and an author. Pure.

The workflows check out with `persist-credentials: false`, so that no token lies in a file that another step could read or
upload. Here git gets it from the environment of the one step that was given it.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping

OWN_TOKEN, APP, TOKENS = "MLRELEASE_GITHUB_TOKEN", "MLRELEASE_APP_ID", ("GITHUB_TOKEN", "GH_TOKEN")
"""The first that is set counts, in the order in which the API is asked with them."""

BOT = "github-actions[bot]"
BOT_ADDRESS = "41898282+github-actions[bot]@users.noreply.github.com"
"""The author that GitHub shows with the bot's face; `GIT_AUTHOR_NAME` and its like win over it."""

_HELPER = '!f() {{ test "$1" = get || exit 0; echo username=x-access-token; echo "password=${{{token}}}"; }}; f'
"""The token's name and not the token: a command line is everybody's to read."""


def git_settings(variables: Mapping[str, str], *, python: str) -> dict[str, str]:
    """`GIT_CONFIG_…` variables: an author, and for the job's own server a credential helper; nothing outside of Actions.

    Settings that are there already stay before them. `python` is the interpreter that asks for an App's token.
    """
    if variables.get("GITHUB_ACTIONS") != "true":
        return {}
    settings = [("user.name", BOT), ("user.email", BOT_ADDRESS)]
    name = next((name for name in (OWN_TOKEN, APP, *TOKENS) if variables.get(name)), "")
    if name:
        server = variables.get("GITHUB_SERVER_URL") or "https://github.com"
        app = f"!{shlex.quote(python)} -m mlrelease.forge.github.credential"
        settings.append((f"credential.{server}.helper", app if name == APP else _HELPER.format(token=name)))
    there = variables.get("GIT_CONFIG_COUNT", "")
    first = int(there) if there.isdecimal() else 0
    found = {"GIT_CONFIG_COUNT": str(first + len(settings))}
    for number, (key, value) in enumerate(settings, start=first):
        found |= {f"GIT_CONFIG_KEY_{number}": key, f"GIT_CONFIG_VALUE_{number}": value}
    return found
