"""Trying a data source out: both roles connect, and their rights are looked at."""

from services.api.data_sources.schemas import RoleTest, TestResult
from shared.data_sources.access import SourceAccess
from shared.data_sources.rights import find_excess_rights, statements_for_roles
from shared.data_sources.schema_reading import read_schema
from shared.database.engine import Database
from shared.sources.rows import SourceRow
from shared.sources.work import noting


async def test_source(access: SourceAccess, database: Database, source: SourceRow) -> TestResult:
    """Connect as both roles, look at their rights, and save how it ended.

    Raises:
        CortexAIError: one of them can't connect, or must not.

    """
    async with noting(database, source, is_test=True), access.reader(source.stored) as connection:
        version = connection.info.parameter_status("server_version") or ""
        database_name = connection.info.dbname
        reader = RoleTest.of(connection.info.user, await find_excess_rights(connection, is_reader=True))
        schemas = list((await read_schema(connection)).search_path)
    writer = None
    if source.writer_url is not None:
        async with noting(database, source, is_test=True), access.writer(source.stored) as connection:
            writer = RoleTest.of(connection.info.user, await find_excess_rights(connection, is_reader=False))
    is_fine = not reader.excess_rights and (writer is None or not writer.excess_rights)
    statements = None if is_fine else statements_for_roles(database_name, schemas, access.limits)
    return TestResult(server_version=version, reader=reader, writer=writer, statements=statements)
