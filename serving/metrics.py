"""The counters that Prometheus reads at /metrics."""

import os
from collections.abc import Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10)  # seconds
WARNING_KINDS = ("outside_range", "unknown_category")


class RequestMetrics:
    """The counters of one process; `to_text` sums all processes if PROMETHEUS_MULTIPROC_DIR names a folder."""

    def __init__(self, name: str, version: str, classes: tuple[str, ...]) -> None:
        self._registry = registry = CollectorRegistry()
        requests = Counter("requests", "Requests answered", ["route", "status"], "serving", registry=registry)
        latency = Histogram(
            "latency_seconds", "From headers to answer", ["route"], "serving", registry=registry, buckets=BUCKETS
        )
        self._requests, self._latency = requests, latency
        self._rows = Counter("rows", "Rows predicted", namespace="serving", registry=registry)
        by_class = Counter("predictions", "Rows predicted, by class", ["label"], "serving", registry=registry)
        self._classes = [by_class.labels(label) for label in classes]
        warnings = Counter("warnings", "Unusual values in predicted rows", ["kind"], "serving", registry=registry)
        self._warnings = {kind: warnings.labels(kind) for kind in WARNING_KINDS}
        self._children: dict[tuple[str, int], tuple[Counter, Histogram]] = {}
        info = Gauge("model_info", "1 for the version that answers", ["name", "version"], "serving",
                     registry=registry, multiprocess_mode="livemax")  # fmt: skip
        info.labels(name, version).set(1)

    def count_request(self, route: str, status: int, seconds: float) -> None:
        key = (route, status)
        if key not in self._children:  # kept, because looking up a label costs more than counting
            self._children[key] = (self._requests.labels(route, str(status)), self._latency.labels(route))
        counter, histogram = self._children[key]
        counter.inc()
        histogram.observe(seconds)

    def count_predictions(self, n_rows: int, classes: list[int], warnings: Mapping[str, int]) -> None:
        """Count rows, warnings, and predicted classes.

        Args:
            classes: rows by the code of their class; empty for a model that does not predict one class.
            warnings: their number by kind.
        """
        self._rows.inc(n_rows)
        for code, count in enumerate(classes):
            if count:
                self._classes[code].inc(count)
        for kind, count in warnings.items():
            self._warnings[kind].inc(count)

    def to_text(self) -> bytes:
        """Prometheus' text format."""
        registry = self._registry
        if "PROMETHEUS_MULTIPROC_DIR" in os.environ:
            registry = CollectorRegistry()
            MultiProcessCollector(registry)
        return generate_latest(registry)
