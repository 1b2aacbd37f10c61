"""Floods of logins: how long another address waits meanwhile, for its own login and for anything else. See README.md."""

import argparse
import asyncio
import secrets
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from statistics import median, quantiles
from typing import Final, cast

import httpx

from services.launcher.embedded.postgres import EmbeddedPostgres
from services.launcher.embedded.valkey import EmbeddedValkey
from services.launcher.guard import Guard
from services.launcher.migrations import migrate
from tests.support.clients import PASSWORD
from tests.support.system import System, environment

HOME: Final = "203.0.113.7"
ATTACKER: Final = "192.0.2.7"
WAIT_SECONDS: Final = 1.0
LIVEZ_SECONDS: Final = 0.2
ALIKE: Final = 1.15
NO_LIMITS: Final = {
    "LOGIN_BAD_TRIES": "0",
    "LOGIN_BAD_TRIES_OF_NETWORK": "0",
    "LOGIN_BAD_TRIES_AT_ACCOUNT": "0",
    "SIGNUPS_PER_HOUR": "0",
}


class Clients:
    """Clients of one API, at any addresses: the API believes loopback what it says of them."""

    def __init__(self, url: str) -> None:
        everyone = httpx.Limits(max_connections=None, max_keepalive_connections=None)
        self.http = httpx.AsyncClient(base_url=url, timeout=300, limits=everyone)

    async def log_in(self, email: str, address: str, password: str = PASSWORD) -> tuple[int, float]:
        """Log in. Returns the status and the seconds that it took."""
        began = time.perf_counter()
        body = {"email": email, "password": password}
        response = await self.http.post("/api/auth/login", json=body, headers={"X-Forwarded-For": address})
        return response.status_code, time.perf_counter() - began

    async def sign_up(self, email: str, address: str) -> None:
        """Make an account."""
        body = {"email": email, "password": PASSWORD}
        answer = await self.http.post("/api/auth/signup", json=body, headers={"X-Forwarded-For": address})
        answer.raise_for_status()

    async def livez(self, until: asyncio.Event) -> list[float]:
        """Ask again and again whether the process is alive. Returns the seconds that each answer took."""
        took = []
        while not until.is_set():
            began = time.perf_counter()
            (await self.http.get("/livez")).raise_for_status()
            took.append(time.perf_counter() - began)
            await asyncio.sleep(0.01)
        return took


def main(arguments: Sequence[str]) -> int:
    """Run. Returns 0 when a right login waited, and /livez answered, within the bounds; 1 when not."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=12, help="BCRYPT_ROUNDS (default: %(default)s)")
    parser.add_argument("--floods", type=int, nargs="*", default=[100, 220], help="default: %(default)s")
    parser.add_argument("--logins", type=int, default=10, help="right ones in each flood (default: %(default)s)")
    parser.add_argument("--flood", nargs=2, metavar=("URL", "SIZE"), help="only send a flood to an API that runs")
    options = parser.parse_args(arguments)
    if options.flood:
        asyncio.run(_send_flood(options.flood[0], int(options.flood[1])))
        return 0
    with tempfile.TemporaryDirectory(prefix="cortexai-logins-") as folder:
        return asyncio.run(_run(options, Path(folder)))


async def _run(options: argparse.Namespace, folder: Path) -> int:
    good = True
    with EmbeddedPostgres(folder / "pg", durable=False) as server, EmbeddedValkey(folder / "valkey") as valkey:
        migrate(server.url)
        guard = Guard()
        env = environment(server.url, valkey.url, "http://127.0.0.1:1", secrets.token_hex(32))
        system = System({**env, "BCRYPT_ROUNDS": str(options.rounds)}, folder, guard, valkey, None)
        try:
            for limits, settings in (("as delivered", {}), ("without limits", NO_LIMITS)):
                print(f"\n{limits}, {options.rounds} rounds")
                for size in options.floods:
                    async with _api(system, **settings) as clients:
                        good &= await _flood(clients, size, options.logins)
            async with _api(system, **NO_LIMITS) as clients:
                good &= await _crowd(clients, 100)
                await clients.sign_up("kept@example.com", HOME)
            async with _api(system, **NO_LIMITS, BCRYPT_ROUNDS=str(options.rounds + 2)) as clients:
                good &= await _compare(clients, options.rounds)
        finally:
            system.end()
            guard.close()
    return 0 if good else 1


@asynccontextmanager
async def _api(system: System, **settings: str) -> AsyncIterator[Clients]:
    process, url = await system.start_api(**settings)
    clients = Clients(url)
    try:
        yield clients
    finally:
        await clients.http.aclose()
        system.kill(process)


async def _flood(clients: Clients, size: int, count: int) -> bool:
    """So many wrong logins from one address at made-up accounts, at once, while another address logs in."""
    email = f"{secrets.token_hex(8)}@example.com"
    await clients.sign_up(email, HOME)
    alone = median([(await clients.log_in(email, HOME))[1] for _ in range(3)])
    over = asyncio.Event()
    alive = asyncio.create_task(clients.livez(over))
    flood = await asyncio.create_subprocess_exec(
        *(sys.executable, __file__, "--flood", str(clients.http.base_url), str(size)), stdout=asyncio.subprocess.PIPE
    )
    told = cast("asyncio.StreamReader", flood.stdout)
    await told.readline()  # all are sent
    logins = [await clients.log_in(email, HOME) for _ in range(count)]
    flood.terminate()
    statuses = Counter((await told.read()).decode().split())
    await flood.wait()
    over.set()
    livez = _p99(await alive)
    waits = [seconds for _, seconds in logins]
    failed = sum(status != httpx.codes.OK for status, _ in logins)
    print(
        f"{size:5} wrong logins: a right one of another address takes {alone:.2f} s alone, {median(waits):.2f} s meanwhile "
        f"({max(waits):.2f} s at most of {count}, {failed} failed); /livez p99 {livez * 1000:.0f} ms; "
        f"of the flood {dict(statuses)}, {size - statuses.total()} waited",
        flush=True,
    )
    return max(waits) < alone + WAIT_SECONDS and not failed and livez < LIVEZ_SECONDS


async def _send_flood(url: str, size: int) -> None:
    """The flood's own process. Prints a line when all are sent, then the status of each answer."""
    host, _, port = url.removeprefix("http://").rstrip("/").partition(":")

    async def one() -> asyncio.StreamReader:
        reader, writer = await asyncio.open_connection(host, int(port))
        body = f'{{"email": "{secrets.token_hex(8)}@example.com", "password": "wrong"}}'
        head = (
            f"POST /api/auth/login HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: {ATTACKER}\r\nContent-Type: application/json"
        )
        writer.write(f"{head}\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode())
        await writer.drain()
        kept.append(writer)
        return reader

    async def status(reader: asyncio.StreamReader) -> None:
        print((await reader.readline()).split()[1].decode(), flush=True)

    kept: list[asyncio.StreamWriter] = []
    readers = await asyncio.gather(*(one() for _ in range(size)))
    print("sent", flush=True)
    await asyncio.gather(*map(status, readers))


async def _crowd(clients: Clients, size: int) -> bool:
    """So many right logins from as many addresses at once: what else the API answers meanwhile."""
    emails = [f"{secrets.token_hex(8)}@example.com" for _ in range(10)]
    for email in emails:
        await clients.sign_up(email, HOME)
    over = asyncio.Event()
    alive = asyncio.create_task(clients.livez(over))
    everyone = (clients.log_in(emails[number % 10], f"198.51.100.{number}") for number in range(size))
    logins = await asyncio.gather(*everyone)
    over.set()
    livez = _p99(await alive)
    failed = sum(status != httpx.codes.OK for status, _ in logins)
    print(f"\n{size} right logins at once: {failed} failed; /livez p99 {livez * 1000:.0f} ms")
    return not failed and livez < LIVEZ_SECONDS


async def _compare(clients: Clients, rounds: int) -> bool:
    """Wrong logins with and without an account, after the setting has changed."""
    known, unknown = [], []
    for number in range(10):
        known.append((await clients.log_in("kept@example.com", HOME, "wrong"))[1])
        unknown.append((await clients.log_in(f"nobody{number}@example.com", HOME, "wrong"))[1])
    apart = median(known) / median(unknown)
    print(
        f"hashes of {rounds} rounds, BCRYPT_ROUNDS now {rounds + 2}: "
        f"known {median(known) * 1000:.0f} ms, unknown {median(unknown) * 1000:.0f} ms"
    )
    return 1 / ALIKE < apart < ALIKE


def _p99(took: Sequence[float]) -> float:
    return quantiles(took, n=100, method="inclusive")[98]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
