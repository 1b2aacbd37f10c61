"""Bodies of the data source routes."""

from datetime import datetime
from typing import Annotated, Literal, Self

from pydantic import Field, StringConstraints

from services.api.fields import Body, NotBlank, OneLine, Storable, View
from shared.data_sources.querying import QueryResult
from shared.data_sources.rights import ExcessRight
from shared.data_sources.schema import Generated, Schema, TableKind
from shared.data_sources.statements.checked import MAX_STATEMENT_CHARS
from shared.data_sources.urls import MAX_URL_CHARS, SourceUrl
from shared.sources.rows import SourceRow

MAX_NAME_CHARS = 100
MAX_TRUSTED_FUNCTIONS = 100

Name = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=MAX_NAME_CHARS), Storable, NotBlank, OneLine
]
Url = Annotated[str, StringConstraints(min_length=1, max_length=MAX_URL_CHARS), Storable]
FunctionName = Annotated[str, StringConstraints(pattern=r"^[^\x00-\x1f.\"]{1,63}\.[^\x00-\x1f.\"]{1,63}$"), Storable]
TrustedFunctions = Annotated[list[FunctionName], Field(max_length=MAX_TRUSTED_FUNCTIONS)]
Sql = Annotated[str, StringConstraints(min_length=1, max_length=MAX_STATEMENT_CHARS), Storable]


class NewDataSource(Body):
    """A PostgreSQL database to connect, as `postgresql://user:password@host:5432/database?sslmode=…`.

    `reader_url` is for queries. Without a `writer_url` nothing can be changed. `trusted_functions` are functions, as
    `schema.name`, that triggers of the database call and that have no effect beyond the database.
    """

    name: Name
    reader_url: Url
    writer_url: Url | None = None
    trusted_functions: TrustedFunctions = Field(default_factory=list)


class DataSourceChange(Body):
    """Changes of a data source. A field that is left out stays as it is; `writer_url` null takes the writer away."""

    name: Name | None = None
    reader_url: Url | None = None
    writer_url: Url | None = None
    trusted_functions: TrustedFunctions | None = None


class NewSandbox(Body):
    """A sandbox to make."""

    name: Name = "Sandbox"


class Statement(Body):
    """A statement to run."""

    sql: Sql


class RoleView(View):
    """Who connects where. The password is never told. Of a sandbox, host and port are null."""

    user: str
    host: str | None
    port: int | None
    database: str
    ssl_mode: str | None

    @classmethod
    def of(cls, url: SourceUrl, *, is_sandbox: bool) -> Self:
        """The view of an address."""
        host, port = (None, None) if is_sandbox else (url.host, url.port)
        return cls(user=url.user, host=host, port=port, database=url.database, ssl_mode=url.ssl_mode)


class DataSourceView(View):
    """A data source. `status` is how the last try to connect ended: `ok`, or an error's code; null where nobody has tried.

    `reader` is null where a key is missing to read the address.
    """

    id: int
    name: str
    kind: Literal["postgresql", "sandbox"]
    reader: RoleView | None
    writer: RoleView | None
    can_write: bool
    trusted_functions: list[str]
    status: str | None
    checked_at: datetime | None
    schema_read_at: datetime | None
    created_at: datetime
    updated_at: datetime

    @classmethod
    def of(cls, row: SourceRow, urls: tuple[SourceUrl, SourceUrl | None] | None) -> Self:
        """The view of a row, with the parts of its addresses; None where they can't be read."""
        reader, writer = urls or (None, None)
        is_sandbox = row.kind == "sandbox"
        return cls.model_validate(
            {
                **row._asdict(),
                "reader": RoleView.of(reader, is_sandbox=is_sandbox) if reader else None,
                "writer": RoleView.of(writer, is_sandbox=is_sandbox) if writer else None,
                "can_write": row.writer_url is not None,
            }
        )


class ExcessRightView(View):
    """A right that a role has and should not have."""

    code: str
    detail: str


class RoleTest(View):
    """What a connection found. `excess_rights` is empty for a role as it should be."""

    user: str
    excess_rights: list[ExcessRightView]

    @classmethod
    def of(cls, user: str, excess: list[ExcessRight]) -> Self:
        """The view of what was found."""
        return cls(user=user, excess_rights=[ExcessRightView.model_validate(right) for right in excess])


class TestResult(View):
    """Both roles could connect. `statements` is the SQL that makes roles as they should be; null where they are."""

    __test__ = False  # no test of pytest's

    server_version: str
    reader: RoleTest
    writer: RoleTest | None
    statements: str | None


class ColumnView(View):
    """A column."""

    name: str
    type: str
    is_nullable: bool
    default: str | None
    generated: Generated
    comment: str | None


class ForeignKeyView(View):
    """Columns that name a row of another table."""

    columns: list[str]
    to_schema: str
    to_table: str
    to_columns: list[str]
    on_delete: str
    on_update: str


class TableView(View):
    """A table or a view. `rows` is the server's estimate."""

    schema_name: Annotated[str, Field(validation_alias="schema", serialization_alias="schema")]
    name: str
    kind: TableKind
    columns: list[ColumnView]
    primary_key: list[str]
    foreign_keys: list[ForeignKeyView]
    comment: str | None
    rows: int | None


class SchemaView(View):
    """What a data source has, as its reader may see it. `is_cut`: there is more."""

    tables: list[TableView]
    search_path: list[str]
    is_cut: bool
    read_at: datetime

    @classmethod
    def of(cls, schema: Schema, read_at: datetime) -> Self:
        """The view of a schema."""
        tables = [TableView.model_validate(table) for table in schema.tables]
        return cls(tables=tables, search_path=list(schema.search_path), is_cut=schema.is_cut, read_at=read_at)


class ResultColumnView(View):
    """A column of a result. `type` is PostgreSQL's name."""

    name: str
    type: str


class QueryResultView(View):
    """What a query gave. Values are booleans, numbers that JSON holds exactly, null, or PostgreSQL's text.

    `is_cut`: there are more rows, or longer values, than are here. `seconds` is how long the query took.
    """

    columns: list[ResultColumnView]
    rows: list[list[str | int | float | bool | None]]
    is_cut: bool
    seconds: float

    @classmethod
    def of(cls, result: QueryResult) -> Self:
        """The view of a result."""
        return cls(
            columns=[ResultColumnView.model_validate(column) for column in result.columns],
            rows=[list(row) for row in result.rows],
            is_cut=result.is_cut,
            seconds=round(result.seconds, 4),
        )
