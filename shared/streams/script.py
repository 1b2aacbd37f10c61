"""A script that runs in Redis, many times in one round trip."""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from redis.asyncio import Redis
from redis.exceptions import NoScriptError, RedisError

from shared.errors import StreamsUnavailable


class Call(NamedTuple):
    """One run of a script: the names that it touches, and its arguments."""

    names: Sequence[str]
    arguments: Sequence[int | bytes]


class Script:
    """A script in Lua. `run` runs it in one pipeline, each run atomic; a run may be repeated where the server forgot it."""

    def __init__(self, redis: Redis, source: str) -> None:
        self._redis = redis
        self._source = source
        self._sha = ""

    async def run(self, calls: Iterable[Call]) -> list[Any]:
        """The answers, in order. The answer of a run that failed is its exception.

        Raises:
            StreamsUnavailable: nothing is known about any of them.

        """
        try:
            replies = await self._run(calls := list(calls))
            if any(isinstance(reply, NoScriptError) for reply in replies):
                # A server that has restarted knows no scripts; a script that ran meanwhile runs again.
                self._sha = ""
                replies = await self._run(calls)
        except (RedisError, OSError) as error:
            raise StreamsUnavailable from error
        return replies

    async def _run(self, calls: Iterable[Call]) -> list[Any]:
        if not self._sha:
            self._sha = await self._redis.script_load(self._source)
        pipeline = self._redis.pipeline(transaction=False)
        for names, arguments in calls:
            pipeline.evalsha(self._sha, len(names), *names, *arguments)
        return await pipeline.execute(raise_on_error=False)
