"""Changes of a user's list of data sources."""

from typing import Any, Final

from sqlalchemy import delete, func, insert, select, update

from shared.database.engine import Connection
from shared.database.tables import DataSource, User
from shared.errors import DataSourceNameTaken, TokenInvalid, TooManyDataSources
from shared.ids import UserId
from shared.sources.rows import COLUMNS, SourceRow, row_of

MAX_SOURCES: Final = 20
"""How many data sources a user may have."""


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
    statement = insert(DataSource).values(user_id=user_id, **values).returning(*COLUMNS)
    return row_of((await db.execute(statement)).one_or_none())


async def change_source(db: Connection, user_id: UserId, source_id: int, values: dict[str, Any]) -> SourceRow:
    """Change columns of a data source. Needs a transaction, which has locked the owner where the name changes.

    Raises:
        DataSourceNotFound: absent, or another user's.
        DataSourceNameTaken: another one of the user's has this name.

    """
    if "name" in values:
        await _insist_on_name(db, user_id, values["name"], but=source_id)
    owned = (DataSource.id == source_id) & (DataSource.user_id == user_id)
    statement = update(DataSource).where(owned).values(values).returning(*COLUMNS)
    return row_of((await db.execute(statement)).one_or_none())


async def delete_source(db: Connection, user_id: UserId, source_id: int) -> SourceRow:
    """Delete a data source, and the operations on it. Returns what it was.

    Raises:
        DataSourceNotFound: absent, or another user's.

    """
    owned = (DataSource.id == source_id) & (DataSource.user_id == user_id)
    return row_of((await db.execute(delete(DataSource).where(owned).returning(*COLUMNS))).one_or_none())


async def _insist_on_name(db: Connection, user_id: UserId, name: str, *, but: int | None = None) -> None:
    same = (DataSource.user_id == user_id) & (func.lower(DataSource.name) == func.lower(name))
    if but is not None:
        same &= DataSource.id != but
    if (await db.execute(select(DataSource.id).where(same))).first() is not None:
        raise DataSourceNameTaken
