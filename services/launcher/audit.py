"""Checks the audit log: `cortexai audit verify`."""

import asyncio

from sqlalchemy.exc import SQLAlchemyError

from services.launcher.errors import AuditUnreadable
from services.launcher.migrations import first_line
from shared.database.engine import open_database
from shared.operations.audit import Chain, find_owners, verify


def verify_all(database_url: str) -> int:
    """Print a line about each user's chain: its head, or the first entry that is wrong. Returns 1 if any is.

    Raises:
        AuditUnreadable: the database does not answer, or has no such log.

    """
    try:
        return asyncio.run(_verify_all(database_url))
    except SQLAlchemyError as error:
        raise AuditUnreadable(f"DATABASE_URL: the audit log can't be read: {first_line(error)}") from error


async def _verify_all(database_url: str) -> int:
    database = open_database(database_url, pool_size=1)
    wrong = chains = 0
    try:
        async with database.connect() as db:
            for user_id in await find_owners(db):
                chain = await verify(db, user_id)
                print(told(chain))  # noqa: T201
                wrong += chain.wrong is not None
                chains += 1
    finally:
        await database.dispose()
    print(f"{chains} chains, {wrong} wrong" if wrong else f"{chains} chains, all good")  # noqa: T201
    return 1 if wrong else 0


def told(chain: Chain) -> str:
    """A line about a chain. Whoever keeps the line can tell later that no entry is missing at the end."""
    if chain.wrong is not None:
        return f"user {chain.user_id}: entry {chain.wrong} is missing, was changed, or was put in later"
    return f"user {chain.user_id}: {chain.entries} entries, head {chain.head.hex()}"
