"""Asking a data source, with an entry in the audit log: the statement, and how many rows it gave; no row."""

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
    """Check a query, run it and log it. `by` is who asks: `model`, or the kind of a credential.

    Raises:
        DataSourceNotFound: absent, or another user's.
        StatementRefused: the statement is none that may run here.
        StatementFailed: the data source refuses the statement.
        CortexAIError: the data source can't be reached.

    """
    async with database.connect() as db:
        source = await find_source(db, user_id, source_id)
    result = await query_source(access, database, source, sql)
    details = {"statement": sql, "rows": len(result.rows), "is_cut": result.is_cut, "by": by}
    async with database.begin() as db:
        await audit.append(db, user_id, audit.Event("query.run", audit.data_source(source_id), details))
    return result
