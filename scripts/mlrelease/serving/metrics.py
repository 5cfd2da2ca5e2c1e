"""What Prometheus reads of one instance. Probes are not counted, so that rates and latencies are those of clients."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from mlrelease.model.live import Artifact
from mlrelease.serving.config import ServeConfig

# 1 s is the bound of the usual latency promise, so it is a bucket of its own; below 5 ms lie only the fastest models.
BUCKETS_S = (0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


class Metrics:
    """The counters of one process, in a registry of their own."""

    content_type = CONTENT_TYPE_LATEST

    def __init__(self, config: ServeConfig) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call] # a second series for each one, that nobody reads
        self._registry = CollectorRegistry()
        self._requests = Counter(
            "model_requests", "Prediction requests by status code.", ("model", "version", "code"), registry=self._registry
        )
        self._errors = Counter(
            "model_errors", "Prediction requests answered 5xx.", ("model", "version"), registry=self._registry
        )
        self._seconds = Histogram(
            "model_request_seconds",
            "Seconds from request to answer.",
            ("model", "version"),
            registry=self._registry,
            buckets=BUCKETS_S,
        )
        info = Gauge(
            "model_info",
            "1 for every model of this instance.",
            ("model", "version", "digest", "bundle"),
            registry=self._registry,
        )
        for m in config.models:
            info.labels(m.name, m.version, m.digest, config.bundle).set(1)
            self._errors.labels(m.name, m.version)  # a series at 0: a rate needs it before the first error
            self._seconds.labels(m.name, m.version)

    def count(self, model: Artifact | None, code: int, seconds: float) -> None:
        """One prediction request that was answered. `model` is None if none was chosen: labels never come from the request."""
        name, version = (model.name, model.version) if model else ("", "")
        self._requests.labels(name, version, str(code)).inc()
        self._seconds.labels(name, version).observe(seconds)
        if code >= 500:
            self._errors.labels(name, version).inc()

    def text(self) -> bytes:
        """The exposition."""
        return generate_latest(self._registry)
