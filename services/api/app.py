"""The API's composition root: settings become resources, routes become an application."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from datetime import timedelta
from functools import partial
from importlib.metadata import version
from typing import TypedDict

from fastapi import FastAPI
from starlette.middleware.errors import ServerErrorMiddleware
from starlette.middleware.exceptions import ExceptionMiddleware

from services.api.accounts import router as accounts
from services.api.allowed_hosts import AllowedHosts
from services.api.auth.access_tokens import AccessTokens
from services.api.auth.account_lookup import AccountLookup
from services.api.auth.authenticate import find_users
from services.api.auth.fair_queue import FairQueue
from services.api.auth.key_lookup import KeyLookup
from services.api.auth.local_counts import Rate
from services.api.auth.login_tries import CODE_WINDOW, LoginTries, TryLimits
from services.api.auth.mail_limit import MailLimit
from services.api.auth.oidc.login_states import COOKIE, LASTS, PLAIN_COOKIE, LoginStates
from services.api.auth.oidc.logins import OidcLogins, redirect_uri
from services.api.auth.oidc.provider import Provider
from services.api.auth.passwords import Passwords
from services.api.auth.session_cookies import SessionCookies
from services.api.auth.session_lookup import SessionLookup
from services.api.auth.sessions import Lifetimes
from services.api.auth.shared_counts import TriesInRedis
from services.api.auth.signing_keys import SigningKeys
from services.api.auth.signup_limit import SignupLimit
from services.api.auth.stored_costs import StoredCosts, find_costs
from services.api.auth.stream_tickets import StreamTickets
from services.api.doors import ai_sdk
from services.api.doors.native.openapi import describe_errors
from services.api.generations import queries
from services.api.head_requests import HeadRequests
from services.api.job_sender import open_job_sender
from services.api.left_tasks import LeftTasks
from services.api.limits import Limits
from services.api.middleware import Authentication, BodyLimit, RequestLog
from services.api.origins import AllowedOrigins
from services.api.problems.handlers import expected_errors, unexpected_error
from services.api.queue_positions import QueuePositions
from services.api.resources import Resources
from services.api.routes import DOORS, make_routes
from services.api.session_watch import SessionWatch
from services.api.stream_slots import StreamLimits, StreamSlots
from services.api.streaming.follow import StreamCut
from shared import background
from shared.data_sources.access import open_access
from shared.database.engine import Database, open_database
from shared.deployment import announce
from shared.errors import SettingsInvalid
from shared.ids import GenerationId, UserId
from shared.operations.proposals import Bounds
from shared.operations.source_changes import open_changes
from shared.settings import Settings
from shared.streams.redis import connect, open_streams
from shared.telemetry import capture
from shared.telemetry.logs import get_logger
from shared.telemetry.metrics import Metrics, NullMetrics

log = get_logger(__name__)


class LifespanState(TypedDict):
    """The state of the application, as every request has it."""

    resources: Resources


def create_app(settings: Settings, metrics: Metrics | None = None) -> FastAPI:
    """The application. It connects to nothing before it is started. Without `metrics`, nothing is measured."""
    forms = {door.prefix: door.error_form for door in DOORS}
    handlers = expected_errors(forms)
    routes, secured = make_routes(docs_pages=settings.docs, web_page=settings.web_page)
    app = FastAPI(
        routes=list(routes),
        title="CortexAI",
        version=version("cortexai"),
        summary="Chats whose answers are never lost.",
        lifespan=_lifespan(settings, metrics or NullMetrics()),
        # FastAPI's own pages load their scripts from other hosts, and it describes itself on the event loop.
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,  # a redirect would name the host that the request names
        exception_handlers=handlers,
    )
    contents = {door.prefix: door.error_content for door in DOORS if door.error_content}
    describe_errors(app, secured.access, contents, [door.prefix for door in DOORS if door.refuses_by_400])
    # From the innermost to the outermost.
    app.add_middleware(
        BodyLimit,
        limit=settings.max_body_bytes,
        others={
            ai_sdk.DOOR.prefix: max(settings.max_body_bytes, settings.ai_sdk_max_body_bytes),
            **dict.fromkeys(accounts.OF_STRANGERS, min(settings.max_body_bytes, accounts.MAX_BODY_BYTES)),
        },
    )
    app.add_middleware(Authentication, access=secured.access)
    app.add_middleware(HeadRequests, has_head=secured.has_head)
    app.add_middleware(AllowedHosts, listed=settings.allowed_hosts)
    app.state.has_head = secured.has_head
    app.add_middleware(ExceptionMiddleware, handlers=handlers)
    # Starlette has one of these outside of all others, where an answer gets no CORS headers and no request id.
    app.add_middleware(ServerErrorMiddleware, handler=unexpected_error(forms, unlogged=(StreamCut,)))
    app.add_middleware(
        AllowedOrigins,
        origins=settings.backend_cors_origins,
        listed=settings.listed_origins,
        response_headers=[name for door in DOORS for name in door.response_headers],
    )
    app.add_middleware(RequestLog)
    return app


def _lifespan(settings: Settings, metrics: Metrics) -> Callable[[FastAPI], AbstractAsyncContextManager[LifespanState]]:
    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[LifespanState]:
        capture.watch(asyncio.get_running_loop())
        async with _open_resources(settings, metrics) as resources:
            yield {"resources": resources}

    return lifespan


@asynccontextmanager
async def _open_resources(settings: Settings, metrics: Metrics) -> AsyncIterator[Resources]:
    """What the process needs to serve, until it ends.

    Raises:
        SettingsInvalid: there is no key to sign tokens with, or no way to log in.

    """
    settings.insist_on_a_way_in()
    if settings.jwt_secret_key is None:
        raise SettingsInvalid("JWT_SECRET_KEY: is not set")
    secret = settings.jwt_secret_key.get_secret_value()
    others = [key.get_secret_value() for key in settings.jwt_previous_secret_keys]
    signing = SigningKeys.of(secret, others, algorithm=settings.jwt_algorithm)
    for name in settings.weak_passwords:
        log.warning("weak_password", setting=name)
    async with AsyncExitStack() as stack:
        database = open_database(settings.database_url, pool_size=settings.database_pool_size)
        stack.push_async_callback(database.dispose)
        passwords = Passwords(rounds=settings.bcrypt_rounds)
        stack.callback(passwords.close)
        session_lookup = SessionLookup(database, _session_lifetimes(settings))
        stack.push_async_callback(session_lookup.finish)
        keys = KeyLookup(database)
        stack.push_async_callback(keys.finish)
        streams = await stack.enter_async_context(
            open_streams(
                settings.stream_redis_url,
                ttl=settings.stream_ttl_seconds,
                keep_alive=settings.stream_keep_alive_seconds,
                prefixes=settings.redis_prefixes,
                feed_kept=settings.feed_max_events,
                feed_ttl=settings.feed_ttl_seconds,
                metrics=metrics,
            )
        )
        metrics.open_streams(streams.reader.open_subscriptions)
        stack.push_async_callback(background.end, background.start(announce(database, settings), tell_failure))
        stream_slots = StreamSlots(
            StreamLimits(settings.user_max_streams, settings.network_max_streams, settings.user_stream_seconds)
        )
        watch = SessionWatch(stream_slots, session_lookup.find_live, keys.find_live)
        stack.push_async_callback(background.end, asyncio.create_task(watch.run()))
        access = open_access(settings)
        tries = await stack.enter_async_context(_open_tries(settings, secret, others))
        left_tasks = LeftTasks(tell_failure)
        stack.push_async_callback(left_tasks.finish)
        yield Resources(
            limits=_limits(settings),
            database=database,
            streams=streams,
            jobs=stack.enter_context(open_job_sender(settings.celery_broker_url, settings.redis_prefixes)),
            queue_positions=QueuePositions(partial(_find_queue_positions, database, settings.queue_max_depth)),
            passwords=passwords,
            costs=StoredCosts(partial(_find_costs, database), settings.bcrypt_rounds, key=tries.keys[0]),
            tries=LoginTries(tries, _try_limits(settings)),
            signups=SignupLimit(tries, settings.signups_per_hour),
            message_rate=Rate(settings.messages_per_minute),
            ticket_rate=Rate(settings.user_tickets_per_minute),
            tokens=AccessTokens(signing, settings.access_token_expire_minutes * 60, settings.clock_leeway_seconds),
            tickets=StreamTickets(signing, settings.stream_ticket_seconds, settings.clock_leeway_seconds),
            accounts=AccountLookup(partial(_find_users, database)),
            cookies=SessionCookies(settings.cookies_over_http, frozenset(settings.listed_origins)),
            sessions=session_lookup,
            refreshes=FairQueue(max(1, settings.database_pool_size // 3)),
            refresh_grace=timedelta(seconds=settings.refresh_grace_seconds),
            keys=keys,
            stream_slots=stream_slots,
            metrics=metrics,
            changes=open_changes(access, settings.operation_max_rows),
            data_sources=access,
            keyring=access.keyring if access else None,
            code_tries=LoginTries(tries, _try_limits(settings), kind="code_", window=CODE_WINDOW),
            code_turns=FairQueue(1),
            left_tasks=left_tasks,
            reauthenticate_after=timedelta(seconds=settings.reauthenticate_after_seconds),
            password_login=settings.password_login,
            oidc=await stack.enter_async_context(_open_oidc(settings, LoginStates(tries, secret, others))),
            mail_limit=MailLimit(
                tries, to_address=settings.mails_per_hour, of_network=settings.mails_per_hour_of_network
            ),
            has_mail=settings.mail_from is not None,
            signup_mode=settings.signup_mode,
            invite_lifetime=timedelta(days=settings.invite_days),
            public_url=settings.public_url,
        )


@asynccontextmanager
async def _open_tries(settings: Settings, secret: str, others: Sequence[str]) -> AsyncIterator[TriesInRedis]:
    redis = connect(settings.stream_redis_url)
    try:
        yield TriesInRedis(redis, prefix=settings.redis_prefix, secret=secret, others=others)
    finally:
        await redis.aclose()


@asynccontextmanager
async def _open_oidc(settings: Settings, states: LoginStates) -> AsyncIterator[OidcLogins]:
    """The providers. Nothing is asked of them before somebody logs in: the API starts and serves without them."""
    public_url = settings.public_url or ""
    cookies = SessionCookies(settings.cookies_over_http, frozenset(), COOKIE, PLAIN_COOKIE, LASTS)
    if not settings.oidc_providers:
        yield OidcLogins({}, states, cookies, public_url)
        return
    tls = ssl.create_default_context()  # one for all: to read the system's certificates takes a while
    async with AsyncExitStack() as stack:
        providers = {
            each.id: Provider(each, redirect_uri(public_url, each.id), leeway=settings.clock_leeway_seconds, tls=tls)
            for each in settings.oidc_providers
        }
        for provider in providers.values():
            stack.push_async_callback(provider.close)
        yield OidcLogins(providers, states, cookies, public_url)


def tell_failure(error: BaseException) -> None:
    """Tell of a background task that failed, without which the API can serve."""
    log.error("background_task_failed", exc_info=error)


def _session_lifetimes(settings: Settings) -> Lifetimes:
    return Lifetimes(timedelta(days=settings.session_days), timedelta(days=settings.session_max_days))


def _try_limits(settings: Settings) -> TryLimits:
    return TryLimits(
        from_network=settings.login_bad_tries,
        of_network=settings.login_bad_tries_of_network,
        at_account=settings.login_bad_tries_at_account,
    )


def _limits(settings: Settings) -> Limits:
    return Limits(
        message_chars=settings.message_max_chars,
        offered_models=settings.offered_models,
        live_generations=settings.user_max_live_generations,
        queue_depth=settings.queue_max_depth,
        daily_tokens=settings.user_daily_tokens,
        summary_chars=settings.summary_max_chars,
        facts=settings.facts_max,
        kept_messages=settings.history_window + settings.summary_chunk_messages - 1,
        trash_days=settings.chat_trash_days,
        model_tools=settings.model_tools,
        own_tools=settings.tools,
        completion_seconds=settings.completion_wait_seconds,
        temperature=settings.model_temperature,
        proposals=Bounds(settings.operations_max_pending, timedelta(seconds=settings.operation_expire_seconds)),
    )


async def _find_queue_positions(database: Database, limit: int) -> Mapping[GenerationId, int]:
    async with database.connect() as db:
        return await queries.find_queue_positions(db, limit)


async def _find_users(database: Database, user_ids: Collection[UserId]) -> AbstractSet[UserId]:
    async with database.connect() as db:
        return await find_users(db, user_ids)


async def _find_costs(database: Database) -> Sequence[int]:
    async with database.connect() as db:
        return await find_costs(db)
