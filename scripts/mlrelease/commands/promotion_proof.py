"""What the source environment proved of a pin, for those who read the commit or the pull request that moves it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from mlrelease.history.fold import History, Recorded
from mlrelease.history.promotion import proof_of
from mlrelease.model.bundle import ComponentKey, ImagePin, ModelPin, model_key
from mlrelease.model.event import DeployFinished, Event, UnknownEvent
from mlrelease.model.spec import EnvironmentSpec, ServiceSpec
from mlrelease.model.when import iso
from mlrelease.plan.promote import Candidate


@dataclass(frozen=True, slots=True)
class SourceProof:
    """The history of the environment promoted from, and the events that it was folded from."""

    history: History
    events: Sequence[Event | UnknownEvent]

    def lines(self, proof: Recorded | None, key: ComponentKey) -> list[str]:
        """When it was verified, by which receipt, and what the gates of that pass said of the component."""
        if proof is None:
            return []
        gates = self._gates(proof.event, key)
        verified = f"Verified {iso(proof.at)} at revision {proof.revision} (receipt {proof.event})"
        return [verified, *([f"Gates in {self.history.environment}: {gates}"] if gates else [])]

    def sentences(self, dest: EnvironmentSpec, service: ServiceSpec | None) -> tuple[str, ...]:
        """The same for every model of the service that differs from what the destination has, each named."""
        soak = f"{dest.soak_s:g} s" if dest.soak_s else "none asked for"
        return (*(self._moving(dest, service) if service else ()), f"Soak in {self.history.environment}: {soak}")

    def _moving(self, dest: EnvironmentSpec, service: ServiceSpec) -> Iterator[str]:
        before = dest.services.get(service.name)
        old = {model.name: model.pin for model in before.models} if before else {}
        image_moves = before is not None and before.image != service.image
        for model in service.models:
            if image_moves or old.get(model.name) != model.pin:
                said = self.lines(proof_of(self.history, model.pin, service.image.reference), model_key(model.name))
                yield from (f"{model.name} {model.pin.version}: {line}" for line in said)

    def _gates(self, receipt: str, component: str) -> str:
        """`exists passed, digest passed`."""
        said = [
            f"{result['gate']} {result['status']}"
            for event in self.events
            if isinstance(event, DeployFinished) and event.id == receipt
            for _, one in sorted(event.services.items())
            for result in one.gate_results
            if result.get("component") == component
        ]
        return ", ".join(said)


def promotion_message(
    dest: EnvironmentSpec, candidate: Candidate, pin: ModelPin | ImagePin, known: SourceProof, *, waits: str, origin: str
) -> str:
    """What a reviewer wants to know, and an auditor later: where it was proved, by which receipt, for how long.

    `waits` is what is still to be waited for, `origin` what MLflow says that made it.
    """
    source = known.history.environment
    before, after = candidate.labels
    if isinstance(pin, ModelPin):
        subject = f"Promote {pin.name} {pin.version} to {dest.name}"
        proof = proof_of(known.history, pin, candidate.image)
        body = [f"{before} → {pin.version}, as verified in {source}" + (f" ({after} there)" if after != pin.version else "")]
    else:
        subject = f"Promote the image of {candidate.service} to {dest.name}"
        proofs = [proof_of(known.history, model.pin, pin.reference) for model in dest.services[candidate.service].models]
        proof = next((one for one in proofs if one is not None), None)
        body = [f"{before} → {after}, as verified in {source}"]
    body += ["", f"Digest {pin.digest}", *known.lines(proof, candidate.key)]
    soak = f"{dest.soak_s:g} s" + (f", {waits}" if waits else ", served") if dest.soak_s else "none asked for"
    body.append(f"Soak in {source}: {soak}")
    body += [f"MLflow {origin}"] if origin else []
    return "\n".join([subject, "", *body]) + "\n"
