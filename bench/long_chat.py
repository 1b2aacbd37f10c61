"""Does a long chat answer as soon as an empty one? Times from POST to first token, in turn. See README.md."""

import argparse
import asyncio
import os
import statistics
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any, Final

import aiohttp
import psutil
import uvloop
from system import PASSWORD, SystemFailed, running_system

from shared.jobs.names import MAINTENANCE_QUEUE, SUMMARIES_QUEUE
from tests.doubles.process import start_groq_double

KEPT = 14
"""So many messages stay out of segments: HISTORY_WINDOW + SUMMARY_CHUNK_MESSAGES - 1."""
SUMMARIZED_WITHIN: Final = 120.0
POLL_SECONDS: Final = 0.5


def main() -> int:
    """Measure and print; returns 2 when nothing could be measured."""
    options = _options()
    # A new chat's title would be made at the same time, which is not what is compared.
    os.environ["TITLE_BY_MODEL"] = "false"
    try:
        with start_groq_double() as groq_url, running_system(groq_url) as base_url:
            uvloop.run(_measure(base_url, options))
    except SystemFailed as error:
        print(error, file=sys.stderr)
        return 2
    return 0


async def _measure(base_url: str, options: argparse.Namespace) -> None:
    messages, pairs = options.messages, options.pairs
    async with aiohttp.ClientSession(base_url, raise_for_status=True) as http:
        account = {"email": "bench@example.com", "password": PASSWORD}
        await _json(http, "POST", "/api/auth/signup", account)
        token = (await _json(http, "POST", "/api/auth/login", account))["access_token"]
        http.headers["Authorization"] = f"Bearer {token}"
        long_chat = await _new_chat(http)
        with _frozen_summaries() if options.freeze_summaries else nullcontext():
            for _ in range(messages // 2):
                await _first_token(http, long_chat)
            if not options.freeze_summaries:
                await _summarized(http, long_chat)
            times: dict[str, list[float]] = {"empty chat": [], f"chat of {messages} messages": []}
            for _ in range(pairs):
                for name, chat in zip(times, (await _new_chat(http), long_chat), strict=True):
                    times[name].append(await _first_token(http, chat))
        memory = await _json(http, "GET", f"/api/chats/{long_chat}/memory")
    print(f"summarized up to {memory['watermark']} when it ended, {memory['pending']} messages told in full")
    print(f"{'POST to first token, ms':32} {'p50':>8} {'p95':>8}")
    for name, seconds in times.items():
        p95 = statistics.quantiles(seconds, n=20)[-1]
        print(f"{name:32} {statistics.median(seconds) * 1e3:8.1f} {p95 * 1e3:8.1f}")
    empty, full = times.values()
    print(f"ratio of the medians {statistics.median(full) / statistics.median(empty):.2f}")


@contextmanager
def _frozen_summaries() -> Iterator[None]:
    """The worker that makes summaries stands still meanwhile."""
    name = f"{SUMMARIES_QUEUE},{MAINTENANCE_QUEUE}"
    frozen = [child for child in psutil.Process().children(recursive=True) if name in child.cmdline()]
    for process in frozen:
        process.suspend()
    try:
        yield
    finally:
        for process in frozen:
            process.resume()


async def _json(http: aiohttp.ClientSession, method: str, path: str, body: object = None) -> Any:  # noqa: ANN401
    async with http.request(method, path, json=body) as response:
        return await response.json()


async def _new_chat(http: aiohttp.ClientSession) -> int:
    chat: int = (await _json(http, "POST", "/api/chats", {}))["id"]
    return chat


async def _first_token(http: aiohttp.ClientSession, chat: int) -> float:
    """Seconds from the request to the first token. Reads to the end."""
    begin, first = time.perf_counter(), None
    body = {"content": "Go on, please. [[tokens=3]]"}
    async with http.post(f"/api/chats/{chat}/messages", json=body) as response:
        async for line in response.content:
            if first is None and b'"text-delta"' in line:
                first = time.perf_counter() - begin
    if first is None:
        raise SystemFailed("an answer had no token")
    return first


async def _summarized(http: aiohttp.ClientSession, chat: int) -> None:
    """Wait until the chat's memory covers all but the newest messages."""
    deadline = time.monotonic() + SUMMARIZED_WITHIN
    while time.monotonic() < deadline:
        memory: dict[str, Any] = await _json(http, "GET", f"/api/chats/{chat}/memory")
        if memory["pending"] <= KEPT:
            return
        await asyncio.sleep(POLL_SECONDS)
    raise SystemFailed("the chat was not summarized in time")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--messages", type=int, default=2000, help="how long the long chat is")
    parser.add_argument(
        "--freeze-summaries", action="store_true", help="let the summaries' worker stand still meanwhile"
    )
    parser.add_argument("--pairs", type=int, default=60, help="how often each is timed")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
