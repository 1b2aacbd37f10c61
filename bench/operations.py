"""kill -9 of workers that commit changes, at every step: each change is made exactly once, and can be undone.

uv run python bench/operations.py              # 200 kills, some minutes
uv run python bench/operations.py --kills 1000 --parallel 4
"""

import argparse
import asyncio
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import psycopg

from services.launcher.embedded.postgres import EmbeddedPostgres
from services.launcher.migrations import migrate
from tests.support.committing import GATES, TABLES, UNTIL, Bank, killed, open_bank
from tests.support.data_sources import make_source
from tests.support.forks import Forks
from tests.support.operations import actions, found
from tests.support.turns import execute


def main(arguments: Sequence[str]) -> int:
    """Kill. Returns 0 when every change was made once, 1 when one was not."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--parallel", type=int, default=2, help="workers at a time (default: %(default)s)")
    options = parser.parse_args(arguments)
    forks = Forks()
    began = time.monotonic()
    try:
        with (
            tempfile.TemporaryDirectory() as folder,
            EmbeddedPostgres(Path(folder) / "pg", durable=False, settings={"max_connections": "200"}) as server,
        ):
            urls = [_database(server, number) for number in range(options.parallel)]
            outcomes = asyncio.run(_run(server, forks, urls, Path(folder), options.kills))
    finally:
        forks.close()
    for (step, outcome), times in sorted(outcomes.items()):
        print(f"{step:8}  {outcome:12}  {times}")
    print(f"{outcomes.total()} kills in {time.monotonic() - began:.0f} s")
    return 0 if all(outcome == "once" for _, outcome in outcomes) else 1


def _database(server: EmbeddedPostgres, number: int) -> str:
    """A database of our own, in which workers can be held."""
    with psycopg.connect(server.url, autocommit=True) as admin:
        admin.execute(f"CREATE DATABASE bank_{number}".encode())
    url = server.url_of(f"bank_{number}")
    migrate(url)
    execute(url, GATES)
    return url


async def _run(
    server: EmbeddedPostgres, forks: Forks, urls: Sequence[str], folder: Path, kills: int
) -> Counter[tuple[str, str]]:
    outcomes: Counter[tuple[str, str]] = Counter()
    share = -(-kills // len(urls))
    logs = (folder / f"{number}.log" for number in range(len(urls)))
    await asyncio.gather(
        *(_kill(server, forks, url, log, share, outcomes) for url, log in zip(urls, logs, strict=False))
    )
    return outcomes


async def _kill(
    server: EmbeddedPostgres, forks: Forks, url: str, log: Path, kills: int, outcomes: Counter[tuple[str, str]]
) -> None:
    """Kill so many workers, one after the other, on a bank of their own."""
    async with open_bank(url, make_source(server, TABLES)) as bank:
        steps = list(UNTIL)
        for each in range(kills):
            step = steps[each % len(steps)]
            outcomes[step, await _kill_one(bank, forks, step, log)] += 1


async def _kill_one(bank: Bank, forks: Forks, step: str, log: Path) -> str:
    """Kill a worker at a step, and have another one take over. Returns `once`, or what is wrong."""
    before = bank.balances()[0]
    operation = await bank.approved()
    await killed(bank, forks, operation, step, log)
    bank.expire_leases()
    await bank.commits.commit(operation.id)
    done = await found(bank.database, bank.user, operation.id)
    made = bank.balances()[0] - before
    told = actions(bank.database_url, bank.user)[-3:]
    if done.status != "committed" or made != 1:
        return f"{done.status} {made}"
    if told != ["operation.proposed", "operation.approved", "operation.committed"]:
        return "not in the log"
    undo = await bank.approved_undo(done)
    await bank.commits.commit(undo.id)
    return "once" if bank.balances()[0] == before else "not undone"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
