"""What the tools for databases have in common: the names by which they speak of each other, and how they fail."""

from collections.abc import Awaitable
from typing import Annotated, Final, TypeVar

from pydantic import Field
from sqlalchemy.exc import SQLAlchemyError

from services.worker.tools.port import Category, ToolFailure
from shared.errors import (
    ChangeTooLarge,
    CortexAIError,
    DataSourceNotFound,
    StatementFailed,
    StatementRefused,
    Unavailable,
)
from shared.ids import MAX_BIGINT
from shared.telemetry.logs import get_logger

log = get_logger(__name__)

T = TypeVar("T")
SOURCES: Final = "db_sources"
SCHEMA: Final = "db_schema"
QUERY: Final = "db_query"
PROPOSE: Final = "db_propose_write"
SourceNumber = Annotated[int, Field(description=f"The database's id, as {SOURCES} gives it.", ge=1, le=MAX_BIGINT)]
MAX_MESSAGE_CHARS: Final = 1_000
"""Of an error, as the model is told it."""
TIMEOUT: Final = 60.0
"""Seconds. What takes longer is given up, also where the settings allow a data source's statements more."""
MENDABLE: Final = (StatementRefused, StatementFailed, ChangeTooLarge)
FAILED_NOTICE: Final = "The database could not be used. Say so, and make no rows up."


async def try_it(work: Awaitable[T]) -> T | ToolFailure:
    """What the work gives, or why it failed, as the reader and the model are told."""
    try:
        return await work
    except MENDABLE as error:
        told = error.message[:MAX_MESSAGE_CHARS]
        notice = f"The statement was not run: {told}. Mend the statement, and call again."
        return ToolFailure("failed", told, notice, has_rows=isinstance(error, StatementFailed))
    except DataSourceNotFound as error:
        return ToolFailure("failed", error.message, f"{error.message} {SOURCES} tells which there are.")
    except CortexAIError as error:
        log.warning("database_tool_failed", error=error.code)
        category: Category = "unavailable" if isinstance(error, Unavailable) else "failed"
        return ToolFailure(category, error.message, f"{error.message} {FAILED_NOTICE}")
    except SQLAlchemyError as error:
        log.warning("database_tool_failed", error=type(error).__name__)
        return ToolFailure("unavailable", "The database could not be used.", FAILED_NOTICE)
