"""Each part of the system has a user of its own in Redis, which may do what the part needs and no more."""

import re
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import httpx
import pytest
from redis import Redis
from redis.exceptions import NoPermissionError

from services.launcher.embedded.valkey import EmbeddedValkey
from services.launcher.program import free_port
from shared.ids import GenerationId, UserId
from shared.redis_roles import RedisPart, rules
from shared.streams.redis import connect
from shared.streams.removal import NOTES, Deleted, Removal
from tests.conftest import NewSystem
from tests.support.readers import user_of
from tests.support.system import eventually

PARTS: tuple[RedisPart, ...] = ("api", "worker", "flower")


def add_users(server: EmbeddedValkey, prefix: str) -> dict[RedisPart, str]:
    """Make a user for each part. Returns their URLs."""
    place = server.url.rpartition("@")[2]
    with Redis.from_url(server.url) as admin:
        for part in PARTS:
            admin.execute_command("ACL", "SETUSER", part, *f">{part}-password {rules(part, (prefix,))}".split())
        admin.execute_command("ACL", "LOG", "RESET")
    return {part: f"redis://{part}:{part}-password@{place}" for part in PARTS}


def denied(server: EmbeddedValkey) -> list[tuple[Any, ...]]:
    """What the server has refused: user, reason, object."""
    with Redis.from_url(server.url, decode_responses=True) as admin:
        log: list[dict[str, Any]] = admin.acl_log()
    return [(entry["username"], entry["reason"], entry["object"], entry["context"]) for entry in log]


@pytest.mark.parametrize("prefix", ["", "staging:"])
async def test_answers_come_and_nothing_that_a_part_needs_is_refused(new_system: NewSystem, prefix: str) -> None:
    tries = {"SIGNUPS_PER_HOUR": "100", "LOGIN_BAD_TRIES_OF_NETWORK": "1"}
    system = new_system(
        LEASE_SECONDS="3", SWEEP_INTERVAL_SECONDS="0.5", REDIS_PREFIX=prefix, TITLE_BY_MODEL="true", **tries
    )
    urls = add_users(system.valkey, prefix)
    try:
        api, url = await system.start_api(REDIS_URL=urls["api"])
        worker = await system.start_worker("generations,summaries,maintenance", REDIS_URL=urls["worker"])
        beat = system.start(["services.worker", "beat"], REDIS_URL=urls["worker"])
        port = free_port()
        login = {"FLOWER_BASIC_AUTH": "ops:secret-word", "FLOWER_PORT": str(port)}
        flower = system.start(["services.worker", "flower"], REDIS_URL=urls["flower"], **login)
        async with user_of(url) as user:
            reader = await user.ask(tokens=50, rate=25)
            await reader.said(3)
            (await user.send("POST", f"/api/chats/{reader.chat_id}/stop")).raise_for_status()
            await reader.end()
            assert reader.terminal["type"] == "abort"
            user.readers.remove(reader)
            await user.ask(tokens=5)
            await user.all_is_well()
            strangers = {"email": "nobody@example.com", "password": "wrong password"}
            answers = [await user.http.post("/api/auth/login", json=strangers) for _ in range(2)]
            assert [answer.status_code for answer in answers] == [401, 429]
            assert (await user.send("DELETE", "/api/auth/me")).status_code == 204
        assert "tries_counted_locally" not in system.words(api)
        await eventually(lambda: sees_worker(port))
        assert {worker.poll(), beat.poll(), flower.poll()} == {None}
        assert await system.stop(worker) == 0
        assert "Control command error" not in system.words(worker)
        assert denied(system.valkey) == []
    finally:
        system.end()


def sees_worker(port: int) -> bool:
    """Whether Flower knows a worker, by its events and by asking it."""
    try:
        answer = httpx.get(f"http://127.0.0.1:{port}/api/workers?refresh=1", auth=("ops", "secret-word"), timeout=10)
    except httpx.HTTPError:
        return False
    return answer.status_code == httpx.codes.OK and {"active_queues", "conf"} <= set(re.findall(r"\w+", answer.text))


FORBIDDEN: dict[RedisPart, list[str]] = {
    "api": [
        "BRPOP generations 1",
        "RPOP generations",
        "LRANGE generations 0 -1",
        "DEL generations",
        "HGETALL unacked",
        "PUBLISH /0.celery.pidbox x",
        "PSUBSCRIBE /0.celeryev*",
        "GET other:key",
    ],
    "worker": ["GET other:key", "SUBSCRIBE other", "LRANGE generations 0 -1"],
    "flower": [
        "LPUSH generations x",
        "BRPOP generations 1",
        "LRANGE generations 0 -1",
        "XRANGE cortexai:{x}:log - +",
        "XADD cortexai:{x}:log * frame x",
        "GET other:key",
    ],
}
EVERYBODY = [
    *("FLUSHALL", "FLUSHDB", "CONFIG GET *", "CONFIG SET maxmemory 1", "KEYS *", "SCAN 0", "RANDOMKEY", "DBSIZE"),
    *("SHUTDOWN NOSAVE", "REPLICAOF 127.0.0.1 1", "ACL LIST", "ACL WHOAMI", "MONITOR", "SAVE"),
    *("EVAL return(1) 0", "SCRIPT FLUSH", "FUNCTION LIST", "CLIENT KILL TYPE normal", "CLIENT PAUSE 1", "CLIENT LIST"),
    *("MIGRATE 127.0.0.1 1 x 0 1", "SWAPDB 0 1", "MOVE x 1", "SLOWLOG GET", "LATENCY LATEST", "MODULE LIST"),
]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedValkey]:
    with EmbeddedValkey(tmp_path_factory.mktemp("rights"), appendonly=False) as started:
        add_users(started, "")
        yield started


@pytest.mark.parametrize(
    ("part", "command"), [(part, command) for part in PARTS for command in (*FORBIDDEN[part], *EVERYBODY)]
)
def test_a_part_may_not(server: EmbeddedValkey, part: RedisPart, command: str) -> None:
    with (
        Redis(port=server.port, username=part, password=f"{part}-password") as client,
        pytest.raises(NoPermissionError),
    ):
        client.execute_command(*command.split())


async def test_the_api_may_remove_what_is_deleted_and_a_worker_what_is_left(server: EmbeddedValkey) -> None:
    generation, user = GenerationId(uuid4()), UserId(1)
    deleted = Deleted([user], [generation])
    url = f"redis://{{0}}:{{0}}-password@127.0.0.1:{server.port}/0"
    api, worker = (connect(url.format(part)) for part in ("api", "worker"))
    removal = Removal(api, log_seconds=900)
    await removal.note(deleted)
    await removal.delete_logs([generation])
    await removal.expire_logs([generation])
    notes: Any = await worker.zrange(NOTES, 0, -1)
    await worker.zadd(NOTES, dict.fromkeys(notes, 0))
    removal = Removal(worker, log_seconds=900)
    assert await removal.find_noted() == deleted
    await removal.expire_logs([generation])
    await removal.expire_feeds([user])
    await removal.forget_noted(deleted)
    assert await removal.find_noted() == Deleted([], [])
    await api.aclose()
    await worker.aclose()


@pytest.mark.parametrize("part", PARTS)
def test_a_script_may_do_no_more_than_its_user(server: EmbeddedValkey, part: RedisPart) -> None:
    with Redis(port=server.port, username=part, password=f"{part}-password") as client:
        script = client.script_load("return redis.call('FLUSHALL')")
        with pytest.raises(Exception, match=r"(?i)acl failure|no permission"):
            client.evalsha(script, 0)


@pytest.mark.parametrize("part", PARTS)
def test_a_prefix_keeps_a_part_out_of_another_deployment(server: EmbeddedValkey, part: RedisPart) -> None:
    with Redis.from_url(server.url) as admin:
        admin.execute_command("ACL", "SETUSER", "other", *f">x {rules(part, ('other:',))}".split())
    with Redis(port=server.port, username="other", password="x") as client:
        for command in ("XADD cortexai:{x}:log * frame x", "LPUSH generations x", "SADD _kombu.binding.x y"):
            with pytest.raises(NoPermissionError):
                client.execute_command(*command.split())
