"""Metrics: what a scraper reads, what it never reads, and where."""

import urllib.request
from collections.abc import Callable, Iterator

import pytest

from services.launcher.program import free_port
from shared.errors import SettingsInvalid
from shared.states import GenerationStatus
from shared.telemetry.metrics import Metrics, NullMetrics, open_metrics
from shared.telemetry.prometheus import PrometheusMetrics
from shared.token_usage import TokenUsage

HOST = "127.0.0.1"


class Scraped:
    """Metrics on a port of their own, and what a scraper reads there."""

    def __init__(self) -> None:
        self.metrics = PrometheusMetrics(models=["big", "small"])
        self.port = free_port()
        self.metrics.serve(HOST, self.port)

    def text(self) -> str:
        with urllib.request.urlopen(f"http://{HOST}:{self.port}/metrics") as response:
            told: bytes = response.read()
        return told.decode()

    def values(self) -> dict[str, float]:
        """Each series with its value."""
        lines = [line for line in self.text().splitlines() if line and not line.startswith("#")]
        return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines)}


@pytest.fixture
def scraped() -> Iterator[Scraped]:
    made = Scraped()
    yield made
    made.metrics.close()


async def use(metrics: Metrics) -> None:
    """Measure all that there is."""

    async def age() -> float:
        return 4.5

    metrics.first_token(0.4)
    metrics.tokens("big", TokenUsage(20, 5, 25))
    metrics.tokens("big", TokenUsage(1, 1, 2))
    metrics.generation_ended(GenerationStatus.COMPLETED)
    metrics.generation_ended(GenerationStatus.CANCELLED, 3)
    metrics.feed_events_lost(2)
    metrics.job_dropped("not_json")
    metrics.open_streams(lambda: 7)
    await metrics.queue_age(age)


async def test_a_scraper_reads_what_was_measured(scraped: Scraped) -> None:
    await use(scraped.metrics)
    values = scraped.values()
    assert values["cortexai_time_to_first_token_seconds_count"] == 1
    assert values["cortexai_time_to_first_token_seconds_sum"] == 0.4
    assert values['cortexai_time_to_first_token_seconds_bucket{le="0.3"}'] == 0
    assert values['cortexai_time_to_first_token_seconds_bucket{le="0.5"}'] == 1
    assert values['cortexai_tokens_total{kind="prompt",model="big"}'] == 21
    assert values['cortexai_tokens_total{kind="completion",model="big"}'] == 6
    assert values['cortexai_generations_total{outcome="completed"}'] == 1
    assert values['cortexai_generations_total{outcome="cancelled"}'] == 3
    assert values["cortexai_feed_events_lost_total"] == 2
    assert values['cortexai_jobs_dropped_total{fault="not_json"}'] == 1
    assert values["cortexai_open_streams"] == 7
    assert values["cortexai_queue_age_seconds"] == 4.5


def test_what_was_never_measured_is_not_told(scraped: Scraped) -> None:
    assert scraped.values() == {}


def test_a_model_without_a_configured_name_is_counted_with_the_others(scraped: Scraped) -> None:
    for name in ("small", "what a user has made up", "and another"):
        scraped.metrics.tokens(name, TokenUsage(1, 1, 2))
    assert {series for series in scraped.values() if series.startswith("cortexai_tokens_total")} == {
        f'cortexai_tokens_total{{kind="{kind}",model="{model}"}}'
        for kind in ("prompt", "completion")
        for model in ("small", "other")
    }


def test_two_processes_can_not_share_a_port(scraped: Scraped) -> None:
    with pytest.raises(SettingsInvalid, match=f"METRICS_PORT: can't listen on {HOST}, port {scraped.port}"):
        open_metrics(HOST, scraped.port)


def test_a_host_that_is_not_this_one_is_refused() -> None:
    with pytest.raises(SettingsInvalid, match="METRICS_PORT"):
        open_metrics("192.0.2.1", free_port())


async def test_without_a_port_nobody_looks_and_nothing_is_asked() -> None:
    metrics = open_metrics(HOST, None)
    assert isinstance(metrics, NullMetrics)
    await use(metrics)

    async def fail() -> float:
        raise AssertionError

    await metrics.queue_age(fail)


@pytest.mark.parametrize("adapter", [NullMetrics, PrometheusMetrics])
async def test_every_adapter_takes_all_that_the_port_offers(adapter: Callable[[], Metrics]) -> None:
    await use(adapter())
