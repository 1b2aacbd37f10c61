"""How often something has happened lately in all processes of the deployment: counts in Redis.

The library `limits` has such counts too. But it makes a round trip for each limit, and its counts for the time without Redis
have no bound: made-up addresses would fill the memory.
"""

import asyncio
import hashlib
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final

from redis.asyncio import Redis
from redis.exceptions import RedisError

from services.api.auth.local_counts import NEVER, Count
from shared.errors import StreamsUnavailable
from shared.streams.script import Call, Script
from shared.telemetry.logs import get_logger

log = get_logger(__name__)

WITHIN: Final = 2.0
"""Seconds after which Redis is given up for a while."""
AGAIN_AFTER: Final = 5.0
"""Seconds in which a Redis that failed is not asked."""
DIGEST_BYTES: Final = 16
MILLISECONDS: Final = 1000

# A count without an end would lock somebody out for ever, so each run sees to it that there is one.
ADD: Final = """
local number = redis.call('INCR', KEYS[1])
local left = redis.call('PTTL', KEYS[1])
if left < 0 then
    redis.call('PEXPIRE', KEYS[1], ARGV[1])
    left = tonumber(ARGV[1])
end
return {number, left}
"""


class TriesInRedis:
    """Redis for what can be done without for a while. No answer (None) comes at once while Redis is down.

    Names begin with the deployment's `prefix`, and end in keyed hashes, so that Redis holds neither the addresses of networks
    nor those of people. `keys` are made of the `secret` and of `others`, the first one for all that is new.
    """

    def __init__(
        self, redis: Redis, *, prefix: str, secret: str, others: Sequence[str] = (), within: float = WITHIN
    ) -> None:
        self.redis = redis
        self._prefix = f"{prefix}cortexai:tries:"
        self.keys = tuple(hashlib.sha256(b"cortexai tries\0" + each.encode()).digest() for each in (secret, *others))
        self._within = within
        self._again = 0.0

    def digest(self, *parts: str, key: bytes | None = None) -> str:
        """What stands for some texts, by the first key or another one."""
        return hashlib.blake2b("\0".join(parts).encode(), key=key or self.keys[0], digest_size=DIGEST_BYTES).hexdigest()

    def name(self, kind: str, *parts: str, key: bytes | None = None) -> str:
        """The name of what belongs to some texts."""
        return f"{self._prefix}{kind}:{self.digest(*parts, key=key)}"

    async def ask(self, question: Callable[[], Awaitable[Any]]) -> Any:  # noqa: ANN401 - redis-py's
        """What Redis answers; None when Redis does not answer in time, or did not a moment ago."""
        if time.monotonic() < self._again:
            return None
        try:
            async with asyncio.timeout(self._within):
                return await question()
        except (RedisError, StreamsUnavailable, OSError, TimeoutError) as error:
            self._again = time.monotonic() + AGAIN_AFTER
            log.warning("tries_counted_locally", error=type(error).__name__, seconds=AGAIN_AFTER)
            return None


class SharedCounts:
    """Counts by name, as LocalCounts has them by key. None where Redis does not answer."""

    def __init__(self, tries: TriesInRedis) -> None:
        self._tries = tries
        self._add = Script(tries.redis, ADD)

    async def find(self, names: Sequence[str]) -> list[Count] | None:
        """The counts of these names."""
        pipeline = self._tries.redis.pipeline(transaction=False)
        for name in names:
            pipeline.get(name)
            pipeline.pttl(name)
        answers = await self._tries.ask(pipeline.execute)
        if answers is None:
            return None
        pairs = zip(answers[::2], answers[1::2], strict=True)
        return [Count(int(number), left / MILLISECONDS) if number and left > 0 else NEVER for number, left in pairs]

    async def add(self, windows: Mapping[str, int]) -> list[Count] | None:
        """Count one more under each name. `windows` are the seconds of their windows. Returns the counts with it."""
        calls = [Call((name,), (seconds * MILLISECONDS,)) for name, seconds in windows.items()]
        answers = await self._tries.ask(lambda: self._run(calls))
        return None if answers is None else [Count(number, left / MILLISECONDS) for number, left in answers]

    async def _run(self, calls: Sequence[Call]) -> list[Any]:
        answers = await self._add.run(calls)
        for answer in answers:
            if isinstance(answer, RedisError):  # such as that of a server that is out of memory
                raise answer
        return answers

    async def clear(self, name: str) -> None:
        """Forget a name."""
        await self._tries.ask(lambda: self._tries.redis.delete(name))
