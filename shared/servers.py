"""Whether the servers that a process needs can be used at all. A server that is away may come back; one that refuses will not.

A process that finds out at its start ends with one sentence, instead of trying for ever what can't succeed.
"""

import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Final

import redis
from redis import exceptions
from redis.backoff import NoBackoff
from redis.retry import Retry

from shared.errors import SettingsInvalid
from shared.ids import new_generation_id
from shared.settings import RedisSettings
from shared.streams.names import channel, log_key
from shared.streams.redis import APPEND
from shared.telemetry.logs import get_logger

log = get_logger(__name__)

CONNECT_SECONDS: Final = 2
ANSWER_SECONDS: Final = 3
AGAIN_AFTER: Final = 2.0
USABLE: Final = ""
CLUSTER: Final = "the server is a Redis cluster, which can't be used: name a single server"
REFUSED: Final = "the server refuses the password or the user: check both"
PERMISSIONS: Final = "give the user all commands, and all keys and channels that begin with REDIS_PREFIX"
LASTING_WORDS: Final = (
    ("no permissions", PERMISSIONS),
    ("acl failure", PERMISSIONS),
    ("unknown command", PERMISSIONS),
    ("db index", "name a database that the server has, such as /0"),
)
"""Phrases in Redis's refusals that stay, each with what to do."""


@dataclass(frozen=True, slots=True)
class Server:
    """A server, the setting that names it, and a question: why can't it be used? USABLE, or None where it does not answer."""

    setting: str
    url: str = field(repr=False)
    why_unusable: Callable[[], str | None]


def redis_servers(settings: RedisSettings, *, streams: bool) -> Iterator[Server]:
    """The broker, and with `streams` the server of the stream logs. Once, where they are the same."""
    roles: dict[str, list[str]] = {}
    for name in ("celery_broker_url", *(["stream_redis_url"] if streams else [])):
        roles.setdefault(getattr(settings, name), []).append(name)
    for url, names in roles.items():
        setting = "REDIS_URL" if url == settings.redis_url else names[0].upper()
        check = partial(
            why_redis_is_unusable,
            url,
            prefix=settings.redis_prefix,
            jobs="celery_broker_url" in names,
            streams="stream_redis_url" in names,
        )
        yield Server(setting, url, check)


def insist(servers: Iterable[Server]) -> None:
    """Refuse to start on servers that can't be used. Those that do not answer are asked again on a thread, until they do.

    One that is found to be unusable later ends the process with 2, after one line in the log.

    Raises:
        SettingsInvalid: a server can't be used. The message says what to do.

    """
    silent = [server for server in servers if _ask(server) is None]
    if silent:
        threading.Thread(target=_insist_later, args=(silent,), name="servers", daemon=True).start()


def _ask(server: Server) -> str | None:
    reason = server.why_unusable()
    if reason:
        raise SettingsInvalid(f"{server.setting}: {reason}")
    return reason


def _insist_later(silent: list[Server]) -> None:
    while silent:
        time.sleep(AGAIN_AFTER)
        try:
            silent = [server for server in silent if _ask(server) is None]
        except SettingsInvalid as error:
            log.critical("settings_invalid", error=error.message)
            os._exit(2)


def why_redis_is_unusable(url: str, *, prefix: str, jobs: bool, streams: bool) -> str | None:
    """Why a Redis can't be used: it is a cluster, or refuses the user or what the work needs. Does some of that work."""
    with redis.Redis.from_url(
        url,
        socket_timeout=ANSWER_SECONDS,
        socket_connect_timeout=CONNECT_SECONDS,
        retry=Retry(NoBackoff(), 0),
    ) as client:
        try:
            if _is_cluster(client):
                return CLUSTER
            _work(client, prefix, jobs=jobs, streams=streams)
        except (redis.RedisError, OSError) as error:
            return _lasting(error)
    return USABLE


def _lasting(error: Exception) -> str | None:
    """What is said of an error that will come again and again; None for one that may pass."""
    if isinstance(error, redis.AuthenticationError):
        return REFUSED
    if isinstance(error, exceptions.MovedError):
        return CLUSTER
    said = " ".join(str(error).split())
    for words, remedy in LASTING_WORDS:
        if isinstance(error, redis.ResponseError) and words in said.lower():
            return f"{remedy} (the server says: {said})"
    return None


def _is_cluster(client: redis.Redis) -> bool:
    try:
        found: dict[str, object] = client.info("cluster")
    except exceptions.NoPermissionError:
        return False  # a hosted server; the work will show
    return bool(found.get("cluster_enabled"))


def _work(client: redis.Redis, prefix: str, *, jobs: bool, streams: bool) -> None:
    """The commands that workers need, on test keys that expire within seconds."""
    generation_id = new_generation_id()
    key, frames = log_key(generation_id, prefix), channel(generation_id, prefix)
    if streams:
        script = client.script_load(APPEND)
        client.evalsha(script, 2, key, frames, "1", "-1", "1000", "0", "0", "")
        client.xrevrange(key, count=1)
    if jobs:
        # Celery's locks are scripts too.
        client.evalsha(client.script_load("return redis.call('EXISTS', KEYS[1])"), 1, f"{key}:lock")
        pipeline = client.pipeline()
        pipeline.lpush(f"{key}:jobs", "")
        pipeline.expire(f"{key}:jobs", 10)
        pipeline.brpop([f"{key}:jobs"], timeout=1)
        pipeline.execute()
    with client.pubsub() as pubsub:  # type: ignore[no-untyped-call]
        pubsub.subscribe(frames)
        pubsub.parse_response()
    client.publish(frames, "")
