"""What others feel while one client floods the API: `/livez` on new connections, and the tokens of one stream. See README.md."""

import argparse
import asyncio
import contextlib
import os
import random
import resource
import secrets
import subprocess
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import psutil
import uvloop
from figures import spread
from reading import read
from recording import Target, record
from rich.console import Console
from rich.table import Table
from system import SystemFailed, open_chats, running_system

from tests.doubles.process import start_groq_double

USUAL_FILES: Final = 1024
"""Open files of a process, as most systems give them."""
RATE: Final = 20
LIVEZ_EVERY: Final = 0.05
WITHIN: Final = 10.0
SETTLE_SECONDS: Final = 4.0
MEGABYTE: Final = 1024 * 1024
HEADER: Final = 64 * MEGABYTE
GOAL_MS: Final = 200.0
GOAL_RATIO: Final = 2.0
USER_MAX_STREAMS: Final = 20


@dataclass(frozen=True, slots=True)
class Attack:
    """A flood of one kind: `count` connections at once, each of which does `run` until it is over, again and again.

    `is_load`: it is what many honest users ask for, and takes its share of the processors. `pause` are the seconds before
    a connection is opened again: what Retry-After says, where there is one. `is_apart`: it leaves work behind that goes on
    after it, and gets a system of its own.
    """

    count: int
    run: Callable[[asyncio.StreamReader, asyncio.StreamWriter, list[str]], Awaitable[None]]
    users: int = 0
    is_load: bool = False
    pause: float = 0.05
    is_apart: bool = False


async def _half_a_head(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, _tokens: list[str]) -> None:
    writer.write(b"GET /livez HTTP/1.1\r\nHost: x\r\n")
    async with asyncio.TaskGroup() as group:
        sending = group.create_task(_trickle(writer))
        await reader.read()
        sending.cancel()


async def _trickle(writer: asyncio.StreamWriter) -> None:
    while True:
        writer.write(b"X: y\r\n")
        await asyncio.sleep(2)


async def _silent_body(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, _tokens: list[str]) -> None:
    writer.write(
        b"POST /api/auth/login HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n{"
    )
    await reader.read()


async def _huge_head(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter, _tokens: list[str]) -> None:
    writer.write(b"GET /livez HTTP/1.1\r\nHost: x\r\nX: ")
    for _ in range(HEADER // MEGABYTE):
        writer.write(b"x" * MEGABYTE)
        await writer.drain()


async def _idle(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter, _tokens: list[str]) -> None:
    await reader.read()


async def _stream(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, tokens: list[str]) -> None:
    tokens.append(token := tokens.pop(0))
    writer.write(f"GET /api/events HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n\r\n".encode())
    if b" 200 " in await reader.readline():
        await reader.read()


async def _answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, tokens: list[str]) -> None:
    chat, _, token = tokens.pop(0).partition(" ")
    body = b'{"content": "[[tokens=100000 rate=20]]"}'
    head = f"POST /api/chats/{chat}/messages HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n"
    writer.write(f"{head}Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)
    while await reader.read(MEGABYTE):
        pass
    await asyncio.sleep(WITHIN)


async def _wrong_login(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, _tokens: list[str]) -> None:
    body = f'{{"email": "{secrets.token_hex(8)}@example.com", "password": "wrong"}}'
    head = f"POST /api/auth/login HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {len(body)}"
    writer.write(f"{head}\r\n\r\n{body}".encode())
    await reader.readline()


ATTACKS: Final = {
    "half-open heads": Attack(1000, _half_a_head),
    "silent bodies": Attack(1000, _silent_body),
    "heads of 64 MB": Attack(20, _huge_head),
    "idle sockets": Attack(2000, _idle),
    "streams of one user": Attack(1000, _stream, users=1, pause=5),
    "20 answers each of 4 users": Attack(80, _answer, users=4, is_load=True),
    "wrong logins": Attack(1000, _wrong_login, is_apart=True),  # each is hashed, though its client has left
}


@dataclass(slots=True)
class Felt:
    """What others felt: the times of `/livez` in milliseconds, the ages of tokens, and the API's memory in megabytes."""

    livez: list[float]
    refused: int
    ages: list[float]
    memory: float
    faults: list[str]


def main() -> int:
    """Measure and print; returns 1 when others felt more than they may, 2 when nothing could be measured."""
    options = _options()
    if options.attack:
        _raise_files()
        attack = _with_connections(ATTACKS[options.attack], options.connections)
        uvloop.run(_attack(attack, options.base_url, sys.stdin.read().splitlines()))
        return 0
    felt: dict[str, Felt] = {}
    try:
        for names in _of_one_system(options.only or ["nothing", *ATTACKS]):
            felt |= _feel_each(names, options.seconds, options.connections)
    except SystemFailed as error:
        print(error, file=sys.stderr)
        return 2
    _print(felt)
    return 0 if _holds(felt) else 1


def _of_one_system(names: Sequence[str]) -> list[list[str]]:
    """Which floods are felt in the same system, one after another."""
    apart = [[name] for name in names if name in ATTACKS and ATTACKS[name].is_apart]
    together = [name for name in names if [name] not in apart]
    return [together, *apart] if together else apart


def _feel_each(names: Sequence[str], seconds: float, connections: int) -> dict[str, Felt]:
    """Start a system, and feel each flood for so many seconds. `connections`: as `_with_connections`.

    Raises:
        SystemFailed: nothing could be measured.

    """
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(USUAL_FILES, hard), hard))  # what is started here begins with that
    os.environ["USER_MAX_STREAMS"] = str(USER_MAX_STREAMS)
    felt: dict[str, Felt] = {}
    with start_groq_double() as groq_url, running_system(groq_url) as base_url:
        _raise_files()
        for name in names:
            (bystander,) = open_chats(base_url, 1, 1)
            with _flood(name, base_url, connections):
                felt[name] = _feel(base_url, *bystander, seconds)
    return felt


@contextmanager
def _flood(name: str, base_url: str, connections: int) -> Iterator[None]:
    """Have a process of its own flood the API. `connections`: as `_with_connections`."""
    if name not in ATTACKS:
        yield
        return
    attack = _with_connections(ATTACKS[name], connections)
    per_chat = attack.run is _answer
    chats = open_chats(base_url, attack.count if per_chat else attack.users, attack.users) if attack.users else []
    tokens = [f"{chat} {token}" if per_chat else token for chat, token in chats]
    command = [sys.executable, __file__, "--attack", name, "--base-url", base_url, "--connections", str(connections)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, text=True)
    assert process.stdin is not None  # noqa: S101 - it is a pipe
    process.stdin.write("\n".join(tokens))
    process.stdin.close()
    try:
        time.sleep(SETTLE_SECONDS)
        yield
    finally:
        process.kill()
        process.wait()


def _with_connections(attack: Attack, connections: int) -> Attack:
    """The flood by so many connections at once; 0 for its own number."""
    return replace(attack, count=connections or attack.count)


async def _attack(attack: Attack, base_url: str, tokens: list[str]) -> None:
    """Flood, until this process is ended. From several networks, none of which has as many connections as it may."""
    address = urlsplit(base_url)

    async def one(number: int) -> None:
        while True:
            try:
                reader, writer = await asyncio.open_connection(
                    address.hostname, address.port, local_addr=(f"127.0.3.{number % 5}", 0)
                )
            except OSError:
                await asyncio.sleep(0.1)
                continue
            with contextlib.suppress(OSError, asyncio.IncompleteReadError):
                await attack.run(reader, writer, tokens)
            writer.transport.abort()
            await asyncio.sleep(attack.pause * random.uniform(0.5, 1.5))  # noqa: S311 - it keeps no secret

    await asyncio.gather(*(one(number) for number in range(attack.count)))


def _feel(base_url: str, chat: str, token: str, seconds: float) -> Felt:
    """Ask for `/livez`, and read a bystander's answer in this chat, for so many seconds."""
    most = [0.0]
    over = threading.Event()
    watching = threading.Thread(target=_watch_memory, args=(most, over))
    watching.start()
    tokens = int(seconds * RATE)
    address = urlsplit(base_url)
    content: dict[str, object] = {"content": f"[[tokens={tokens} rate={RATE} stamp=1]]"}
    target = Target(address.hostname or "", address.port or 0, f"/api/chats/{chat}/messages", token, content)

    async def both() -> Felt:
        recorded, (livez, refused) = await asyncio.gather(
            record(target, seconds + 3 * WITHIN), _ask_livez(target, seconds)
        )
        reading = read(recorded, tokens, direct=False)
        return Felt(livez, refused, reading.ages, 0, reading.faults)

    felt = uvloop.run(both())
    over.set()
    watching.join()
    felt.memory = most[0]
    return felt


def _watch_memory(most: list[float], over: threading.Event) -> None:
    api = None
    for process in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            if process.cmdline()[-2:] == ["-m", "services.api"]:
                api = process
    while api is not None and not over.wait(0.1):
        most[0] = max(most[0], api.memory_info().rss / MEGABYTE)


async def _ask_livez(target: Target, seconds: float) -> tuple[list[float], int]:
    """Ask on a new connection each time. Returns the times in milliseconds; one without an answer counts as WITHIN."""
    times, refused = list[float](), 0
    end = time.perf_counter() + seconds

    async def ask() -> bool:
        reader, writer = await asyncio.open_connection(target.host, target.port)
        try:
            writer.write(b"GET /livez HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            return b" 200 " in await reader.read()
        finally:
            writer.close()

    while (begin := time.perf_counter()) < end:
        answered = False
        with contextlib.suppress(OSError, TimeoutError):
            async with asyncio.timeout(WITHIN):
                answered = await ask()
        refused += not answered
        times.append((time.perf_counter() - begin) * 1e3 if answered else WITHIN * 1e3)
        await asyncio.sleep(max(0.0, begin + LIVEZ_EVERY - time.perf_counter()))
    return times, refused


def _holds(felt: dict[str, Felt]) -> bool:
    calm = spread(felt["nothing"].ages).p99 if "nothing" in felt else None
    return all(
        (spread(each.livez).p99 or 0) < GOAL_MS
        and not each.faults
        and (calm is None or (spread(each.ages).p99 or 0) <= GOAL_RATIO * calm)
        for name, each in felt.items()
        if name not in ATTACKS or not ATTACKS[name].is_load
    )


def _print(felt: dict[str, Felt]) -> None:
    table = Table("flood", "livez p50", "p99", "max", "refused", "token age p50", "p99", "max", "API MB", "stream")
    for name, each in felt.items():
        livez, ages = spread(each.livez), spread(each.ages)
        figures = (livez.p50, livez.p99, livez.max, each.refused, ages.p50, ages.p99, ages.max, round(each.memory))
        table.add_row(name, *map(str, figures), "; ".join(each.faults)[:60] or "complete")
    Console(width=160).print(table)


def _raise_files() -> None:
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=20, help="how long each flood is felt")
    parser.add_argument("--only", action="append", choices=["nothing", *ATTACKS], help="some floods alone")
    parser.add_argument("--connections", type=int, default=0, help="of each flood, instead of its own number")
    parser.add_argument("--attack", default="", choices=["", *ATTACKS], help=argparse.SUPPRESS)
    parser.add_argument("--base-url", default="", help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[1]))
    sys.exit(main())
