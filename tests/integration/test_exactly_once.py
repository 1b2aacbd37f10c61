"""Changes of data sources are committed exactly once, whichever worker dies when, and can be undone."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from services.launcher.embedded.postgres import EmbeddedPostgres
from services.worker.operations.commit import MAX_TRIES, TRY_FOR
from shared.errors import DataSourceInUse, NotUndoable, StatementFailed, StatementRefused
from shared.operations.proposals import propose
from shared.operations.rows import OperationRow, to_json
from tests.support.committing import ADD, GATES, TABLES, Bank, killed, open_bank
from tests.support.data_sources import Source, make_source
from tests.support.forks import Forks
from tests.support.operations import BOUNDS, actions, found, proposal
from tests.support.turns import execute

CLAIMED = "SELECT attempt = 1 FROM operations"


@pytest.fixture(scope="module")
def source(postgres: EmbeddedPostgres) -> Source:
    return make_source(postgres, TABLES)


@pytest.fixture
async def bank(database_url: str, source: Source) -> AsyncIterator[Bank]:
    with source.owner() as owner:
        owner.execute("UPDATE accounts SET balance = 0")
    async with open_bank(database_url, source) as opened:
        yield opened


async def ended(bank: Bank, operation: OperationRow) -> OperationRow:
    """An operation after a worker of this process has had it."""
    await bank.commits.commit(operation.id)
    return await found(bank.database, bank.user, operation.id)


async def test_what_was_approved_is_committed_and_undone_and_done_again(bank: Bank) -> None:
    operation = await ended(bank, await bank.approved())
    assert (operation.status, bank.balances()) == ("committed", [1, 0, 0])
    told = to_json(operation)
    assert told["result"]["counts"] == {"inserted": 0, "updated": 1, "deleted": 0}
    assert told["result"]["rows"][0]["after"] == {"id": 1, "balance": 1}
    assert told["is_undoable"]
    undo = await ended(bank, await bank.approved_undo(operation))
    assert (undo.status, bank.balances()) == ("committed", [0, 0, 0])
    redo = await ended(bank, await bank.approved_undo(undo))
    assert (redo.status, bank.balances()) == ("committed", [1, 0, 0])
    with pytest.raises(NotUndoable):
        await bank.approved_undo(operation)
    assert [action for action in actions(bank.database_url, bank.user) if action == "operation.committed"] == [
        "operation.committed"
    ] * 3
    entries = execute(bank.database_url, "SELECT details::text FROM audit_log")
    assert not any('balance"' in str(details) for (details,) in entries)


async def test_a_preview_of_many_statements_ends_with_its_own_deadline(bank: Bank) -> None:
    hurried = replace(bank, changes=replace(bank.changes, seconds=0.05))
    with bank.source.owner() as owner, owner.transaction():
        owner.execute("LOCK TABLE accounts")
        with pytest.raises(StatementFailed, match=r"longer than 0\.05 s and was stopped"):
            await hurried.approved()
    assert (await ended(bank, await bank.approved())).status == "committed"


async def test_what_was_previewed_at_an_earlier_address_is_not_proposed(bank: Bank) -> None:
    earlier = proposal(data_source_id=bank.data_source, writer_url=b"earlier")
    async with bank.database.begin() as db:
        with pytest.raises(DataSourceInUse, match="address was changed"):
            await propose(db, bank.user, earlier, BOUNDS)


async def test_images_are_kept_encrypted(bank: Bank) -> None:
    operation = await ended(bank, await bank.approved())
    ((images,),) = execute(bank.database_url, "SELECT before_images FROM operations WHERE id = %s", operation.id)
    assert isinstance(images, bytes)
    assert b"accounts" not in images


async def test_a_change_of_other_rows_since_makes_it_stale(bank: Bank) -> None:
    operation = await bank.approved()
    with bank.source.owner() as owner:
        owner.execute("UPDATE accounts SET balance = 7 WHERE id = 1")
    done = await ended(bank, operation)
    assert (done.status, done.error_code, done.has_images) == ("stale", "effect_changed", False)
    assert bank.balances() == [7, 0, 0]


async def test_a_statement_that_the_wall_refuses_is_not_proposed(bank: Bank) -> None:
    with pytest.raises(StatementRefused):
        await bank.approved("DELETE FROM accounts; DROP TABLE accounts")
    assert execute(bank.database_url, "SELECT count(*) FROM operations") == [(0,)]


async def test_a_source_that_does_not_answer_is_tried_again_and_then_given_up(bank: Bank) -> None:
    operation = await bank.approved()
    good = execute(bank.database_url, "SELECT writer_url FROM data_sources")[0][0]
    away = bank.changes.keyring.encrypt("postgresql://a:b@127.0.0.1:1/c", bank.user, "writer_url")
    execute(bank.database_url, "UPDATE data_sources SET writer_url = %s", away)
    assert (await ended(bank, operation)).status == "approved"
    assert execute(bank.database_url, "SELECT lease_expires_at > now() FROM operations") == [(True,)]
    assert (await ended(bank, operation)).status == "approved"  # not before the pause is over
    assert execute(bank.database_url, "SELECT attempt FROM operations") == [(1,)]
    execute(bank.database_url, "UPDATE data_sources SET writer_url = %s", good)
    bank.expire_leases()
    assert (await ended(bank, operation)).status == "committed"
    operation = await bank.approved()
    execute(bank.database_url, "UPDATE data_sources SET writer_url = %s", away)
    execute(bank.database_url, "UPDATE operations SET decided_at = decided_at - %s", TRY_FOR)
    # There may have been no worker until now.
    assert (await ended(bank, operation)).status == "approved"
    # Nine attempts have room in this time, and each ends as the first.
    execute(bank.database_url, "UPDATE operations SET attempt = 9")
    bank.expire_leases()
    failed = await ended(bank, operation)
    assert (failed.status, failed.error_code, bank.balances()) == ("failed", "data_source_unreachable", [1, 0, 0])


async def test_a_change_that_takes_too_long_is_tried_again_and_then_given_up(bank: Bank) -> None:
    operation = await bank.approved()
    execute(bank.database_url, "UPDATE operations SET decided_at = decided_at - %s", TRY_FOR)
    with bank.source.owner() as owner, owner.transaction():
        owner.execute("LOCK TABLE accounts")
        await replace(bank.commits, within=0.1).commit(operation.id)
        assert (await found(bank.database, bank.user, operation.id)).status == "approved"
        bank.expire_leases()
        await replace(bank.commits, within=0.1).commit(operation.id)
    failed = await found(bank.database, bank.user, operation.id)
    assert (failed.status, failed.error_code, bank.balances()) == ("failed", "commit_timed_out", [0, 0, 0])


@pytest.mark.parametrize(("xid", "status"), [(None, "failed"), ("9999999999", "failed"), (None, "committed")])
async def test_a_change_of_which_workers_die_is_given_up(bank: Bank, xid: str | None, status: str) -> None:
    operation = await bank.approved()
    tries = MAX_TRIES if status == "failed" else MAX_TRIES - 1
    execute(bank.database_url, "UPDATE operations SET attempt = %s, xid = %s", tries, xid)
    done = await ended(bank, operation)
    code = "outcome_unknown" if xid else "commit_timed_out" if status == "failed" else None
    assert (done.status, done.error_code) == (status, code)


async def test_a_transaction_that_nobody_knows_is_told(bank: Bank) -> None:
    operation = await bank.approved()
    execute(bank.database_url, "UPDATE operations SET xid = '9999999999'")
    done = await ended(bank, operation)
    assert (done.status, done.error_code, bank.balances()) == ("failed", "outcome_unknown", [0, 0, 0])


@pytest.mark.parametrize("kind", ["write", "undo"])
@pytest.mark.parametrize("step", ["claimed", "noting", "ending", "ended"])
async def test_a_worker_that_is_killed_leaves_an_operation_that_is_done_once(
    bank: Bank, forks: Forks, tmp_path: Path, step: str, kind: str
) -> None:
    operation = await bank.approved()
    expected = [1, 0, 0]
    if kind == "undo":
        operation = await bank.approved_undo(await ended(bank, operation))
        expected = [0, 0, 0]
    execute(bank.database_url, GATES)
    await killed(bank, forks, operation, step, tmp_path / "log")
    bank.expire_leases()
    done = await ended(bank, operation)
    assert (done.status, bank.balances(), done.has_images) == ("committed", expected, True)
    assert actions(bank.database_url, bank.user)[-1] == "operation.committed"
    undone = await ended(bank, await bank.approved_undo(done))
    assert undone.status == "committed"
    assert bank.balances() == ([0, 0, 0] if kind == "write" else [1, 0, 0])


async def test_an_attempt_whose_lease_was_lost_commits_nothing(bank: Bank) -> None:
    operation = await bank.approved()
    with bank.source.owner() as owner:
        owner.execute("BEGIN")
        owner.execute("LOCK TABLE accounts")
        first = asyncio.create_task(bank.commits.commit(operation.id))
        await bank.until(CLAIMED)
        bank.expire_leases()
        second = asyncio.create_task(bank.commits.commit(operation.id))
        await bank.until("SELECT attempt = 2 FROM operations")
        await asyncio.to_thread(owner.execute, "ROLLBACK")
        await asyncio.gather(first, second)
    assert bank.balances() == [1, 0, 0]
    assert (await found(bank.database, bank.user, operation.id)).status == "committed"


async def test_of_two_changes_of_one_row_one_is_stale(bank: Bank) -> None:
    one, other = await bank.approved(ADD), await bank.approved(ADD)
    assert [(await ended(bank, each)).status for each in (one, other)] == ["committed", "stale"]
    assert bank.balances() == [1, 0, 0]
