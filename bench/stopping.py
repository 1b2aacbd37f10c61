"""How soon is the model left when an answer is stopped? From the request to the end of the model's call. See README.md."""

import argparse
import asyncio
import statistics
import sys
import time
import uuid
from typing import Final

import aiohttp
import uvloop
from system import PASSWORD, SystemFailed, running_system

from tests.doubles import groq_control
from tests.doubles.process import start_groq_double

TOKENS_BEFORE: Final = 5


def main() -> int:
    """Measure and print; returns 2 when nothing could be measured."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--answers", type=int, default=100, help="how many are stopped, one after the other")
    options = parser.parse_args()
    try:
        with start_groq_double() as groq_url, running_system(groq_url) as base_url:
            uvloop.run(_measure(base_url, groq_url, options.answers))
    except SystemFailed as error:
        print(error, file=sys.stderr)
        return 2
    return 0


async def _measure(base_url: str, groq_url: str, answers: int) -> None:
    async with aiohttp.ClientSession(base_url, raise_for_status=True) as http:
        account = {"email": "bench@example.com", "password": PASSWORD}
        await http.post("/api/auth/signup", json=account)
        async with http.post("/api/auth/login", json=account) as response:
            http.headers["Authorization"] = f"Bearer {(await response.json())['access_token']}"
        async with http.post("/api/chats", json={}) as response:
            chat = (await response.json())["id"]
        left, receipts = list[float](), list[float]()
        for _ in range(answers):
            to_end, to_receipt = await _stop_one(http, groq_url, chat)
            left.append(to_end * 1e3)
            receipts.append(to_receipt * 1e3)
    print(f"{'ms, of ' + str(answers) + ' answers':32} {'p50':>8} {'p95':>8} {'max':>8}")
    for name, figures in (("stop to the model's end", left), ("stop to the receipt", receipts)):
        p95 = statistics.quantiles(figures, n=20)[-1]
        print(f"{name:32} {statistics.median(figures):8.1f} {p95:8.1f} {max(figures):8.1f}")


async def _stop_one(http: aiohttp.ClientSession, groq_url: str, chat: int) -> tuple[float, float]:
    """Seconds from the request to the end of the model's call, and to the receipt."""
    words = uuid.uuid4().hex
    body = {"content": f"{words} [[tokens=2000 rate=50]]"}
    async with http.post(f"/api/chats/{chat}/messages", json=body) as response:
        tokens = 0
        async for line in response.content:
            tokens += b'"text-delta"' in line
            if tokens >= TOKENS_BEFORE:
                break
        generation = response.headers["X-Generation-Id"]
        begin, clock = time.time(), time.perf_counter()
        async with http.post(f"/api/generations/{generation}/cancel") as receipt:
            await receipt.read()
        to_receipt = time.perf_counter() - clock
    asked = await asyncio.wait_for(groq_control.requests(groq_url, containing=words, ended=1), 30)
    ended_at = next(request["ended_at"] for request in asked if request["outcome"] == "abandoned")
    if ended_at is None:
        raise SystemFailed("the model was not left")
    return ended_at - begin, to_receipt


if __name__ == "__main__":
    sys.exit(main())
