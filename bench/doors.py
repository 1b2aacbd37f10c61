"""What do OpenAI's doors cost beside the native one? First tokens in turn, and the API's CPU a token. See README.md."""

import argparse
import asyncio
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any, Final, Literal, get_args
from urllib.parse import urlsplit

import aiohttp
import psutil
import uvloop
from system import PASSWORD, SystemFailed, running_system

from tests.doubles.process import start_groq_double

MODEL: Final = "openai/gpt-oss-120b"
Door = Literal["native", "completions", "responses"]
DOORS: Final[tuple[Door, ...]] = get_args(Door)
ROUNDS: Final = 3
FIRST_TEXT: Final[dict[Door, bytes]] = {
    "native": b'"text-delta"',
    "completions": b'"content":"t',
    "responses": b'data: {"type":"response.output_text.delta"',
}
"""What a line has that has the first text. A response's first deltas are characters of the first token."""


def main() -> int:
    """Measure and print; returns 1 when an answer was not whole, and 2 when nothing could be measured."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--answers", type=int, default=60, help="how many first tokens are timed at each door")
    parser.add_argument("--streams", type=int, default=40, help="how many are read at once, for the CPU")
    parser.add_argument("--tokens", type=int, default=400, help="of each of these")
    options = parser.parse_args()
    try:
        with start_groq_double() as groq_url, running_system(groq_url) as base_url:
            return uvloop.run(_measure(base_url, options.answers, options.streams, options.tokens))
    except SystemFailed as error:
        print(error, file=sys.stderr)
        return 2


async def _measure(base_url: str, answers: int, streams: int, tokens: int) -> int:
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(base_url, raise_for_status=True, connector=connector) as http:
        account = {"email": "bench@example.com", "password": PASSWORD}
        await http.post("/api/auth/signup", json=account)
        async with http.post("/api/auth/login", json=account) as response:
            http.headers["Authorization"] = f"Bearer {(await response.json())['access_token']}"
        first: dict[Door, list[float]] = {door: [] for door in DOORS}
        for _ in range(answers):
            for door in DOORS:
                chat = await _chat(http, door)
                first[door].append((await _read(http, door, chat, 5, 0))[0] * 1e3)
        api = _listening(base_url)
        spent: dict[Door, list[float]] = {door: [] for door in DOORS}
        is_whole = True
        for _ in range(ROUNDS):
            for door in DOORS:
                chats = [await _chat(http, door) for _ in range(streams)]
                before = _cpu(api)
                read = await asyncio.gather(*(_read(http, door, chat, tokens, 20) for chat in chats))
                spent[door].append((_cpu(api) - before) / (streams * tokens) * 1e6)
                is_whole = is_whole and all(whole for _, whole in read)
    _print("first token, ms, p50", first, statistics.median)
    _print("first token, ms, p95", first, _p95)
    _print("API's CPU a token, µs, least", spent, min)
    return 0 if is_whole else 1


def _p95(figures: Sequence[float]) -> float:
    return statistics.quantiles(figures, n=20, method="inclusive")[-1]


def _print(name: str, figures: dict[Door, list[float]], take: Callable[[list[float]], float]) -> None:
    """Print what was taken of each door's figures, and each ratio to the native door's."""
    taken = {door: take(figures[door]) for door in DOORS}
    told = "   ".join(f"{door} {figure:7.1f} ({figure / taken['native']:4.2f})" for door, figure in taken.items())
    print(f"{name:30} {told}")


def _listening(base_url: str) -> psutil.Process:
    """The process that serves this address."""
    port = urlsplit(base_url).port
    for connection in psutil.net_connections("tcp"):
        is_there = connection.status == psutil.CONN_LISTEN and port in tuple(connection.laddr)
        if is_there and connection.pid:
            return psutil.Process(connection.pid)
    raise SystemFailed("nobody listens there")


def _cpu(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


async def _chat(http: aiohttp.ClientSession, door: Door) -> str:
    """A new chat, by the id that the door has for it. Completions need none."""
    if door == "completions":
        return ""
    path = "/api/chats" if door == "native" else "/v1/conversations"
    async with http.post(path, json={}) as response:
        return str((await response.json())["id"])


def _request(door: Door, chat: str, content: str) -> tuple[str, dict[str, Any]]:
    """The path and the body of a request for an answer."""
    match door:
        case "native":
            return f"/api/chats/{chat}/messages", {"content": content}
        case "completions":
            messages = [{"role": "user", "content": content}]
            return "/v1/chat/completions", {"model": MODEL, "messages": messages, "stream": True}
        case "responses":
            return "/v1/responses", {"model": MODEL, "input": content, "conversation": chat, "stream": True}


async def _read(http: aiohttp.ClientSession, door: Door, chat: str, tokens: int, rate: int) -> tuple[float, bool]:
    """Seconds to the first token of an answer, and whether all of its tokens came."""
    path, body = _request(door, chat, f"[[tokens={tokens} rate={rate}]]")
    asked_at, took, read = time.perf_counter(), 0.0, b""
    async with http.post(path, json=body) as response:
        async for line in response.content:
            read += line
            if not took and FIRST_TEXT[door] in line:
                took = time.perf_counter() - asked_at
    is_whole = f"t{tokens}".encode() in read and read.rstrip().endswith(b"[DONE]")
    return took, is_whole and took > 0


if __name__ == "__main__":
    sys.exit(main())
