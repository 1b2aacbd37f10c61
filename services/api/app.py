"""The API's composition root: settings become resources, routers become an application."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from importlib.metadata import version
from typing import TypedDict

from fastapi import FastAPI
from starlette.middleware import Middleware
from starlette.middleware.errors import ServerErrorMiddleware

from services.api import docs, health, problems
from services.api.auth import router as auth
from services.api.chats import router as chats
from services.api.generations import queries
from services.api.generations import router as generations
from services.api.line import Line
from services.api.memory import router as memory
from services.api.middleware import BodyLimit, RequestLog
from services.api.origins import AllowedOrigins
from services.api.queue import open_queue
from services.api.resources import Resources
from services.api.security import AccessTokens, Passwords
from services.api.usage import router as usage
from shared import strays
from shared.database.engine import Database, open_database
from shared.errors import SettingsInvalid
from shared.ids import GenerationId
from shared.settings import Settings
from shared.streams.redis import open_streams


class State(TypedDict):
    """What the lifespan gives to every request."""

    resources: Resources


def create_app(settings: Settings) -> FastAPI:
    """The application. It connects to nothing before it is started."""
    app = FastAPI(
        title="CortexAI",
        version=version("cortexai"),
        summary="Chats whose answers are never lost.",
        lifespan=_lifespan(settings),
        # FastAPI's own pages load their scripts from other hosts.
        docs_url=None,
        redoc_url=None,
        middleware=[
            Middleware(RequestLog),
            Middleware(AllowedOrigins, origins=settings.backend_cors_origins),
            Middleware(ServerErrorMiddleware, handler=problems.of_unexpected),
            Middleware(BodyLimit, limit=settings.max_body_bytes),
        ],
    )
    problems.install(app)
    app.include_router(health.router)
    app.include_router(docs.router)
    for router in (auth.router, chats.router, generations.router, memory.router, usage.router):
        app.include_router(router, responses={503: {"description": "database_unavailable"}})
    return app


def _lifespan(settings: Settings) -> Callable[[FastAPI], AbstractAsyncContextManager[State]]:
    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[State]:
        strays.watch(asyncio.get_running_loop())
        if settings.jwt_secret_key is None:
            raise SettingsInvalid("JWT_SECRET_KEY: is not set")
        tokens = AccessTokens(
            settings.jwt_secret_key.get_secret_value(),
            settings.jwt_algorithm,
            settings.access_token_expire_minutes * 60,
        )
        database = open_database(settings.database_url, pool_size=settings.database_pool_size)
        line = Line(partial(_line, database, settings.queue_max_depth))
        passwords = Passwords(rounds=settings.bcrypt_rounds)
        try:
            async with open_streams(
                settings.stream_redis_url,
                ttl=settings.stream_ttl_seconds,
                keep_alive=settings.stream_keep_alive_seconds,
            ) as streams:
                with open_queue(settings.celery_broker_url) as queue:
                    yield {"resources": Resources(settings, database, streams, queue, line, passwords, tokens)}
        finally:
            passwords.close()
            await database.dispose()

    return lifespan


async def _line(database: Database, limit: int) -> Mapping[GenerationId, int]:
    async with database.connect() as db:
        return await queries.find_line(db, limit)
