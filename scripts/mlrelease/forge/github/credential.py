"""A git credential helper for a GitHub App: `python -m mlrelease.forge.github.credential get` writes the installation's token.

Git calls it by itself (`forge/actions.py`), so that what an App opens it has pushed too: GitHub starts workflows for both. The
token goes to git over a pipe, and stands in no command line and no file.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Mapping

from mlrelease.errors import Error


def main(arguments: list[str], variables: Mapping[str, str]) -> int:
    """Git's protocol: `get` is answered on stdout, `store` and `erase` are nothing to us. 1 when there is no token."""
    if arguments[:1] != ["get"]:
        return 0
    try:
        token = installation_token(variables)
    except Error as error:
        sys.stderr.write(f"mlrelease: {error.message}\n")
        return 1
    sys.stdout.write(f"username=x-access-token\npassword={token}\n")
    return 0


def installation_token(variables: Mapping[str, str]) -> str:
    """A token of the App that the variables name, for the job's own repository. Raises `Error` where it cannot be had."""
    import requests  # noqa: PLC0415 - git asks for `store` and `erase` too, and waits for both

    from mlrelease.forge.github.auth import App, credentials_of, wire  # noqa: PLC0415 - as above
    from mlrelease.forge.github.place import place_of  # noqa: PLC0415 - as above

    credentials, place = credentials_of(variables), place_of(variables, "")
    if not isinstance(credentials, App) or place is None:
        raise Error("there is no GitHub App here", hint="set MLRELEASE_APP_ID and MLRELEASE_APP_KEY")
    signed = wire(credentials, place, now=time.time)(requests.Request("GET", place.api_url).prepare())
    return str(signed.headers["Authorization"]).removeprefix("Bearer ")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], os.environ))
