"""The same streams read by ChatGroq itself, in this process: what a program without a queue or a database would do."""

import asyncio
import time
from collections.abc import Mapping, Sequence

import httpx
from langchain_core.messages import HumanMessage
from langchain_groq import ChatGroq
from pydantic import SecretStr
from reading import Reading, check, take
from system import cpu_seconds, cpu_seconds_since


async def read_with_chatgroq(
    base_url: str, content: str, starts: Sequence[float], tokens: int
) -> tuple[list[Reading], Mapping[str, float]]:
    """Stream the answer to `content` once per start (seconds from now) through one ChatGroq.

    Returns what was read, and the CPU seconds used meanwhile; making the client and its first call are not counted.
    """
    limits = httpx.Limits(max_connections=len(starts), max_keepalive_connections=len(starts))
    async with httpx.AsyncClient(limits=limits, timeout=60) as client:
        model = ChatGroq(
            model_name="bench",
            base_url=base_url,
            api_key=SecretStr("bench"),
            max_retries=0,
            timeout=60,
            http_async_client=client,
        )
        await _read_one(model, "[[tokens=1]]", 0.0, 1)
        before = cpu_seconds()
        readings = await asyncio.gather(*(_read_one(model, content, start, tokens) for start in starts))
        return readings, cpu_seconds_since(before)


async def _read_one(model: ChatGroq, content: str, start: float, tokens: int) -> Reading:
    await asyncio.sleep(start)
    reading, text = Reading(sent_at=time.time_ns()), ""
    async for chunk in model.astream([HumanMessage(content)]):
        at = time.time_ns()
        reading.frames += 1
        *words, text = (text + chunk.text).split(" ")
        for word in words:
            take(word, at, reading)
    reading.faults += check(reading.tokens, tokens)
    return reading
