"""The database agent interrupted: workers and APIs die between each two steps from a proposal to its outcome. See README.md."""

import argparse
import asyncio
import itertools
import secrets
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path
from statistics import quantiles
from typing import Final

import psycopg
from cryptography.fernet import Fernet

from services.launcher.embedded.postgres import EmbeddedPostgres
from services.launcher.embedded.valkey import EmbeddedValkey
from services.launcher.guard import Guard
from services.launcher.migrations import migrate
from tests.doubles.process import start_groq_double
from tests.support.clients import Client
from tests.support.feeds import Tab, ready_tab
from tests.support.forks import Forks
from tests.support.interrupted import MEDDLE, Episode, Stage, all_episodes, open_stage
from tests.support.readers import user_of
from tests.support.system import System, environment

P95_SECONDS: Final = 1.0
Outcomes = Counter[tuple[str, str, str, str]]


def main(arguments: Sequence[str]) -> int:
    """Run. Returns 0 when every change was made and told once, and seen in time; 1 when not."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=216, help="at least so many (default: %(default)s)")
    parser.add_argument("--changes", type=int, default=100, help="whose sight is timed (default: %(default)s)")
    parser.add_argument("--systems", type=int, default=2, help="side by side (default: %(default)s)")
    options = parser.parse_args(arguments)
    forks = Forks()
    began = time.monotonic()
    try:
        with start_groq_double() as groq_url, tempfile.TemporaryDirectory(prefix="cortexai-agent-") as folder:
            outcomes, seen = asyncio.run(_run(options, Path(folder), groq_url, forks))
    finally:
        forks.close()
    for (decision, step, victim, outcome), times in sorted(outcomes.items()):
        print(f"{decision:10} {step:10} {victim:7} {times:4}  {outcome}")
    print(f"{outcomes.total()} kills in {time.monotonic() - began:.0f} s")
    middle, late = (quantiles(seen, n=20, method="inclusive")[place] for place in (9, 18))
    print(f"{len(seen)} changes, from the approval to rows.changed at a second reader:", end=" ")
    print(f"p50 {middle * 1000:.0f} ms, p95 {late * 1000:.0f} ms, at most {max(seen) * 1000:.0f} ms")
    return 0 if all(outcome == "once" for *_, outcome in outcomes) and late < P95_SECONDS else 1


async def _run(options: argparse.Namespace, folder: Path, groq_url: str, forks: Forks) -> tuple[Outcomes, list[float]]:
    outcomes: Outcomes = Counter()
    with EmbeddedPostgres(folder / "pg", durable=False, settings={"max_connections": "300"}) as server:
        async with AsyncExitStack() as stack:
            stages = []
            for number in range(options.systems):
                sandboxes = server.url_of(f"sandboxes_{number}")
                system = stack.enter_context(_system(server, folder, groq_url, sandboxes, forks, number))
                stages.append(await stack.enter_async_context(open_stage(system, groq_url, sandboxes)))
            seen = await _time_sight(stages[0], options.changes)
            episodes = all_episodes()
            left = itertools.islice(itertools.cycle(episodes), options.kills)
            await asyncio.gather(*(_play(stage, left, outcomes) for stage in stages))
    return outcomes, seen


@contextmanager
def _system(
    server: EmbeddedPostgres, folder: Path, groq_url: str, sandboxes: str, forks: Forks, number: int
) -> Iterator[System]:
    """A system of which no process runs yet, with a database and a Valkey of its own."""
    with psycopg.connect(server.url, autocommit=True) as admin:
        admin.execute(f"CREATE DATABASE agent_{number}".encode())
    url = server.url_of(f"agent_{number}")
    migrate(url)
    logs = folder / f"system_{number}"
    logs.mkdir()
    valkey = EmbeddedValkey(logs / "valkey")
    valkey.start()
    settings = {
        "ACCESS_TOKEN_EXPIRE_MINUTES": "10080",  # its users don't refresh
        "LEASE_SECONDS": "3",
        "SWEEP_INTERVAL_SECONDS": "0.5",
        "DATA_SOURCE_KEYS": Fernet.generate_key().decode(),
        "SANDBOX_DATABASE_URL": sandboxes,
    }
    guard = Guard()
    system = System(
        environment(url, valkey.url, groq_url, secrets.token_hex(32), **settings), logs, guard, valkey, forks
    )
    try:
        yield system
    finally:
        system.end()
        guard.close()


async def _play(stage: Stage, episodes: Iterator[Episode], outcomes: Outcomes) -> None:
    """Play what is left, one after the other, on one system."""
    for episode in episodes:
        try:
            outcome = await stage.play(episode)
        except (AssertionError, TimeoutError) as error:
            outcome = f"{type(error).__name__}: {error}"
        outcomes[episode.decision, episode.step, episode.victim, outcome] += 1
        if outcome != "once":
            print(f"{episode}: {outcome}", file=sys.stderr, flush=True)


async def _time_sight(stage: Stage, changes: int) -> list[float]:
    """Seconds from the approval of a change to its `rows.changed` at a second reader of the user's feed."""
    seen: list[float] = []
    async with user_of(stage.user.urls[0]) as second:
        second.http.headers["Authorization"] = stage.user.http.headers["Authorization"]
        async with ready_tab(Client(second.http)) as tab:
            for _ in range(changes):
                path = f"/api/data-sources/{stage.source}/operations"
                operation = (await stage.user.send("POST", path, json={"sql": MEDDLE})).json()
                seeing = asyncio.create_task(_see(tab, operation["id"]))
                began = time.monotonic()
                body = {"digest": operation["digest"]}
                approve = f"/api/operations/{operation['id']}/approve"
                await stage.user.send("POST", approve, json=body, headers={"Prefer": "respond-async"})
                seen.append(await seeing - began)
    return seen


async def _see(tab: Tab, operation_id: str) -> float:
    """When the tab is told of the operation's rows."""
    await tab.until("rows.changed", operation_id=operation_id)
    return time.monotonic()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
