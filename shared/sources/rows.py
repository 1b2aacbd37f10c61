"""The users' data sources in our own database. Ownership is in the WHERE clause: another user's is not found."""

from datetime import datetime
from typing import Any, Final, NamedTuple

from sqlalchemy import Row, Text, cast, func, select, update

from shared.data_sources.access import StoredSource
from shared.database.engine import Connection
from shared.database.tables import DataSource
from shared.errors import DataSourceNotFound
from shared.ids import UserId

COLUMNS: Final = (
    DataSource.id,
    DataSource.user_id,
    DataSource.name,
    DataSource.kind,
    DataSource.reader_url,
    DataSource.writer_url,
    DataSource.trusted_functions,
    DataSource.status,
    DataSource.checked_at,
    DataSource.schema_read_at,
    DataSource.created_at,
    DataSource.updated_at,
)


class SourceRow(NamedTuple):
    """A data source, without its schema. The URLs are encrypted."""

    id: int
    user_id: UserId
    name: str
    kind: str
    reader_url: bytes
    writer_url: bytes | None
    trusted_functions: list[str]
    status: str | None
    checked_at: datetime | None
    schema_read_at: datetime | None
    created_at: datetime
    updated_at: datetime

    @property
    def stored(self) -> StoredSource:
        """What leads to the data source's database."""
        return StoredSource(self.id, self.user_id, self.kind, self.reader_url, self.writer_url)


def row_of(found: Row[*tuple[Any, ...]] | None) -> SourceRow:
    """The row of a data source.

    Raises:
        DataSourceNotFound: there is none.

    """
    if found is None:
        raise DataSourceNotFound
    return SourceRow._make(found)


async def list_sources(db: Connection, user_id: UserId) -> list[SourceRow]:
    """A user's data sources, by name."""
    statement = select(*COLUMNS).where(DataSource.user_id == user_id).order_by(func.lower(DataSource.name))
    return [SourceRow._make(row) for row in await db.execute(statement)]


async def find_source(db: Connection, user_id: UserId, source_id: int) -> SourceRow:
    """One data source.

    Raises:
        DataSourceNotFound: absent, or another user's.

    """
    owned = (DataSource.id == source_id) & (DataSource.user_id == user_id)
    return row_of((await db.execute(select(*COLUMNS).where(owned))).one_or_none())


async def find_sandbox(db: Connection, user_id: UserId) -> SourceRow | None:
    """The user's sandbox; None where there is none."""
    owned = (DataSource.kind == "sandbox") & (DataSource.user_id == user_id)
    found = (await db.execute(select(*COLUMNS).where(owned))).one_or_none()
    return SourceRow._make(found) if found else None


async def find_schema(db: Connection, user_id: UserId, source_id: int) -> str | None:
    """The JSON of the schema as it was last read; None where it was not, or the data source is gone."""
    owned = (DataSource.id == source_id) & (DataSource.user_id == user_id)
    # As a text: a large one is read on a thread, and not by the database's driver.
    found: str | None = (await db.execute(select(cast(DataSource.schema, Text)).where(owned))).scalar_one_or_none()
    return found


async def save_outcome(db: Connection, source: StoredSource, values: dict[str, Any]) -> None:
    """Save what was found on a data source. Nothing is saved of one that got another address meanwhile."""
    same = (
        (DataSource.id == source.id)
        & (DataSource.user_id == source.user_id)
        & (DataSource.reader_url == source.reader_url)
    )
    await db.execute(update(DataSource).where(same).values(values))
