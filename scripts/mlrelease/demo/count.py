"""The end of the story: what the clients saw, held against what the ledger says and what was told."""

from __future__ import annotations

from mlrelease.demo import tell
from mlrelease.demo.models import BETTER, FIRST, FORECASTS, GOOD, LATER, PROGRESSION, TUMOUR
from mlrelease.demo.place import ENVIRONMENTS, PRODUCTION, STAGING
from mlrelease.demo.proof import objections, proved
from mlrelease.demo.repository import MODELS, SERVICES
from mlrelease.demo.scene import Scene
from mlrelease.errors import Error

TOLD = {
    f"{STAGING}/{TUMOUR}": (GOOD, BETTER),
    f"{STAGING}/{PROGRESSION}": (GOOD, BETTER),
    f"{STAGING}/{FORECASTS}": (GOOD, BETTER, GOOD),
    f"{PRODUCTION}/{TUMOUR}": (GOOD, BETTER, GOOD),
    f"{PRODUCTION}/{PROGRESSION}": (GOOD, BETTER, GOOD),
    f"{PRODUCTION}/{FORECASTS}": (GOOD,),
}
"""Which versions answered, in order, if the story is true."""

_ROLES = {(f"{e}/{r.model}", r.version): r.note for e in ENVIRONMENTS for r in (*FIRST, *LATER)} | {
    (f"{e}/{FORECASTS}", v): note for e in ENVIRONMENTS for v, note in ((GOOD, "ARIMA"), (BETTER, "retrained"))
}


def count(scene: Scene) -> None:
    """Ends the load and shows what it got. Raises `Error` for a failed request and for any answer that must not be."""
    for environment in ENVIRONMENTS:
        scene.crew.check(f"load-{environment}", "the load")
        scene.crew.end(f"load-{environment}")
    scene.say("The clients stop here. What they saw:")
    found: list[str] = []
    proofs = 0
    for environment in ENVIRONMENTS:
        seen, events = scene.load(environment), scene.events(environment)
        scene.teller.lines(["", *tell.ending(seen, _ROLES)])
        for service in SERVICES:
            name = f"{environment}/{service}"
            answered, history = seen.of(name), proved(events, service, MODELS[service][0])
            proofs += len(history)
            found += [f"{name}: {objection}" for objection in objections(answered, history)]
            stays = tuple(span.version for span in answered.spans)
            if stays != TOLD[name]:
                found.append(f"{name} was answered by the versions {', '.join(stays)}, not {', '.join(TOLD[name])}")
    if found:
        raise Error("; ".join(found), where=str(scene.place.logs))
    scene.say(f"{proofs} times a version was declared proved, and from then on nobody got an answer from another.")
