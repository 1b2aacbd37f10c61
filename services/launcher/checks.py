"""The single checks of `cortexai doctor`. Each looks at one thing and says how to mend it; none shows a secret."""

import contextlib
import http.client
import json
import shutil
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal
from urllib.parse import urlsplit

import psycopg
import redis
from sqlalchemy.exc import SQLAlchemyError

from services.launcher import migrations
from services.launcher.data_dir import nearest_existing
from services.launcher.errors import LauncherError
from services.launcher.program import why_not_listen
from shared import descriptors, servers
from shared.data_sources.dangerous_functions import DANGEROUS, FIND
from shared.data_sources.sandbox.server import GROUP
from shared.database import roles
from shared.database.identity import QUERY, digest
from shared.database_urls import to_libpq
from shared.proxies import Way, find_way
from shared.settings import Settings
from shared.streams import deployments
from shared.urls import GROQ_URL

State = Literal["ok", "note", "wrong"]

ANSWER_SECONDS: Final = 5
OLDEST_POSTGRES: Final = 14
OLDEST_REDIS: Final = (7, 0)
LOW_DISK_BYTES: Final = 1_000_000_000
NO_DISK_BYTES: Final = 200_000_000
MAX_ANSWER_BYTES: Final = 4 * 1024 * 1024
FEW: Final = 12
FEW_CONNECTIONS: Final = 500
"""Less than this is too little for many users: each tab of a browser may have some."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What a check found. A `note` is worth knowing; `wrong` keeps the system from working. `remedy` says what to do."""

    subject: str
    state: State
    detail: str
    remedy: str = ""


def passwords(settings: Settings) -> Iterator[Finding]:
    """The passwords in addresses are not the ones that everybody tries first."""
    for name in settings.weak_passwords:
        detail = "the password is a default, short, or can be guessed"
        yield Finding(name, "note", detail, "where others reach the server, make one with: openssl rand -hex 32")


def postgres(settings: Settings) -> Iterator[Finding]:
    """It answers, is new enough, and has the newest schema."""
    try:
        url = to_libpq(settings.database_url)
        with psycopg.connect(url, connect_timeout=ANSWER_SECONDS, prepare_threshold=None) as connection:
            version = connection.info.server_version // 10_000
            excess = roles.excess(connection)
    except psycopg.ProgrammingError:
        # The driver's message would quote the URL.
        yield Finding(
            "PostgreSQL", "wrong", "DATABASE_URL is not a usable URL", "postgresql://user:password@host:5432/name"
        )
        return
    except psycopg.Error as error:
        detail = f"can't be reached: {migrations.first_line(error)}"
        yield Finding("PostgreSQL", "wrong", detail, "check DATABASE_URL, and that the server runs")
        return
    if version < OLDEST_POSTGRES:
        yield Finding("PostgreSQL", "wrong", f"version {version}", f"use {OLDEST_POSTGRES} or newer")
    else:
        yield Finding("PostgreSQL", "ok", f"version {version}")
    if excess is not None:
        remedy = (
            "name a role for migrations in MIGRATION_DATABASE_URL, and another in DATABASE_URL (docs/operations.md)"
        )
        yield Finding("database role", "note", f"the role of DATABASE_URL {excess}", remedy)
    yield schema(settings)


def open_files(settings: Settings) -> Finding:
    """The limit of open files lets in as many clients as the settings do."""
    limit = descriptors.possible_limit()
    most = descriptors.connections_within(limit, settings.database_pool_size)
    detail = f"{limit}; the API lets in up to {min(settings.max_connections or most, most)} connections"
    if most < (settings.max_connections or FEW_CONNECTIONS):
        return Finding("open files", "note", detail, "raise the limit (ulimit -Hn, LimitNOFILE, nofile in Docker)")
    return Finding("open files", "ok", detail)


def identity(settings: Settings) -> str | None:
    """What tells the database from others; None where it does not answer."""
    try:
        url = to_libpq(settings.database_url)
        with psycopg.connect(url, connect_timeout=ANSWER_SECONDS, prepare_threshold=None) as connection:
            found = connection.execute(QUERY).fetchone()
    except psycopg.Error:
        return None
    return digest(found[0]) if found else None


def schema(settings: Settings) -> Finding:
    """The database's revision is the newest."""
    try:
        found, wanted = migrations.current(settings.database_url), migrations.head(settings.database_url)
    except (SQLAlchemyError, LauncherError) as error:
        return Finding("schema", "wrong", migrations.first_line(error), "cortexai migrate")
    if found is not None and found >= wanted:
        # A later schema fits as well: in an upgrade, the migration comes before the code.
        return Finding("schema", "ok", f"revision {found}")
    return Finding("schema", "wrong", f"revision {found}, this code has {wanted}", "cortexai migrate")


def redis_servers(settings: Settings) -> Iterator[Finding]:
    """The broker and the stream logs' server, once when they are the same."""
    own = identity(settings)
    for server in servers.redis_servers(settings, streams=True):
        yield from redis_server(server.url, server.setting)
        if reason := server.why_unusable():
            yield Finding(f"Redis ({server.setting})", "wrong", reason, f"check {server.setting}")
        for prefix in settings.redis_prefixes:
            yield from neighbours(server.url, server.setting, prefix, own)


def neighbours(url: str, variable: str, prefix: str, own: str | None) -> Iterator[Finding]:
    """No deployment with another database uses this Redis and this prefix. `own` is None where the database is unknown."""
    with (
        contextlib.suppress(redis.RedisError, ValueError),
        redis.from_url(url, socket_timeout=ANSWER_SECONDS, socket_connect_timeout=ANSWER_SECONDS) as client,
    ):
        found = deployments.fresh(deployments.read(client, prefix, client.time()[0]))
        if len(found) > 1 or (own is not None and found - {own}):
            detail = "another deployment, with another database, uses this server under the same prefix"
            remedy = "give each a REDIS_PREFIX of its own: they take each other's jobs"
            yield Finding(f"Redis ({variable})", "wrong", detail, remedy)


def redis_server(url: str, variable: str) -> Iterator[Finding]:
    """It answers, is new enough, never evicts, and keeps what it has."""
    subject = f"Redis ({variable})"
    try:
        client = redis.from_url(url, socket_timeout=ANSWER_SECONDS, socket_connect_timeout=ANSWER_SECONDS)
    except ValueError:
        yield Finding(subject, "wrong", f"{variable} is not a usable URL", "redis://:password@host:6379/0")
        return
    with client:
        try:
            server = client.info("server")
        except redis.exceptions.NoPermissionError:
            server = {}  # a hosted server that does not tell
        except redis.RedisError as error:
            detail = f"can't be reached: {migrations.first_line(error)}"
            yield Finding(subject, "wrong", detail, f"check {variable}, and that the server runs")
            return
        if server:
            yield _redis_version(subject, server)
        with contextlib.suppress(redis.ResponseError):  # hosted servers forbid CONFIG
            policy = client.config_get("maxmemory-policy").get("maxmemory-policy")
            if policy != "noeviction":
                remedy = "CONFIG SET maxmemory-policy noeviction: jobs and streams would be lost when memory is short"
                yield Finding(subject, "wrong", f"maxmemory-policy is {policy}", remedy)
            if client.config_get("appendonly").get("appendonly") != "yes":
                remedy = "CONFIG SET appendonly yes"
                yield Finding(subject, "note", "appendonly is off: live streams are lost at a restart", remedy)


def _redis_version(subject: str, server: dict[str, str]) -> Finding:
    version = str(server.get("redis_version", ""))
    numbers = tuple(int(number) for number in version.split(".")[:2] if number.isdecimal())
    named = f"Valkey {server['valkey_version']}" if "valkey_version" in server else f"Redis {version}"
    if numbers < OLDEST_REDIS:
        return Finding(subject, "wrong", named, "use Redis 7 or newer, or Valkey")
    return Finding(subject, "ok", named)


def model(settings: Settings) -> Finding:
    """The model's endpoint answers, takes the key and has the model."""
    base = (settings.groq_base_url or GROQ_URL).rstrip("/")
    if urlsplit(base).scheme not in {"http", "https"}:
        return Finding("model", "wrong", "GROQ_BASE_URL is not a usable URL", f"leave it unset for {GROQ_URL}")
    known = _models(base, settings.groq_api_key.get_secret_value() if settings.groq_api_key is not None else "")
    if isinstance(known, Finding):
        return known
    where = shown(base)
    named = {
        "GROQ_MODEL": (settings.groq_model,),
        "GROQ_MODELS": settings.groq_models,
        "GROQ_FALLBACK_MODEL": (settings.groq_fallback_model,) if settings.groq_fallback_model else (),
    }
    for setting, names in named.items():
        if missing := [name for name in names if name not in known]:
            detail = f"{', '.join(missing)} is not offered by {where}"
            return Finding("model", "wrong", detail, f"{setting}: name one of {_few(known)}")
    return Finding("model", "ok", f"{settings.groq_model} at {where}")


def _few(names: set[str]) -> str:
    """Some of the names, for a person to choose from."""
    shown = ", ".join(sorted(names)[:FEW])
    return f"{shown}, …" if len(names) > FEW else shown or "its models (it lists none)"


def _models(base: str, key: str) -> set[str] | Finding:
    """The names of the endpoint's models, or what keeps us from knowing them."""
    where = shown(base)
    request = urllib.request.Request(  # noqa: S310 — the caller has checked the scheme
        f"{base}/openai/v1/models", headers={"Authorization": f"Bearer {key}", "User-Agent": "cortexai"}
    )
    try:
        with opener(base).open(request, timeout=ANSWER_SECONDS) as answer:
            return {str(entry["id"]) for entry in json.loads(answer.read(MAX_ANSWER_BYTES))["data"]}
    except urllib.error.HTTPError as error:
        with error:
            if error.code in {http.client.UNAUTHORIZED, http.client.FORBIDDEN}:
                return Finding("model", "wrong", "the key is refused", "check GROQ_API_KEY")
            detail = f"{where} answers {error.code}"
            if error.code // 100 == 3:  # noqa: PLR2004
                detail += ", a redirect, which the workers don't follow"
            return Finding("model", "wrong", detail, "check GROQ_BASE_URL")
    except (OSError, http.client.HTTPException) as error:
        # An error about HTTP would quote what the endpoint sent.
        reason = getattr(error, "reason", error) if isinstance(error, OSError) else type(error).__name__
        return Finding("model", "wrong", f"{where} can't be reached: {reason}", "check GROQ_BASE_URL and the network")
    except (ValueError, KeyError, TypeError):
        return Finding("model", "wrong", f"{where} does not answer as Groq does", "check GROQ_BASE_URL")


def shown(base: str) -> str:
    """Scheme, host and port of an address: a path may be a secret."""
    parts = urlsplit(base)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """Follows no redirect: the key would go to another host, and the workers follow none either."""

    def redirect_request(self, *_: object) -> None:
        """Say that there is no request to come (urllib.request)."""


def opener(base: str) -> urllib.request.OpenerDirector:
    """Without redirects, by the workers' proxy, and without one for this machine's own endpoints."""
    parts = urlsplit(base)
    way = find_way(base) if parts.hostname not in {"localhost", "127.0.0.1", "::1"} else Way(None)
    proxies = {parts.scheme: way.proxy} if way.proxy is not None else {}
    return urllib.request.build_opener(urllib.request.ProxyHandler(proxies), _NoRedirects)


def proxy(settings: Settings) -> Iterator[Finding]:
    """The environment names none that the workers would pass over."""
    way = find_way(settings.groq_base_url or GROQ_URL)
    for variable in way.passed_over:
        detail = f"{variable} names none that the workers can use for the model"
        yield Finding("proxy", "note", detail, "name an HTTP proxy (http://host:port), or list the host in NO_PROXY")


def web_search(settings: Settings) -> Finding:
    """There is a key for it."""
    if settings.tavily_api_key is None:
        return Finding("web search", "note", "off", "set TAVILY_API_KEY to turn it on")
    return Finding("web search", "ok", "TAVILY_API_KEY is set")


def data_sources(settings: Settings) -> Iterator[Finding]:
    """There are keys, and a server for sandboxes that keeps them apart from the application's database."""
    if not settings.data_source_keys:
        yield Finding("data sources", "note", "off", "set DATA_SOURCE_KEYS to turn them on")
        yield Finding("second factors", "note", "off", "set DATA_SOURCE_KEYS, which encrypt their secrets too")
        return
    yield Finding("data sources", "ok", f"{len(settings.data_source_keys)} key(s) in DATA_SOURCE_KEYS")
    if settings.sandbox_database_url is None:
        yield Finding("sandboxes", "note", "off", "set SANDBOX_DATABASE_URL to turn them on")
        return
    yield from sandboxes(settings.sandbox_database_url, settings.database_url)


def sandboxes(url: str, database_url: str) -> Iterator[Finding]:
    """Their database is there and closed to all others, and the application's database is closed to them."""
    try:
        with psycopg.connect(to_libpq(url), connect_timeout=ANSWER_SECONDS, prepare_threshold=None) as connection:
            ((is_open, name),) = connection.execute(
                "SELECT has_database_privilege('public', current_database(), 'CONNECT'), current_database()"
            ).fetchall()
            has_dangers = bool(connection.execute(FIND, {"names": DANGEROUS, "role": "public"}).fetchall())
        with psycopg.connect(
            to_libpq(database_url), connect_timeout=ANSWER_SECONDS, prepare_threshold=None
        ) as connection:
            ((lets_in, own_name),) = connection.execute(
                "SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = %s)"
                " AND has_database_privilege('public', current_database(), 'CONNECT'), current_database()",
                [GROUP],
            ).fetchall()
    except psycopg.Error as error:
        detail = f"can't be reached: {migrations.first_line(error)}"
        yield Finding("sandboxes", "wrong", detail, "cortexai migrate makes their database; check SANDBOX_DATABASE_URL")
        return
    if is_open:
        yield Finding("sandboxes", "wrong", "everybody may connect to their database", "cortexai migrate")
    elif has_dangers:
        detail = f"in {name}, everybody may call dangerous functions, since no superuser has taken them away"
        remedy = "name a superuser of a server that holds nothing else, in MIGRATION_SANDBOX_URL or here"
        yield Finding("sandboxes", "note", detail, remedy)
    else:
        yield Finding("sandboxes", "ok", f"in the database {name}")
    if lets_in:
        detail = f"their roles may connect to {own_name}, where they may read nothing"
        yield Finding("sandboxes", "note", detail, f'REVOKE CONNECT ON DATABASE "{own_name}" FROM PUBLIC')


def port(settings: Settings) -> Finding:
    """The API could listen."""
    where = f"{settings.port} on {settings.host}"
    obstacle = "" if settings.port == 0 else why_not_listen(settings.port, settings.host)
    if obstacle:
        return Finding("port", "wrong", f"{where}: {obstacle}", "stop what listens there, or set PORT")
    return Finding("port", "ok", f"{where} is free")


def disk(directory: Path) -> Finding:
    """There is room for the data folder, or for the one that will be made."""
    existing = nearest_existing(directory)
    free = shutil.disk_usage(existing).free
    detail = f"{free / 1e9:.1f} GB free at {existing}"
    if free >= LOW_DISK_BYTES:
        return Finding("disk", "ok", detail)
    return Finding(
        "disk", "wrong" if free < NO_DISK_BYTES else "note", detail, "make room, or choose another --data-dir"
    )
