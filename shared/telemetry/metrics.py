"""What an operator sees in numbers: the port, and the adapter for where nobody looks.

No user's id and no content is in any of them. A label's values are few and known beforehand: a model's configured name, a
terminal status. A new metric is a method here, and its like in `shared.telemetry.prometheus`.
"""

from collections.abc import Awaitable, Callable, Iterable
from importlib import import_module
from typing import Literal, Protocol, cast

from shared.states import GenerationStatus
from shared.token_usage import TokenUsage

AfterFailure = Literal[
    "asked_again", "fallback", "without_tools", "without_prefill", "shortened", "continued", "failed"
]
"""What is done after a model call that gave no answer, or not all of it. `failed`: the answer ends with the error."""


class Metrics(Protocol):
    """What a process counts and measures. No method of its own accord raises or waits."""

    def first_token(self, seconds: float) -> None:
        """Note how long after its message was accepted an answer had its first token."""
        ...

    def tokens(self, model: str, usage: TokenUsage) -> None:
        """Count the tokens that a model call took."""
        ...

    def model_failed(self, model: str, code: str, then: AfterFailure) -> None:
        """Count a model call without an answer by its error code, and by what was done `then`."""
        ...

    def generation_ended(self, outcome: GenerationStatus, count: int = 1) -> None:
        """Count generations that have reached a terminal status."""
        ...

    def feed_events_lost(self, count: int) -> None:
        """Count events that no reader of a feed will get, since too many wait for Redis."""
        ...

    def job_dropped(self, fault: str) -> None:
        """Count an item at the broker that is no job, by its fault."""
        ...

    def open_streams(self, count: Callable[[], int]) -> None:
        """Have `count` asked for the number of open streams, on any thread, whenever somebody looks."""
        ...

    async def queue_age(self, ask: Callable[[], Awaitable[float]]) -> None:
        """Note the age of the oldest queued generation in seconds. `ask` is not asked where nobody looks; it may raise."""
        ...


class NullMetrics:
    """Metrics that nobody looks at."""

    def first_token(self, seconds: float) -> None:
        """Do nothing."""

    def tokens(self, model: str, usage: TokenUsage) -> None:
        """Do nothing."""

    def model_failed(self, model: str, code: str, then: AfterFailure) -> None:
        """Do nothing."""

    def generation_ended(self, outcome: GenerationStatus, count: int = 1) -> None:
        """Do nothing."""

    def feed_events_lost(self, count: int) -> None:
        """Do nothing."""

    def job_dropped(self, fault: str) -> None:
        """Do nothing."""

    def open_streams(self, count: Callable[[], int]) -> None:
        """Do nothing."""

    async def queue_age(self, ask: Callable[[], Awaitable[float]]) -> None:
        """Do nothing."""


def open_metrics(host: str, port: int | None, models: Iterable[str] = ()) -> Metrics:
    """The process's metrics, served at http://host:port/metrics to the process's end. Without a port nobody looks.

    Tokens are counted by these `models`; those of any other are counted together.

    Raises:
        SettingsInvalid: nothing can be served there, for instance because another process does so.

    """
    if port is None:
        return NullMetrics()
    # Not imported by processes that serve no metrics: the client takes 20 ms and 3 MB.
    adapter = import_module("shared.telemetry.prometheus").PrometheusMetrics(models)
    adapter.serve(host, port)
    return cast("Metrics", adapter)
