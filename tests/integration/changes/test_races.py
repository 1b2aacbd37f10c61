"""Somebody else changes the data or the schema between preview and commit: nothing stale is committed."""

import asyncio

import pytest

from shared.data_sources.changes.results import Committed
from shared.errors import EffectChanged
from tests.support.changes import Connect, Connection, commit, preview, state, until_blocking
from tests.support.races import IN_FLIGHT, KEPT, RACES, UNTOUCHED, Race, lay_out


@pytest.mark.parametrize("race", RACES, ids=lambda race: race.name)
async def test_a_change_in_between_makes_the_preview_stale(source: Connection, connect: Connect, race: Race) -> None:
    await lay_out(source, race)
    shown = await preview(source, race.write)
    async with connect() as other:
        for statement in race.meanwhile:
            await other.execute(statement.encode())
        before = await state(other)
        async with connect() as later:
            with pytest.raises(EffectChanged):
                await commit(later, race.write, shown)
        assert await state(other) == before


@pytest.mark.parametrize("race", RACES, ids=lambda race: race.name)
async def test_without_a_change_in_between_the_same_write_is_committed(source: Connection, race: Race) -> None:
    await lay_out(source, race)
    shown = await preview(source, race.write)
    assert (await commit(source, race.write, shown)).counts == shown.counts


@pytest.mark.parametrize("race", UNTOUCHED, ids=lambda race: race.name)
async def test_a_change_of_rows_that_the_write_does_not_touch_is_no_matter(
    source: Connection, connect: Connect, race: Race
) -> None:
    await lay_out(source, race)
    shown = await preview(source, race.write)
    async with connect() as other:
        for statement in race.meanwhile:
            await other.execute(statement.encode())
    assert (await commit(source, race.write, shown)).counts == shown.counts


@pytest.mark.parametrize("statement", KEPT)
async def test_a_table_that_is_only_stored_anew_is_no_change(
    source: Connection, connect: Connect, statement: str
) -> None:
    await lay_out(source, RACES[0])
    shown = await preview(source, RACES[0].write)
    async with connect() as other:
        await other.execute(statement.encode())
    assert (await commit(source, RACES[0].write, shown)).counts == shown.counts


@pytest.mark.parametrize("race", IN_FLIGHT, ids=lambda race: race.name)
async def test_a_change_that_is_committed_while_the_commit_runs_makes_the_preview_stale(
    source: Connection, connect: Connect, race: Race
) -> None:
    await lay_out(source, race)
    shown = await preview(source, race.write)
    async with connect() as other, connect() as later:
        await other.execute("BEGIN")
        for statement in race.meanwhile:
            await other.execute(statement.encode())
        committing = asyncio.create_task(commit(later, race.write, shown))
        await until_blocking(other)
        await other.execute("COMMIT")
        after = await state(other)
        with pytest.raises(EffectChanged):
            await committing
        assert await state(other) == after


async def test_of_two_commits_of_one_preview_at_once_one_is_done(source: Connection, connect: Connect) -> None:
    await source.execute("CREATE TABLE t (id integer PRIMARY KEY, n integer)")
    await source.execute("INSERT INTO t VALUES (1, 1), (2, 2)")
    text = "UPDATE t SET n = n + 1"
    shown = await preview(source, text)
    async with connect() as one, connect() as other:
        second: list[asyncio.Task[Committed]] = []

        async def note(done: Committed) -> None:  # the first holds the rows by now: let the second run into the locks
            second.append(asyncio.create_task(commit(other, text, shown)))
            await until_blocking(one)

        await commit(one, text, shown, note)
        with pytest.raises(EffectChanged):
            await second[0]
    assert (await state(source))["t"] == {("1", "2"): 1, ("2", "3"): 1}
