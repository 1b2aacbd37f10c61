"""For operators and orchestrators: whether this service is alive, and whether it can serve."""

import asyncio
from collections.abc import Awaitable
from typing import Any, Final

from fastapi import APIRouter, Response
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from migrations import HEAD
from services.api.dependencies import AppResources
from shared.database.engine import Database
from shared.errors import StreamsUnavailable
from shared.ids import new_generation_id
from shared.streams.port import BEGINNING, Reader

router = APIRouter(tags=["health"])

CHECK_WITHIN: Final = 3.0


@router.get("/livez")
async def livez() -> dict[str, str]:
    """The process answers. Nothing else is checked."""
    return {"status": "ok"}


@router.get(
    "/readyz",
    responses={
        503: {
            "description": "A part does not answer, or the migrations are not at head.",
            "content": {"application/json": {}},
        }
    },
)
async def readyz(resources: AppResources, response: Response) -> dict[str, Any]:
    """Whether each part that a request needs is there: PostgreSQL, Redis, and a schema that fits this code."""
    names = ("database", "migrations", "streams")
    results = await asyncio.gather(
        _check(_database(resources.database)),
        _check(_migrations(resources.database)),
        _check(_streams(resources.streams.reader)),
    )
    ready = all(result == "ok" for result in results)
    if not ready:
        response.status_code = 503
        response.headers["Retry-After"] = "1"
    return {"status": "ready" if ready else "unavailable", "checks": dict(zip(names, results, strict=True))}


async def _check(check: Awaitable[str]) -> str:
    try:
        async with asyncio.timeout(CHECK_WITHIN):
            return await check
    except (SQLAlchemyError, StreamsUnavailable, OSError) as error:
        return type(error).__name__


async def _database(database: Database) -> str:
    async with database.connect() as db:
        await db.execute(text("SELECT 1"))
    return "ok"


async def _streams(reader: Reader) -> str:
    await reader.replay(new_generation_id(), BEGINNING, limit=1)
    return "ok"


async def _migrations(database: Database) -> str:
    async with database.connect() as db:
        found = (await db.execute(text("SELECT version_num FROM alembic_version"))).scalar_one_or_none()
    # A later schema fits as well: in an upgrade, the migration comes before the code.
    return "ok" if found is not None and found >= HEAD else f"at {found}, needs {HEAD}"
