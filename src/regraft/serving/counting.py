"""The figures of a server, as Prometheus reads them."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_SECONDS = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30)
_DISTANCES = (0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5, 0.75, 1, 2)


class Figures:
    """Counts and times of one server; names begin with `regraft_`."""

    def __init__(self, counted: str = "images") -> None:
        """Everything begins at zero; `counted` are what is predicted, "images" or "texts"."""
        where = self._registry = CollectorRegistry()
        self.requests = Counter(
            "regraft_requests", "Requests by path and status.", ["path", "status"], registry=where
        )
        self.open = Gauge("regraft_open_requests", "Requests to predict under way.", registry=where)
        self.seconds = Histogram(
            "regraft_request_seconds",
            "Time of a request to predict.",
            buckets=_SECONDS,
            registry=where,
        )
        self.inputs = Counter(
            f"regraft_{counted}",
            f"{counted.capitalize()} by predicted class and flag.",
            ["predicted", "flag"],
            registry=where,
        )
        self.unfamiliarity = Histogram(
            "regraft_unfamiliarity",
            f"Distance from the training {counted}.",
            buckets=_DISTANCES,
            registry=where,
        )

    def answered(self, path: str, status: int) -> None:
        """Count an answer."""
        self.requests.labels(path, str(status)).inc()

    def measured(self, under_way: int, seconds: float | None) -> None:
        """Set how many requests to predict are under way, and count the time of one that ended."""
        self.open.set(under_way)
        if seconds is not None:
            self.seconds.observe(seconds)

    def text(self) -> bytes:
        """All of them in Prometheus' text format."""
        return generate_latest(self._registry)
