"""Metrics for Prometheus, on an HTTP server of their own: https://prometheus.io/docs/instrumenting/exposition_formats/."""

import socket
import threading
from collections.abc import Awaitable, Callable, Iterable
from functools import cached_property
from socketserver import TCPServer, ThreadingMixIn
from typing import Final
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, make_wsgi_app

from shared.errors import SettingsInvalid
from shared.states import GenerationStatus
from shared.telemetry.metrics import AfterFailure
from shared.token_usage import TokenUsage

OTHER: Final = "other"
"""The label of what has no configured name."""
FIRST_TOKEN_SECONDS: Final = (0.1, 0.2, 0.3, 0.5, 0.75, 1, 1.5, 2, 3, 5, 10, 20, 30, 60, 120)


class PrometheusMetrics:
    """A registry and its metrics. One that the process never measures does not appear: a zero would be a lie."""

    def __init__(self, models: Iterable[str] = ()) -> None:
        self._models = frozenset(models)
        self._registry = CollectorRegistry()
        self._server: _Server | None = None

    @cached_property
    def _first_token(self) -> Histogram:
        told = "Seconds from a message's acceptance to the first token of its answer."
        name = "cortexai_time_to_first_token_seconds"
        return Histogram(name, told, buckets=FIRST_TOKEN_SECONDS, registry=self._registry)

    @cached_property
    def _tokens(self) -> Counter:
        told = "Tokens that model calls took, by model and kind (prompt or completion)."
        return Counter("cortexai_tokens_total", told, ("model", "kind"), registry=self._registry)

    @cached_property
    def _model_failures(self) -> Counter:
        told = "Model calls without a whole answer, by model, error code and what was done then."
        return Counter("cortexai_model_failures_total", told, ("model", "code", "then"), registry=self._registry)

    @cached_property
    def _generations(self) -> Counter:
        told = "Generations that have ended, by outcome (completed, failed or cancelled)."
        return Counter("cortexai_generations_total", told, ("outcome",), registry=self._registry)

    @cached_property
    def _feed_events_lost(self) -> Counter:
        told = "Events that no reader of a feed will get, since too many waited for Redis."
        return Counter("cortexai_feed_events_lost_total", told, registry=self._registry)

    @cached_property
    def _jobs_dropped(self) -> Counter:
        told = (
            "Items at the broker that are no jobs, by fault. Nobody but the deployment's processes should write there."
        )
        return Counter("cortexai_jobs_dropped_total", told, ("fault",), registry=self._registry)

    @cached_property
    def _open_streams(self) -> Gauge:
        return Gauge("cortexai_open_streams", "Streams that clients of this process read now.", registry=self._registry)

    @cached_property
    def _queue_age(self) -> Gauge:
        told = "Seconds since the oldest queued generation was accepted; 0 when none is queued."
        return Gauge("cortexai_queue_age_seconds", told, registry=self._registry)

    def first_token(self, seconds: float) -> None:
        """Note how long after its message was accepted an answer had its first token."""
        self._first_token.observe(seconds)

    def tokens(self, model: str, usage: TokenUsage) -> None:
        """Count the tokens that a model call took. What an endpoint reports may be any number; a counter only rises."""
        name = model if model in self._models else OTHER
        self._tokens.labels(name, "prompt").inc(max(0, usage.prompt_tokens))
        self._tokens.labels(name, "completion").inc(max(0, usage.completion_tokens))

    def model_failed(self, model: str, code: str, then: AfterFailure) -> None:
        """Count a model call without an answer."""
        self._model_failures.labels(model if model in self._models else OTHER, code, then).inc()

    def generation_ended(self, outcome: GenerationStatus, count: int = 1) -> None:
        """Count generations that have reached a terminal status."""
        self._generations.labels(outcome.value).inc(count)

    def feed_events_lost(self, count: int) -> None:
        """Count events that are lost."""
        self._feed_events_lost.inc(count)

    def job_dropped(self, fault: str) -> None:
        """Count an item that is no job."""
        self._jobs_dropped.labels(fault).inc()

    def open_streams(self, count: Callable[[], int]) -> None:
        """Have `count` asked for the number of open streams whenever somebody looks."""
        self._open_streams.set_function(count)

    async def queue_age(self, ask: Callable[[], Awaitable[float]]) -> None:
        """Note the age of the oldest queued generation in seconds."""
        self._queue_age.set(await ask())

    def serve(self, host: str, port: int) -> None:
        """Answer at http://host:port/metrics, on a thread, until `close` or the process's end.

        Raises:
            SettingsInvalid: it is not possible there.

        """
        try:
            self._server = _Server((host, port), _Quiet)
        except OSError as error:
            raise SettingsInvalid(f"METRICS_PORT: can't listen on {host}, port {port}: {error.strerror}") from error
        self._server.set_app(make_wsgi_app(self._registry))
        threading.Thread(target=self._server.serve_forever, name="metrics", daemon=True).start()

    def close(self) -> None:
        """Stop answering."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()


class _Server(ThreadingMixIn, WSGIServer):
    """Answers each request on a thread, so that one that is slow to read holds up nobody."""

    daemon_threads = True
    allow_reuse_port = False  # two processes must not share a port: each scrape would see another one's numbers

    def __init__(self, address: tuple[str, int], handler: type[WSGIRequestHandler]) -> None:
        self.address_family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        super().__init__(address, handler)

    def server_bind(self) -> None:
        """Bind without asking the DNS for the host's name, as the class of the standard library does."""
        TCPServer.server_bind(self)
        self.server_name, self.server_port = "localhost", self.server_address[1]
        self.setup_environ()


class _Quiet(WSGIRequestHandler):
    """Logs no requests: a scraper sends one every few seconds."""

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the standard library's name
        """Do nothing."""
