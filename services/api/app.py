"""The API's composition root: settings become resources, routers become an application."""

from collections.abc import AsyncIterator, Callable, Collection, Mapping
from collections.abc import Set as AbstractSet
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from importlib.metadata import version
from typing import TypedDict

from fastapi import FastAPI
from starlette.middleware.cors import CORSMiddleware
from starlette.middleware.exceptions import ExceptionMiddleware

from services.api import health
from services.api.accounts import router as accounts
from services.api.auth.access_tokens import AccessTokens
from services.api.auth.account_lookup import AccountLookup
from services.api.auth.authenticate import find_users
from services.api.auth.passwords import Passwords
from services.api.chats import router as chats
from services.api.dependencies import SecuredRoutes
from services.api.doors.door import Door
from services.api.doors.native import problem_json
from services.api.doors.native.openapi import describe_errors
from services.api.generations import queries
from services.api.generations import router as generations
from services.api.job_sender import open_job_sender
from services.api.memory import router as memory
from services.api.middleware import Authentication, BodyLimit, RequestLog
from services.api.problems.handlers import expected_errors, unexpected_errors
from services.api.queue_positions import QueuePositions
from services.api.resources import Resources
from services.api.usage import router as usage
from shared.database.engine import Database, open_database
from shared.errors import SettingsInvalid
from shared.ids import GenerationId, UserId
from shared.settings import Settings
from shared.streams.redis import open_streams
from shared.telemetry.metrics import Metrics, NullMetrics

DOORS = (Door(prefix="", router=generations.router, error_form=problem_json.respond),)
ALLOWED_HEADERS = ["Authorization", "Content-Type", "Idempotency-Key", "Last-Event-ID", "Prefer", "traceparent"]
EXPOSED_HEADERS = [
    "Link",
    "Location",
    "Preference-Applied",
    "Retry-After",
    "X-Generation-Id",
    "X-Message-Id",
    "X-Request-Id",
]


class LifespanState(TypedDict):
    """What the lifespan gives to every request."""

    resources: Resources


def create_app(settings: Settings, metrics: Metrics | None = None) -> FastAPI:
    """The application. It connects to nothing before it is started. Without `metrics`, nothing is measured."""
    forms = {door.prefix: door.error_form for door in DOORS}
    handlers = expected_errors(forms)
    app = FastAPI(
        title="CortexAI",
        version=version("cortexai"),
        summary="Chats whose answers are never lost.",
        lifespan=_lifespan(settings, metrics or NullMetrics()),
        exception_handlers={**handlers, **unexpected_errors(forms)},
    )
    app.include_router(health.router)
    for router in (accounts.router, chats.router, *(door.router for door in DOORS), memory.router, usage.router):
        app.include_router(router, responses={503: {"description": "database_unavailable"}})
    describe_errors(app)
    # From the innermost to the outermost.
    app.add_middleware(BodyLimit, limit=settings.max_body_bytes)
    app.add_middleware(Authentication, needs_principal=SecuredRoutes(app.routes).has)
    app.add_middleware(ExceptionMiddleware, handlers=handlers)
    app.add_middleware(
        CORSMiddleware,
        allow_origins=list(settings.backend_cors_origins),
        allow_credentials=True,
        allow_methods=["GET", "POST", "PATCH", "DELETE"],
        allow_headers=ALLOWED_HEADERS,
        expose_headers=EXPOSED_HEADERS,
    )
    app.add_middleware(RequestLog)
    return app


def _lifespan(settings: Settings, metrics: Metrics) -> Callable[[FastAPI], AbstractAsyncContextManager[LifespanState]]:
    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[LifespanState]:
        if settings.jwt_secret_key is None:
            raise SettingsInvalid("JWT_SECRET_KEY: is not set")
        tokens = AccessTokens(
            settings.jwt_secret_key.get_secret_value(),
            settings.jwt_algorithm,
            settings.access_token_expire_minutes * 60,
        )
        database = open_database(settings.database_url, pool_size=settings.database_pool_size)
        line = QueuePositions(partial(_line, database, settings.queue_max_depth))
        accounts = AccountLookup(partial(_find_users, database))
        passwords = Passwords(rounds=settings.bcrypt_rounds)
        try:
            async with open_streams(
                settings.stream_redis_url,
                ttl=settings.stream_ttl_seconds,
                keep_alive=settings.stream_keep_alive_seconds,
            ) as streams:
                metrics.open_streams(streams.reader.open_subscriptions)
                with open_job_sender(settings.celery_broker_url) as queue:
                    resources = Resources(
                        settings, database, streams, queue, line, passwords, tokens, accounts, metrics
                    )
                    yield {"resources": resources}
        finally:
            passwords.close()
            await database.dispose()

    return lifespan


async def _line(database: Database, limit: int) -> Mapping[GenerationId, int]:
    async with database.connect() as db:
        return await queries.find_line(db, limit)


async def _find_users(database: Database, user_ids: Collection[UserId]) -> AbstractSet[UserId]:
    async with database.connect() as db:
        return await find_users(db, user_ids)
