"""Data sources in the database."""

from datetime import datetime
from typing import Any, Final, NamedTuple

from sqlalchemy import Row, delete, func, insert, select, update

from shared.data_sources.access import StoredSource
from shared.database.engine import Connection
from shared.database.tables import DataSource, User
from shared.errors import DataSourceNameTaken, DataSourceNotFound, TokenInvalid, TooManyDataSources
from shared.ids import UserId

MAX_SOURCES: Final = 20
"""How many data sources a user may have."""
_COLUMNS: Final = (
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


def _row(found: Row[*tuple[Any, ...]] | None) -> SourceRow:
    if found is None:
        raise DataSourceNotFound
    return SourceRow._make(found)


async def list_sources(db: Connection, user_id: UserId) -> list[SourceRow]:
    """A user's data sources, by name."""
    statement = select(*_COLUMNS).where(DataSource.user_id == user_id).order_by(func.lower(DataSource.name))
    return [SourceRow._make(row) for row in await db.execute(statement)]


async def find_source(db: Connection, user_id: UserId, source_id: int) -> SourceRow:
    """One data source.

    Raises:
        DataSourceNotFound: absent, or another user's.

    """
    owned = (DataSource.id == source_id) & (DataSource.user_id == user_id)
    return _row((await db.execute(select(*_COLUMNS).where(owned))).one_or_none())


async def find_sandbox(db: Connection, user_id: UserId) -> SourceRow | None:
    """The user's sandbox; None where there is none."""
    owned = (DataSource.kind == "sandbox") & (DataSource.user_id == user_id)
    found = (await db.execute(select(*_COLUMNS).where(owned))).one_or_none()
    return SourceRow._make(found) if found else None


async def find_schema(db: Connection, user_id: UserId, source_id: int) -> dict[str, Any] | None:
    """The schema as it was last read; None where it was not, or the data source is gone."""
    owned = (DataSource.id == source_id) & (DataSource.user_id == user_id)
    found: dict[str, Any] | None = (await db.execute(select(DataSource.schema).where(owned))).scalar_one_or_none()
    return found


async def lock_owner(db: Connection, user_id: UserId) -> None:
    """Have those who change a user's list of data sources take turns. Needs a transaction.

    Raises:
        TokenInvalid: the account was deleted after its request was let in.

    """
    statement = select(User.id).where(User.id == user_id).with_for_update(key_share=True)
    if (await db.execute(statement)).one_or_none() is None:
        raise TokenInvalid


async def add_source(db: Connection, user_id: UserId, values: dict[str, Any]) -> SourceRow:
    """Add a data source. Needs a transaction that has locked the owner.

    Raises:
        TooManyDataSources: the user has MAX_SOURCES already.
        DataSourceNameTaken: the user has one of this name.

    """
    counted = select(func.count()).select_from(DataSource).where(DataSource.user_id == user_id)
    if (await db.execute(counted)).scalar_one() >= MAX_SOURCES:
        raise TooManyDataSources
    await _insist_on_name(db, user_id, values["name"])
    statement = insert(DataSource).values(user_id=user_id, **values).returning(*_COLUMNS)
    return _row((await db.execute(statement)).one_or_none())


async def change_source(db: Connection, user_id: UserId, source_id: int, values: dict[str, Any]) -> SourceRow:
    """Change columns of a data source. Needs a transaction, which has locked the owner where the name changes.

    Raises:
        DataSourceNotFound: absent, or another user's.
        DataSourceNameTaken: another one of the user's has this name.

    """
    if "name" in values:
        await _insist_on_name(db, user_id, values["name"], but=source_id)
    owned = (DataSource.id == source_id) & (DataSource.user_id == user_id)
    statement = update(DataSource).where(owned).values(values).returning(*_COLUMNS)
    return _row((await db.execute(statement)).one_or_none())


async def save_outcome(db: Connection, source: StoredSource, values: dict[str, Any]) -> None:
    """Save what was found on a data source. Nothing is saved of one that got another address meanwhile."""
    same = (
        (DataSource.id == source.id)
        & (DataSource.user_id == source.user_id)
        & (DataSource.reader_url == source.reader_url)
    )
    await db.execute(update(DataSource).where(same).values(values))


async def delete_source(db: Connection, user_id: UserId, source_id: int) -> SourceRow:
    """Delete a data source, and the operations on it. Returns what it was.

    Raises:
        DataSourceNotFound: absent, or another user's.

    """
    owned = (DataSource.id == source_id) & (DataSource.user_id == user_id)
    return _row((await db.execute(delete(DataSource).where(owned).returning(*_COLUMNS))).one_or_none())


async def _insist_on_name(db: Connection, user_id: UserId, name: str, *, but: int | None = None) -> None:
    same = (DataSource.user_id == user_id) & (func.lower(DataSource.name) == func.lower(name))
    if but is not None:
        same &= DataSource.id != but
    if (await db.execute(select(DataSource.id).where(same))).first() is not None:
        raise DataSourceNameTaken
