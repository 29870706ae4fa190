"""What Prometheus reads."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    Info,
    ProcessCollector,
    generate_latest,
)
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

CONTENT_TYPE = CONTENT_TYPE_PLAIN_0_0_4

# Seconds, from a short text alone to the largest request on a busy machine.
_SECONDS = (0.001, 0.002, 0.004, 0.008, 0.016, 0.032, 0.064, 0.128, 0.256, 0.512, 1, 2, 4, 8, 16)
_BATCH_TEXTS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)


class Metrics:
    """The counters of one server."""

    def __init__(self, waiting_texts: Callable[[], float], facts: dict[str, str]) -> None:
        """Start at zero.

        Args:
            waiting_texts: Returns how many texts wait for the engine or are in it.
            facts: What is served: labels of bge_micro_info.
        """
        self._registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        Info("bge_micro", "What is served.", registry=registry).info(facts)
        queue = Gauge("bge_micro_queue_texts", "Texts that wait or are encoded.", registry=registry)
        queue.set_function(waiting_texts)
        self._requests = Counter(
            "bge_micro_requests", "Requests.", ("route", "status"), registry=registry
        )
        self._seconds = Histogram(
            "bge_micro_request_seconds",
            "Time from a request's head to the end of its answer.",
            ("route",),
            buckets=_SECONDS,
            registry=registry,
        )
        self._refused = Counter(
            "bge_micro_refused_connections",
            "Connections closed for what came on them, or did not: by the answer's status.",
            ("status",),
            registry=registry,
        )
        self._unread = Counter(
            "bge_micro_unread_answers", "Answers that were not read in time.", registry=registry
        )
        self._texts = Counter("bge_micro_texts", "Texts embedded or scored.", registry=registry)
        self._tokens = Counter("bge_micro_tokens", "Tokens embedded or scored.", registry=registry)
        self._truncated = Counter(
            "bge_micro_truncated_texts", "Texts used up to the limit only.", registry=registry
        )
        self._batch = Histogram(
            "bge_micro_batch_texts",
            "Texts that were encoded together.",
            buckets=_BATCH_TEXTS,
            registry=registry,
        )

    def count_request(self, route: str, status: int, seconds: float) -> None:
        """Count an answered request."""
        self._requests.labels(route, status).inc()
        self._seconds.labels(route).observe(seconds)

    def count_refused(self, status: int) -> None:
        """Count a connection that is closed, with this status or without a word."""
        self._refused.labels(int(status)).inc()

    def count_unread(self) -> None:
        """Count an answer whose client did not read it."""
        self._unread.inc()

    def count_embedded(self, texts: int, tokens: int, truncated: int) -> None:
        """Count the texts of a request."""
        self._texts.inc(texts)
        self._tokens.inc(tokens)
        if truncated:
            self._truncated.inc(truncated)

    def count_batch(self, texts: int) -> None:
        """Count a call of the core."""
        self._batch.observe(texts)

    def text(self) -> bytes:
        """Return everything in Prometheus' text format."""
        return generate_latest(self._registry)
