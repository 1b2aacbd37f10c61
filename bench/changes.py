"""Are changes of data sources done as shown, or not at all? Random writes, races, and the time of a preview. See README.md."""

import argparse
import asyncio
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path
from random import Random

import psycopg
import uvloop

from services.launcher.embedded.postgres import EmbeddedPostgres
from shared.data_sources.changes.results import Committed, Preview
from shared.errors import EffectChanged
from tests.support.changes import Connection, commit, preview, state, until_blocking
from tests.support.play_change import play
from tests.support.races import IN_FLIGHT, RACES, Race, lay_out
from tests.support.random_changes import random_case

OPTIONS = "-c lock_timeout=2s -c statement_timeout=20s"


def main() -> int:
    """Measure and print; returns 1 when something was done that was not shown."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--writes", type=int, default=400, help="how many random writes")
    parser.add_argument("--seed", type=int, default=0, help="the first random write")
    parser.add_argument("--races", type=int, default=100, help="how often each race is run")
    parser.add_argument("--previews", type=int, default=50, help="how often each preview is timed")
    options = parser.parse_args()
    with (
        tempfile.TemporaryDirectory() as folder,
        EmbeddedPostgres(Path(folder), durable=False) as server,
    ):
        return uvloop.run(_measure(server.url, options))


async def _measure(url: str, options: argparse.Namespace) -> int:
    wrong = await _random_writes(url, range(options.seed, options.seed + options.writes))
    async with await _connect(url) as one, await _connect(url) as other:
        for race in RACES:
            wrong += await _repeat(f"before: {race.name}", options.races, one, other, race, _race_before)
        for race in IN_FLIGHT:
            wrong += await _repeat(f"during: {race.name}", options.races, one, other, race, _race_during)
        wrong += await _repeat("two commits at once", options.races, one, other, RACES[0], _race_twice)
        await _time_previews(one, options.previews)
    return 1 if wrong else 0


async def _connect(url: str) -> Connection:
    return await psycopg.AsyncConnection.connect(url, autocommit=True, options=OPTIONS)


async def _random_writes(url: str, seeds: range) -> int:
    """Play random writes. Returns how many were not done as shown."""
    outcomes: Counter[str] = Counter()
    wrong, begin = 0, time.perf_counter()
    for seed in seeds:
        async with await _connect(url) as connection:
            try:
                outcomes[await play(connection, random_case(Random(seed)))] += 1  # noqa: S311 - random writes are no secret
            except AssertionError as error:
                wrong += 1
                print(f"seed {seed}: {error}", file=sys.stderr)
    print(f"{len(seeds)} random writes in {time.perf_counter() - begin:.0f} s; not as shown: {wrong}")
    for outcome, count in outcomes.most_common():
        print(f"{count:8}  {outcome}")
    return wrong


async def _repeat(
    name: str,
    times: int,
    one: Connection,
    other: Connection,
    race: Race,
    run: Callable[[Connection, Connection, Race], Awaitable[bool]],
) -> int:
    """Run a race again and again. Returns how many commits were stale."""
    stale = sum([await run(one, other, race) for _ in range(times)])
    print(f"{times:8}  {name}; stale commits: {stale}")
    return int(stale)


async def _race_before(one: Connection, other: Connection, race: Race) -> bool:
    """Somebody commits a change between preview and commit. Returns whether a stale effect was committed."""
    await lay_out(one, race)
    shown = await preview(one, race.write)
    for statement in race.meanwhile:
        await other.execute(statement.encode())
    before = await state(other)
    return await _is_committed(one, race, shown) or await state(other) != before


async def _race_during(one: Connection, other: Connection, race: Race) -> bool:
    """Somebody commits a change while the commit waits for their locks."""
    await lay_out(one, race)
    shown = await preview(one, race.write)
    await other.execute("BEGIN")
    for statement in race.meanwhile:
        await other.execute(statement.encode())
    committing = asyncio.create_task(_is_committed(one, race, shown))
    await until_blocking(other)
    await other.execute("COMMIT")
    before = await state(other)
    return await committing or await state(other) != before


async def _race_twice(one: Connection, other: Connection, race: Race) -> bool:
    """Two commits of one preview at once. Returns whether both were done."""
    await lay_out(one, race)
    shown = await preview(one, race.write)
    second: list[asyncio.Task[bool]] = []

    async def note(_done: Committed) -> None:
        second.append(asyncio.create_task(_is_committed(other, race, shown)))
        await until_blocking(one)

    await commit(one, race.write, shown, note)
    return await second[0]


async def _is_committed(connection: Connection, race: Race, shown: Preview) -> bool:
    try:
        await commit(connection, race.write, shown)
    except EffectChanged:
        return False
    return True


async def _time_previews(connection: Connection, times: int) -> None:
    await lay_out(connection, RACES[0])
    await connection.execute("INSERT INTO t SELECT i, i, 'row ' || i FROM generate_series(100, 100000) AS i")
    await connection.execute("ANALYZE t")
    print(f"{'ms, of ' + str(times) + ' times':40} {'p50':>8} {'p95':>8} {'max':>8}")
    for name, text in (
        ("preview of an UPDATE, 3 rows", "UPDATE t SET n = n + 1 WHERE id IN (200, 201, 202)"),
        ("preview of an UPDATE, 1,000 rows", "UPDATE t SET n = n + 1 WHERE id BETWEEN 1000 AND 1999"),
        ("preview of a DELETE, 1,000 rows", "DELETE FROM t WHERE id BETWEEN 1000 AND 1999"),
        ("preview of an INSERT, 1 row", "INSERT INTO t (id, n) VALUES (0, 1)"),
    ):
        seen = []
        for _ in range(times):
            begin = time.perf_counter()
            await preview(connection, text)
            seen.append((time.perf_counter() - begin) * 1e3)
        p95 = statistics.quantiles(seen, n=20)[-1]
        print(f"{name:40} {statistics.median(seen):8.1f} {p95:8.1f} {max(seen):8.1f}")


if __name__ == "__main__":
    sys.exit(main())
