"""From which networks an account has come in, so that tries from elsewhere can't keep its owner out.

Redis keeps for each account the newest MOST networks, as keyed hashes, until KEPT_FOR after the last one came in, or until
the account is deleted. The key is made of JWT_SECRET_KEY: without it, neither the account nor the network can be told. What was
remembered by a key of JWT_PREVIOUS_SECRET_KEYS is still known.
"""

import time
from collections.abc import Sequence
from typing import Final

from services.api.auth.shared_counts import TriesInRedis

MOST: Final = 16
KEPT_FOR: Final = 90 * 24 * 3600
"""Seconds."""


class KnownNetworks:
    """The networks of accounts. `account` and `network` are texts that stand for them."""

    def __init__(self, tries: TriesInRedis) -> None:
        self._tries = tries

    async def knows(self, account: str, network: str) -> bool | None:
        """Whether the account has come in from this network; None where Redis does not answer."""
        tries = self._tries
        kept = [(self._name(account, key), tries.digest(network, key=key)) for key in tries.keys]
        answer = await tries.ask(lambda: self._find(kept))
        return None if answer is None else answer > time.time() - KEPT_FOR

    async def _find(self, kept: Sequence[tuple[str, str]]) -> float:
        """When the account came in from there, in Unix seconds; 0 for never."""
        pipeline = self._tries.redis.pipeline(transaction=False)
        for name, member in kept:
            pipeline.zscore(name, member)
        return max(score or 0.0 for score in await pipeline.execute())

    async def remember(self, account: str, network: str) -> None:
        """Note that the account has come in from this network now."""
        name = self._name(account, self._tries.keys[0])
        pipeline = self._tries.redis.pipeline(transaction=False)
        pipeline.zadd(name, {self._tries.digest(network): int(time.time())})
        pipeline.zremrangebyrank(name, 0, -MOST - 1)
        pipeline.expire(name, KEPT_FOR)
        await self._tries.ask(pipeline.execute)

    async def forget(self, account: str) -> None:
        """Forget all networks of an account."""
        names = [self._name(account, key) for key in self._tries.keys]
        await self._tries.ask(lambda: self._tries.redis.delete(*names))

    def _name(self, account: str, key: bytes) -> str:
        return self._tries.name("known", account, key=key)
