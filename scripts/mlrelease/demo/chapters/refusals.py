"""What does not get in: a worse version, a broken signature, a pickle that runs code, and what was rejected before."""

from __future__ import annotations

import json

from mlrelease.demo.models import BETTER, HOSTILE, LATER_DONE, PROGRESSION, THIRD, TUMOUR
from mlrelease.demo.place import PRODUCTION, STAGING
from mlrelease.demo.scene import Scene
from mlrelease.errors import Error


def refusals(scene: Scene) -> None:
    """Three versions that must not go live, each refused with the reason, each by another gate."""
    scene.say("Meanwhile more versions were registered:")
    scene.wait_for_models(LATER_DONE)
    _third(scene)
    _hostile(scene)


def _third(scene: Scene) -> None:
    scene.say(
        f"Version {THIRD} of `{TUMOUR}` is worse than what serves; version {THIRD} of `{PROGRESSION}` is as good as the best, "
        "but wants a column under another name. The check of their pull request says so, and when somebody merges it all the "
        "same, the host says it again and lets everything be."
    )
    scene.bump("third", TUMOUR, PROGRESSION, "--to", THIRD)
    scene.run("validate third", "mlrelease", "validate", expected=5)
    scene.push("third")
    scene.deploy("third", STAGING, expected=5)
    # One refusal alone would end with 5 too: each service by its own gate.
    told = json.loads(scene.quiet("mlrelease", "--output", "json", "history", STAGING, "--limit", "1000"))["events"]
    blocked = max((event for event in told if event["kind"] == "deploy_finished"), key=lambda event: str(event["at"]))[
        "services"
    ]
    for service, gate in ((TUMOUR, "metric"), (PROGRESSION, "signature")):
        receipt = blocked.get(service, {})
        if receipt.get("outcome") != "blocked" or f"gate {gate} failed" not in receipt["reason"]:
            raise Error(
                f"version {THIRD} of {service} was not refused by the gate {gate}: {receipt.get('reason', 'no receipt')}"
            )
    scene.run("revert third", "git", "revert", "--no-edit", "HEAD~2..HEAD")
    scene.push("revert of the third")


def _hostile(scene: Scene) -> None:
    scene.say(
        f"Version {HOSTILE} of `{TUMOUR}` calls itself a classifier and is a pickle that runs a shell command when it is "
        "loaded. It is read as data, never loaded: not even `bump` gets that far."
    )
    scene.bump("hostile", TUMOUR, "--to", HOSTILE, expected=5)
    if scene.place.trace.exists():
        raise Error("the hostile pickle was loaded: it left its trace", where=str(scene.place.trace))
    scene.say("The command would have left a trace. There is none.")


def rejected(scene: Scene) -> None:
    """What was moved back from does not come again by itself."""
    scene.say(
        f"A bot proposes version {BETTER} of `{PROGRESSION}` again, as bots do. It was rolled back from in production: it does "
        "not come in again until somebody lifts that with a reason."
    )
    scene.run("promote again", "mlrelease", "promote", STAGING, PRODUCTION, "--model", PROGRESSION, expected=5)
    scene.run("bump again", "mlrelease", "bump", PRODUCTION, PROGRESSION, "--to", BETTER, expected=5)
