"""The command line of `approve` and `promote`: what can be said, and what is a slip of the pen."""

from __future__ import annotations

import subprocess
import sys

import pytest
from mlrelease.errors import UsageError
from mlrelease.parsing.words import _seconds


@pytest.mark.parametrize(("text", "expected"), [("90s", 90), ("10m", 600), ("24h", 86400), ("7d", 604800)])
def test_an_approval_expires_after_a_duration(text, expected):
    """A whole number and a unit, as in the files."""
    assert _seconds(text) == expected


@pytest.mark.parametrize("text", ["", "0s", "0d", "7", "-1h", "1.5h", "1w", "inf", "nan", "24 h", "never"])
def test_an_approval_without_an_end_is_none(text):
    """Neither for ever nor for no time."""
    with pytest.raises(UsageError, match="is no time to expire after") as raised:
        _seconds(text)
    assert raised.value.hint == "--expires 24h"


@pytest.mark.parametrize(
    "words",
    [
        pytest.param(["promote", "staging"], id="a promotion to nowhere"),
        pytest.param(["promote"], id="a promotion of nothing"),
        pytest.param(["approve"], id="an approval of nothing"),
        pytest.param(["approve", "production", "--expires"], id="an expiry without a time"),
    ],
)
def test_what_is_missing_is_usage(words, tmp_path):
    """Exit 2 and one line, no traceback."""
    done = subprocess.run(
        [sys.executable, "-m", "mlrelease.cli", *words], cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert "  try  mlrelease" in done.stderr
