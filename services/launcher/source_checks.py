"""What the roles of users' data sources may do beyond what they should, for the doctor."""

import asyncio
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from sqlalchemy import select
from sqlalchemy.exc import SQLAlchemyError

from services.launcher.checks import Finding, State
from shared.data_sources.access import MAX_CONNECTIONS_OF_A_USER, SourceAccess, StoredSource, open_access
from shared.data_sources.rights import find_excess_rights
from shared.database.engine import open_database
from shared.database.tables import DataSource
from shared.errors import CortexAIError
from shared.ids import UserId
from shared.settings import Settings

MOST: Final = 50
"""So many data sources are looked at, the newest."""
AT_A_TIME: Final = MAX_CONNECTIONS_OF_A_USER
"""All may be one user's, who gets no more connections at a time."""
WITHIN: Final = 10.0
"""Seconds for each data source, and for our own database."""
REMEDY: Final = "POST /api/data-sources/{}/test tells the SQL of proper roles"


class Looked(NamedTuple):
    """What was found at one data source: what is worth knowing, and why nothing could be found; both may be empty."""

    source_id: int
    excess: tuple[str, ...] = ()
    failure: str = ""


def source_rights(settings: Settings) -> Iterator[Finding]:
    """The roles of users' databases. Sandboxes are left out: their roles are made here."""
    access = open_access(settings)
    if access is None:
        return
    try:
        looked = asyncio.run(_look(settings.database_url, access))
    except (SQLAlchemyError, OSError, TimeoutError):
        yield Finding("rights of data sources", "note", "not looked at: the database does not answer in time")
        return
    for one in looked:
        if one.excess:
            detail = "; ".join(one.excess)
            yield Finding(f"data source {one.source_id}", "note", detail, REMEDY.format(one.source_id))
        elif one.failure:
            yield Finding(f"data source {one.source_id}", "note", one.failure, "its user can mend that")
    fine = sum(not one.excess and not one.failure for one in looked)
    state: State = "ok" if fine == len(looked) else "note"
    yield Finding("rights of data sources", state, f"{fine} of {len(looked)} have roles as they should be")


async def _look(database_url: str, access: SourceAccess) -> Sequence[Looked]:
    database = open_database(database_url, pool_size=1)
    columns = (DataSource.id, DataSource.user_id, DataSource.kind, DataSource.reader_url, DataSource.writer_url)
    newest = select(*columns).where(DataSource.kind != "sandbox").order_by(DataSource.id.desc()).limit(MOST)
    try:
        async with asyncio.timeout(WITHIN), database.connect() as db:
            rows = (await db.execute(newest)).all()
        free = asyncio.Semaphore(AT_A_TIME)
        stored = (StoredSource(row[0], UserId(row[1]), *row[2:]) for row in rows)
        return await asyncio.gather(*(_look_at(access, source, free) for source in stored))
    finally:
        await database.dispose()


async def _look_at(access: SourceAccess, source: StoredSource, free: asyncio.Semaphore) -> Looked:
    excess: list[str] = []
    try:
        async with free, asyncio.timeout(WITHIN):
            async with access.reader(source) as connection:
                found = await find_excess_rights(connection, is_reader=True)
                excess += [f"the reader: {right.detail}" for right in found]
            if source.writer_url is not None:
                async with access.writer(source) as connection:
                    found = await find_excess_rights(connection, is_reader=False)
                    excess += [f"the writer: {right.detail}" for right in found]
    except TimeoutError:
        return Looked(source.id, tuple(excess), "does not answer in time")
    except CortexAIError as error:
        return Looked(source.id, tuple(excess), error.message)
    return Looked(source.id, tuple(excess))
