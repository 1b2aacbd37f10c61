"""Two deployments on one Redis, each with a database and a prefix of its own; and a deployment whose prefix changes."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from uuid import uuid4

import httpx
import pytest
import redis

from services.launcher.embedded.valkey import EmbeddedValkey
from services.launcher.program import free_port
from shared import background
from shared.database.engine import open_database
from shared.deployment import announce
from tests.conftest import NewSystem, settings_for
from tests.doubles import groq_control
from tests.support.clients import logged_in, numbered, text_of
from tests.support.readers import Reader, User, user_of
from tests.support.system import System, eventually
from tests.support.turns import logged

NEVER_AGAIN = {"LEASE_SECONDS": "60", "SWEEP_INTERVAL_SECONDS": "60"}
"""A job that somebody else takes is not sent again in time, so that an answer proves that nobody took it."""
AGAIN_SOON = {"LEASE_SECONDS": "3", "SWEEP_INTERVAL_SECONDS": "0.5"}
ANSWERED_WITHIN = 30
"""Seconds, on a machine that is busy with other work. Less than a sweep's interval."""


@pytest.fixture
def one_redis(tmp_path: Path) -> Iterator[EmbeddedValkey]:
    """A Redis for several deployments."""
    with EmbeddedValkey(tmp_path / "one", appendonly=False) as server:
        yield server


@pytest.fixture
def deployment(new_system: NewSystem, one_redis: EmbeddedValkey) -> Callable[..., System]:
    """Makes deployments with a database of their own on the one Redis."""

    def make(**settings: str) -> System:
        return new_system(REDIS_URL=one_redis.url, **{**NEVER_AGAIN, **settings})

    return make


async def answers_come(url: str, answers: int) -> None:
    """Check that answers come, one after another."""
    async with logged_in(url) as client:
        chat = await client.new_chat()
        for _ in range(answers):
            async with asyncio.timeout(ANSWERED_WITHIN), client.post(chat, "[[tokens=3]]") as stream:
                assert text_of([event async for event in stream.events()]) == numbered(3)


async def test_two_deployments_with_prefixes_take_no_jobs_of_each_other(
    deployment: Callable[..., System], one_redis: EmbeddedValkey
) -> None:
    both = [deployment(REDIS_PREFIX="a:"), deployment(REDIS_PREFIX="b:")]
    started = [(system, await system.start_api(), await system.start_worker()) for system in both]
    await asyncio.gather(*(answers_come(url, 10) for _, (_, url), _ in started))
    with redis.Redis.from_url(one_redis.url) as server:
        assert {key.partition(b":")[0] for key in server.scan_iter()} == {b"a", b"b"}
        channels = {channel.partition(b":")[0] for channel in server.pubsub_channels()}
        assert channels == {b"a", b"b"}
    # Flower sees the workers of its own deployment only.
    port = free_port()
    both[0].start(["services.worker", "flower"], FLOWER_PORT=str(port), FLOWER_BASIC_AUTH="a:b\n")
    names: set[str] = set()

    def shown() -> bool:
        with suppress(httpx.TransportError):
            url = f"http://127.0.0.1:{port}/api/workers"
            names.update(httpx.get(url, params={"refresh": "true"}, auth=("a", "b"), timeout=20).json())
        return bool(names)

    await eventually(shown)
    assert [name.partition("@")[0] for name in names] == [f"generations-{started[0][2].pid}"]
    for system, _, worker in started:
        assert system.count("generations", "status = 'completed' AND attempt = 1") == 10
        assert "redis_shared" not in system.words(worker)
        system.end()


async def test_two_deployments_without_prefixes_are_warned_of_each_other(
    deployment: Callable[..., System], one_redis: EmbeddedValkey
) -> None:
    one, other = deployment(), deployment()
    await one.start_worker()
    with redis.Redis.from_url(one_redis.url) as server:
        await eventually(lambda: server.zcard("cortexai:deployments") == 1)
    worker = await other.start_worker()
    await other.logged(worker, "redis_shared")
    assert '"REDIS_PREFIX"' in other.words(worker)
    one.end()
    other.end()


async def test_a_redis_that_is_away_is_named_and_keeps_no_note_from_the_others(
    one_redis: EmbeddedValkey, database_url: str, groq_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    away = f"redis://127.0.0.1:{free_port()}/0"
    settings = settings_for(database_url, one_redis.url, groq_url, celery_broker_url=away)
    database = open_database(settings.database_url, pool_size=1)
    announcing = asyncio.create_task(announce(database, settings))
    with redis.Redis.from_url(one_redis.url) as server:
        await eventually(lambda: server.zcard("cortexai:deployments") == 1)
    await background.end(announcing)
    await database.dispose()
    assert [line["server"] for line in logged(caplog, "deployment_not_announced")] == ["CELERY_BROKER_URL"]


CHANGES = [
    ({}, {"REDIS_PREFIX": "new:", "REDIS_PREFIX_BEFORE": "none"}),
    ({"REDIS_PREFIX": "old:"}, {"REDIS_PREFIX_BEFORE": "old:"}),
    ({"REDIS_PREFIX": "new:", "REDIS_PREFIX_BEFORE": "none"}, {"REDIS_PREFIX": "new:"}),
]
IDS = ["from none", "to none", "the change is over"]


@pytest.mark.slow
@pytest.mark.parametrize(("before", "after"), CHANGES, ids=IDS)
async def test_an_answer_that_an_old_worker_began_goes_on_at_a_new_api_and_with_a_new_worker(
    before: dict[str, str], after: dict[str, str], deployment: Callable[..., System], groq_url: str
) -> None:
    system, gate = deployment(**AGAIN_SOON), uuid4().hex
    _, old_api = await system.start_api(**before)
    _, new_api = await system.start_api(**after)
    old_worker = await system.start_worker("generations", ahead=0, **before)
    async with user_of(old_api) as of_old, user_of(new_api) as of_new:
        of_new.http.headers["Authorization"] = of_old.http.headers["Authorization"]
        at_old, sent_by_new = [await one.ask(60, hold=gate, after=20) for one in (of_old, of_new)]
        # Hangs up again and again, and comes back to either API.
        of_both = User(of_old.http, [old_api, new_api])
        at_both = Reader(of_both, at_old.path, at_old.chat_id, 60, leave_after=7)
        for reader in (at_old, sent_by_new, at_both):
            await reader.said(20)
        new_worker = await system.start_worker("generations", ahead=0, **after)
        system.kill(old_worker)
        for reader in (at_old, sent_by_new):
            await reader.attempted(2)
        await groq_control.release(groq_url, gate)
        await of_old.all_is_well([at_old])
        await of_new.all_is_well([sent_by_new])
        await at_both.end()
        assert at_both.text == numbered(60)
    assert await system.stop(new_worker) == 0
    # A new worker alone answers what the old API and the new one accept.
    await system.start_worker("generations", ahead=0, **{**after, **NEVER_AGAIN})
    for url in (old_api, new_api):
        await answers_come(url, 3)
    system.end()
