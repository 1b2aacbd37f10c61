"""The data sources that operations change, as rows."""

from datetime import datetime
from typing import NamedTuple

from sqlalchemy import Text, cast, select

from shared.database.engine import Connection
from shared.database.tables import DataSource, Operation
from shared.errors import DataSourceNotFound, OperationNotFound
from shared.ids import DataSourceId, OperationId, UserId


class ChangeableSource(NamedTuple):
    """What is needed to change a data source. The URLs are encrypted; `writer_url` is None where nothing may be changed.

    `schema` is the JSON of what the source had when it was last read, None where nobody has read it, or where the
    schema was not asked for.
    """

    id: DataSourceId
    user_id: UserId
    name: str
    kind: str
    reader_url: bytes
    writer_url: bytes | None
    trusted_functions: list[str]
    schema: str | None
    schema_read_at: datetime | None


async def find_source(
    db: Connection, user_id: UserId, data_source_id: DataSourceId, *, with_schema: bool = False
) -> ChangeableSource:
    """One data source, with its schema on request: that may be large.

    Raises:
        DataSourceNotFound: absent, or another user's.

    """
    columns = [
        cast(DataSource.schema, Text) if name == "schema" else getattr(DataSource, name)
        for name in ChangeableSource._fields
        if with_schema or name != "schema"
    ]
    statement = select(*columns).where(DataSource.id == data_source_id, DataSource.user_id == user_id)
    row = (await db.execute(statement)).one_or_none()
    if row is None:
        raise DataSourceNotFound
    return ChangeableSource(**{"schema": None, **row._mapping})  # noqa: SLF001 - public, as its name is taken by columns


async def find_images(db: Connection, user_id: UserId, operation_id: OperationId) -> bytes | None:
    """What the undo of an operation needs, encrypted; None where nothing is kept.

    Raises:
        OperationNotFound: absent, or another user's.

    """
    statement = select(Operation.before_images).where(Operation.id == operation_id, Operation.user_id == user_id)
    row = (await db.execute(statement)).one_or_none()
    if row is None:
        raise OperationNotFound
    images: bytes | None = row[0]
    return images
