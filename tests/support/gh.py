"""A program: the part of `gh api` that the pages use, over plain HTTP, which the real one does not speak.

`gh api PATH [--method M] [--input FILE|-] [-f KEY=TEXT]… [-F KEY=JSON]… [--jq .KEY]`, to `MLRELEASE_GITHUB_API` with
`GH_TOKEN`. Like the real one it prints the answer, and for a refusal the answer and exit code 1.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import urllib.error
import urllib.request


def main() -> int:
    parser = argparse.ArgumentParser(prog="gh")
    parser.add_argument("verb", choices=["api"])
    parser.add_argument("path")
    parser.add_argument("--method", "-X", default="")
    parser.add_argument("--input", default="")
    parser.add_argument("--field", "-F", action="append", default=[])
    parser.add_argument("--raw-field", "-f", action="append", default=[])
    parser.add_argument("--jq", default="")
    given = parser.parse_args()
    body = _body(given)
    request = urllib.request.Request(
        f"{os.environ['MLRELEASE_GITHUB_API']}/{given.path.lstrip('/')}",
        data=body,
        method=given.method or ("POST" if body else "GET"),
        headers={"Authorization": f"Bearer {os.environ['GH_TOKEN']}", "Content-Type": "application/json"},
    )
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            said = answer.read().decode()
    except urllib.error.HTTPError as error:
        print(error.read().decode())
        print(f"gh: HTTP {error.code}", file=sys.stderr)
        return 1
    print(json.loads(said)[given.jq.removeprefix(".")] if given.jq else said)
    return 0


def _body(given: argparse.Namespace) -> bytes | None:
    """The bytes of the file or of standard input, or an object of the fields; None without either."""
    if given.input == "-":
        return sys.stdin.buffer.read()
    if given.input:
        with open(given.input, "rb") as file:
            return file.read()
    fields = {key: value for key, _, value in (field.partition("=") for field in given.raw_field)}
    fields |= {key: json.loads(value) for key, _, value in (field.partition("=") for field in given.field)}
    return json.dumps(fields).encode() if fields else None


if __name__ == "__main__":
    sys.exit(main())
