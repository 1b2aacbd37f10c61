"""Workers and Redis die while completions are streamed at OpenAI's door, whose clients can't come again."""

import asyncio
import json
import shutil
from typing import Any
from uuid import uuid4

import pytest

from tests.doubles import groq_control
from tests.support.clients import numbered
from tests.support.readers import User
from tests.support.system import System


class Completion:
    """A completion that is being read. `text` is what came of it, `events` are its chunks."""

    def __init__(self, user: User, directive: str, *, is_streamed: bool = True) -> None:
        message = {"role": "user", "content": f"Hello [[{directive}]]"}
        self._body = {"model": "double", "messages": [message], "stream": is_streamed}
        self._user = user
        self._has_more = asyncio.Condition()
        self.text = ""
        self.reason: str | None = None
        self.reading = asyncio.create_task(self._read() if is_streamed else self._wait())

    async def _read(self) -> None:
        async with self._user.http.stream("POST", "/v1/chat/completions", json=self._body, timeout=60) as response:
            assert response.status_code == 200
            async for line in response.aiter_lines():
                if not line.startswith("data: {"):
                    continue
                self._take(json.loads(line.removeprefix("data: ")))
                async with self._has_more:
                    self._has_more.notify_all()

    async def _wait(self) -> None:
        response = await self._user.http.post("/v1/chat/completions", json=self._body, timeout=60)
        (choice,) = response.json()["choices"]
        self.text, self.reason = choice["message"]["content"], choice["finish_reason"]

    def _take(self, chunk: dict[str, Any]) -> None:
        (choice,) = chunk["choices"]
        assert self.reason is None
        self.text += choice["delta"].get("content") or ""
        self.reason = choice["finish_reason"]

    async def said(self, tokens: int) -> None:
        """Wait until so much of the answer has come."""
        async with asyncio.timeout(20), self._has_more:
            await self._has_more.wait_for(lambda: self.text.startswith(numbered(tokens)) or self.reading.done())

    async def ended(self, tokens: int) -> None:
        """The answer has come whole, every character once."""
        async with asyncio.timeout(60):
            await self.reading
        assert (self.text, self.reason) == (numbered(tokens), "stop")


async def test_a_completion_goes_on_though_its_workers_are_killed(system: System, user: User, groq_url: str) -> None:
    worker = await system.start_worker()
    gate = uuid4().hex
    streamed = Completion(user, f"tokens=30 hold={gate} after=10")
    whole = Completion(user, f"tokens=30 hold={gate} after=10", is_streamed=False)
    await streamed.said(10)
    await groq_control.requests(groq_url, held=2)
    await system.start_worker()
    system.kill(worker)
    await groq_control.release(groq_url, gate)
    await asyncio.gather(streamed.ended(30), whole.ended(30))
    assert system.count("generations", "losses = 1 AND status = 'completed'") == 2


@pytest.mark.parametrize("loses_its_data", [False, True])
async def test_a_completion_goes_on_though_redis_crashes(system: System, user: User, *, loses_its_data: bool) -> None:
    await system.start_worker()
    completions = [Completion(user, "tokens=150 rate=25") for _ in range(4)]
    await asyncio.gather(*(one.said(20) for one in completions))
    await asyncio.to_thread(system.valkey.kill)
    if loses_its_data:
        shutil.rmtree(system.valkey.directory / "appendonlydir")
    await asyncio.to_thread(system.valkey.start)
    await asyncio.gather(*(one.ended(150) for one in completions))
    assert system.count("generations", "attempt > 1") == 0
