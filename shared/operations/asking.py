"""Asking a data source. The audit log gets the statement before it runs, whatever becomes of it; it gets no row."""

from shared.data_sources.access import SourceAccess
from shared.data_sources.querying import QueryResult
from shared.database.engine import Database
from shared.ids import DataSourceId, UserId
from shared.operations import audit
from shared.sources.rows import find_source
from shared.sources.work import query_source


async def ask(
    access: SourceAccess, database: Database, user_id: UserId, source_id: DataSourceId, sql: str, *, by: str
) -> QueryResult:
    """Log a query, check it and run it. `by` is who asks: `model`, or the kind of a credential.

    Raises:
        DataSourceNotFound: absent, or another user's.
        StatementRefused: the statement is none that may run here.
        StatementFailed: the data source refuses the statement.
        CortexAIError: the data source can't be reached.

    """
    async with database.begin() as db:
        source = await find_source(db, user_id, source_id)
        asked = audit.Event("query.run", audit.data_source(source_id), {"statement": sql, "by": by})
        await audit.append(db, user_id, asked)
    return await query_source(access, database, source, sql)
