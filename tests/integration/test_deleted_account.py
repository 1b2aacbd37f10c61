"""A deleted account leaves nothing: in no table, in no name or value of Redis, and not on the sandboxes' server."""

import asyncio
import re
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any, Final, Literal
from uuid import UUID, uuid4

import httpx
import psycopg
import pyotp
import pytest
from cryptography.fernet import Fernet
from redis import Redis

from services.launcher.embedded.postgres import EmbeddedPostgres
from services.launcher.embedded.valkey import EmbeddedValkey
from services.worker.leftover_logs import LeftoverLogs
from services.worker.runtime import Worker
from shared.data_sources.sandbox.server import prefix_of, prepare
from shared.database.engine import Database, open_database
from shared.database.identity import identify
from shared.ids import ChatId, GenerationId, OperationId, UserId
from shared.jobs.names import QUEUES
from shared.protocol.encoding import encode
from shared.protocol.feed_events import ACCOUNT_DELETED
from shared.settings import Settings
from shared.streams.feed.redis import feed_names
from shared.streams.names import log_key
from shared.streams.redis import connect as connect_redis
from shared.streams.removal import KEPT_SECONDS, LAST_MS, NOTES, Deleted, Removal
from tests.conftest import settings_for
from tests.doubles import groq_control
from tests.integration.conftest import serve
from tests.support.asking import NAME, Asking
from tests.support.clients import NO_TLS, PASSWORD, Client, logged_in
from tests.support.committing import ADD, TABLES
from tests.support.data_sources import make_source
from tests.support.feeds import told_all
from tests.support.remains import GOES, KEPT, Rows, holding, redis_values, rows, tables
from tests.support.signed_in import logged_in_browser
from tests.support.summaries import say
from tests.support.turns import answer, execute, post, speaking, wait_for_waiters

FIRST_ID: Final = 731_000_117_000
"""The first user's id: one that nothing else has in it."""
NOW: Final = {"Prefer": "respond-async"}
HOUR_MS: Final = 3_600_000
NOBODYS: Final = (
    r"cortexai:deployments",
    NOTES,
    r"_kombu\.binding.*",
    rf"({'|'.join(QUEUES)}).*",
)
"""Names of Redis that belong to no user. Jobs among them have ids of generations, chats and operations, and nothing else."""


@pytest.fixture
def settings(database_url: str, valkey: EmbeddedValkey, groq_url: str, postgres: EmbeddedPostgres) -> Settings:
    """With all that a user can have, and names of its own in Redis."""
    execute(database_url, f"ALTER TABLE users ALTER COLUMN id RESTART WITH {FIRST_ID}")
    return settings_for(
        database_url,
        valkey.url,
        groq_url,
        redis_prefix=f"{uuid4().hex}:",
        data_source_keys=Fernet.generate_key().decode(),
        data_source_hosts="127.0.0.1",
        sandbox_database_url=postgres.url_of("sandbox"),
        login_bad_tries=50,
        login_bad_tries_of_network=1000,
        login_bad_tries_at_account=50,
        signups_per_hour=1000,
        history_window=2,
    )


@pytest.fixture
async def asking(settings: Settings) -> AsyncIterator[Asking]:
    """The tool that asks a person."""
    database = open_database(settings.database_url, pool_size=2)
    yield Asking(database)
    await database.dispose()


@pytest.fixture
def redis(settings: Settings) -> Redis:
    return Redis.from_url(settings.stream_redis_url)


@dataclass(frozen=True)
class Somebody:
    """A user with all that a user can have. `marker` is in all that has the user's words."""

    client: Client
    marker: str
    id: int
    chat: int
    operation: str

    @property
    def texts(self) -> list[str]:
        """What tells of the user wherever it stands. The marker is in the address too."""
        return [self.marker, str(self.id)]


async def furnished(
    client: Client, worker: Worker, postgres: EmbeddedPostgres, groq_url: str, database_url: str
) -> Somebody:
    """A user with all of it."""
    marker = uuid4().hex
    http = client.http
    http.headers["User-Agent"] = marker
    email = await client.sign_up(f"{marker}@example.com")
    me = (await http.get("/api/auth/me")).json()["id"]
    await credentials(http, email, marker)
    # Real ones need a mail server and a provider (tests/integration/test_outbox.py, test_oidc_logins.py).
    link = (
        "INSERT INTO account_links (token_hash, purpose, user_id, mailed_to, expires_at)"
        " VALUES (%s, %s, %s, %s, now() + interval '1 day')"
    )
    execute(database_url, link, marker.encode(), "verify_email", me, email)
    identity = "INSERT INTO oidc_identities (user_id, issuer, subject) VALUES (%s, 'https://login.example', %s)"
    execute(database_url, identity, me, marker)
    (await http.patch("/api/auth/me", json={"time_zone": "Europe/Berlin"})).raise_for_status()
    told = {"enabled": True, "facts": [{"text": f"{marker} likes tea", "kind": "preference"}]}
    (await http.patch("/api/memory", json=told)).raise_for_status()

    chat = await chats(client, worker, marker, groq_url, database_url)
    operation = await sources(client, worker, postgres, marker)
    return Somebody(client, marker, me, chat, operation)


async def credentials(http: httpx.AsyncClient, email: str, marker: str) -> None:
    """Sessions of both kinds, a token that was used, a key, a second factor, and a wrong password."""
    wrong = await http.post("/api/auth/login", json={"email": email, "password": f"not {PASSWORD}"})
    assert wrong.status_code == 401
    secret = (await http.post("/api/auth/second-factor")).raise_for_status().json()["secret"]
    confirmed = await http.post("/api/auth/second-factor/confirm", json={"code": pyotp.TOTP(secret).now()})
    (code, *_) = confirmed.raise_for_status().json()["recovery_codes"]
    login = await http.post("/api/auth/login", json={"email": email, "password": PASSWORD, "code": code})
    token = login.raise_for_status().json()["refresh_token"]
    (await http.post("/api/auth/refresh", json={"refresh_token": token})).raise_for_status()
    wrong = await http.post("/api/auth/login", json={"email": email, "password": PASSWORD, "code": "0" * 6})
    assert wrong.status_code == 401
    (await http.post("/api/auth/keys", json={"name": marker, "scopes": ["read"]})).raise_for_status()


async def chats(client: Client, worker: Worker, marker: str, groq_url: str, database_url: str) -> int:
    """Chats of every kind. Returns one with answers, facts and segments."""
    chat = int((await client.http.post("/api/chats", json={"title": f"{marker} chat"})).json()["id"])
    for number in range(2):
        await answer(client, worker, f"{marker} {number} [[tokens=2]]", chat)
    say(database_url, chat, *[f"{marker} I live in Turku {number}" for number in range(6)])
    await worker.summarizer.summarize(ChatId(chat))
    facts = {"facts": [{"text": f"{marker} is forty"}]}
    (await client.http.patch(f"/api/chats/{chat}/memory", json=facts)).raise_for_status()
    trashed = await client.new_chat()
    await answer(client, worker, f"{marker} trash [[tokens=1]]", trashed)
    (await client.http.post(f"/api/chats/{trashed}/trash")).raise_for_status()
    temporary = (await client.http.post("/api/chats", json={"temporary": True})).json()["id"]
    await answer(client, worker, f"{marker} temporary [[tokens=1]]", temporary)
    message = {"id": f"m-{marker}", "role": "user", "parts": [{"type": "text", "text": f"{marker} said"}]}
    async with client.http.stream("POST", "/api/chat", json={"id": f"c-{marker}", "messages": [message]}) as said:
        said.raise_for_status()
    ((generation,),) = execute(database_url, "SELECT id FROM generations WHERE status = 'queued'")
    await worker.attempts.run(GenerationId(UUID(str(generation))))
    waits = {"items": [{"role": "user", "content": f"{marker} waits"}]}
    (await client.http.post("/v1/conversations", json=waits)).raise_for_status()
    return chat


async def sources(client: Client, worker: Worker, postgres: EmbeddedPostgres, marker: str) -> str:
    """A data source with a change that was committed and one that is approved, and a sandbox. Returns the approved one's id."""
    source = make_source(postgres, TABLES)
    body = {"name": f"{marker} bank", "reader_url": source.reader_url, "writer_url": source.writer_url}
    bank = (await client.http.post("/api/data-sources", json=body)).raise_for_status().json()["id"]
    (await client.http.post("/api/data-sources/sandbox", json={"name": f"{marker} sandbox"})).raise_for_status()
    url = f"/api/data-sources/{bank}"
    query = {"sql": f"SELECT count(*) FROM accounts WHERE '{marker}' <> ''"}  # noqa: S608 - of hexadecimal digits
    (await client.http.post(f"{url}/query", json=query)).raise_for_status()
    approved = []
    for _ in range(2):
        change = {"sql": ADD, "summary": f"{marker} one more."}
        proposed = (await client.http.post(f"{url}/operations", json=change)).raise_for_status().json()
        path = f"/api/operations/{proposed['id']}/approve"
        (await client.http.post(path, json={"digest": proposed["digest"]}, headers=NOW)).raise_for_status()
        approved.append(proposed["id"])
        if len(approved) == 1:
            await worker.commits.commit(proposed["id"])
    return str(approved[-1])


def sandbox_remains(postgres: EmbeddedPostgres, prefix: str) -> set[str]:
    """The schemas and roles of the sandboxes whose names begin so."""
    asked = (
        "SELECT nspname FROM pg_namespace WHERE starts_with(nspname, %(prefix)s)"
        " UNION SELECT rolname FROM pg_roles WHERE starts_with(rolname, %(prefix)s)"
    )
    with psycopg.connect(postgres.url_of("sandbox"), autocommit=True) as connection:
        found = connection.execute(asked, {"prefix": prefix}).fetchall()
    return {str(name) for (name,) in found}


def check_redis(
    redis: Redis, settings: Settings, gone: Somebody, kept: Rows, unclosed: set[GenerationId], *, swept: bool
) -> None:
    """See that Redis has nothing of a deleted user, but what is told to readers, for LAST_MS at most."""
    prefix = settings.redis_prefix
    left = redis_values(redis, prefix)
    brief = {log_key(one, prefix) for one in unclosed}
    for name, value in left.items():
        plain = name.removeprefix(prefix)
        feed, log = (
            re.fullmatch(r"cortexai:\{user-(\d+)\}:feed", plain),
            re.fullmatch(r"cortexai:\{([^}]+)\}:log", plain),
        )
        if feed and int(feed[1]) == gone.id:
            assert [fields for _, fields in value] == [{b"frame": encode(ACCOUNT_DELETED)}]
            assert 0 < redis.pttl(name) <= LAST_MS
        elif name in brief:
            assert 0 < redis.pttl(name) <= LAST_MS, name
        elif feed:
            assert "users" in holding(kept, [feed[1]]), name
        elif log:
            assert "generations" in holding(kept, [log[1]]), name
        elif plain.startswith("cortexai:tries:"):
            assert 0 < redis.pttl(name) <= HOUR_MS or plain.startswith("cortexai:tries:known:"), name
        else:
            assert any(re.fullmatch(pattern, plain) for pattern in NOBODYS), f"{plain}: nobody has said whose that is"
    others = {name: value for name, value in left.items() if name not in brief and str(gone.id) not in name}
    notes = others.pop(f"{prefix}{NOTES}", [])
    assert not swept or not notes
    assert gone.marker not in f"{notes}"
    assert not [name for name, value in others.items() if any(text in f"{name} {value}" for text in gone.texts)]


def make_due(redis: Redis, notes: str) -> None:
    """Make what was noted seem to be noted long ago."""
    noted: Any = redis.zrange(notes, 0, -1)
    redis.zadd(notes, dict.fromkeys(noted, 0))


def test_every_table_goes_with_its_user_or_is_known_to_stay(database_url: str) -> None:
    assert tables(database_url) == GOES | KEPT.keys()
    assert not GOES & KEPT.keys()


async def delete_account(client: Client) -> None:
    """Delete the account, and wait until its readers are told: until then, the feed has what was told before."""
    (await client.http.delete("/api/auth/me")).raise_for_status()
    await told_all()


async def prefix_at(settings: Settings) -> str:
    """How the names of this system's sandboxes begin."""
    database = open_database(settings.database_url, pool_size=1)
    prefix = prefix_of(await identify(database))
    await database.dispose()
    return prefix


async def test_nothing_is_left_of_a_deleted_account_and_all_of_its_neighbour(
    connect: Callable[[], Client],
    worker: Worker,
    asking: Asking,
    settings: Settings,
    database_url: str,
    postgres: EmbeddedPostgres,
    groq_url: str,
    redis: Redis,
) -> None:
    await prepare(postgres.url_of("sandbox"))
    mine = await prefix_at(settings)
    of_others = sandbox_remains(postgres, mine)  # a test before may have left some, which a sweep drops at any moment
    neighbour = await furnished(connect(), worker, postgres, groq_url, database_url)
    execute(database_url, "UPDATE account_mails SET due_at = now() + interval '1 hour'")  # else a sweep takes them up
    before, names_before = rows(database_url), redis_values(redis, settings.redis_prefix)
    known_before = {name for name in names_before if ":tries:known:" in name}
    kept = sandbox_remains(postgres, mine) - of_others
    assert kept

    gone = await furnished(connect(), worker, postgres, groq_url, database_url)
    client = gone.client
    queued = await post(client, f"{gone.marker} queued")
    mark = uuid4().hex
    await groq_control.script(groq_url, f"tool={NAME} after=2", marker=mark, arguments={"what": gone.marker})
    waiting = await post(client, f"{gone.marker} {mark} [[tokens=4]]")
    await asking.attempts(worker.attempts).run(waiting.generation_id)
    unclosed = {
        GenerationId(UUID(str(each)))
        for (each,) in execute(
            database_url, "SELECT id FROM generations WHERE user_id = %s AND closed_at IS NULL", gone.id
        )
    }
    assert waiting.generation_id in unclosed
    closed = execute(database_url, "SELECT id FROM generations WHERE user_id = %s AND closed_at IS NOT NULL", gone.id)
    async with speaking(client, worker, gone.marker) as speech:
        unclosed.add(speech.posted.generation_id)
        full, names_full = rows(database_url), redis_values(redis, settings.redis_prefix)
        assert {name for name in GOES if len(full[name]) > len(before[name])} == GOES
        assert holding(full, [gone.marker]).keys() >= {"users", "chats", "messages", "memory_facts", "memory_segments"}
        assert closed
        assert all(log_key(GenerationId(UUID(str(each))), settings.redis_prefix) in names_full for (each,) in closed)
        assert any(gone.marker.encode() in str(value).encode() for value in names_full.values())
        assert {name for name in names_full if ":tries:known:" in name} > known_before
        goes = sandbox_remains(postgres, mine) - of_others - kept
        assert goes

        await delete_account(client)

    def check(*, swept: bool) -> None:
        after = rows(database_url)
        assert {name: after[name] ^ before[name] for name in after if after[name] != before[name]} == {}
        assert not holding(after, gone.texts)
        check_redis(redis, settings, gone, before, unclosed, swept=swept)
        assert {name for name in redis_values(redis, settings.redis_prefix) if ":tries:known:" in name} == known_before
        assert sandbox_remains(postgres, mine) - of_others == kept

    check(swept=False)
    # Whatever was to be done for the account is done too late.
    for one in unclosed | {queued.generation_id}:
        await worker.attempts.run(one)
        await worker.titles.make(one)
    await asking.attempts(worker.attempts).run(waiting.generation_id)
    await worker.summarizer.summarize(ChatId(gone.chat))
    await worker.commits.commit(gone.operation)  # type: ignore[arg-type]
    notes = f"{settings.redis_prefix}{NOTES}"
    make_due(redis, notes)
    await worker.sweep()
    check(swept=True)
    assert (await neighbour.client.http.get("/api/auth/me")).json()["id"] == neighbour.id


@pytest.fixture
async def removal(settings: Settings) -> AsyncIterator[Removal]:
    opened = connect_redis(settings.stream_redis_url)
    yield Removal(opened, settings.redis_prefixes, log_seconds=settings.stream_ttl_seconds)
    await opened.aclose()


@pytest.fixture
async def database(settings: Settings) -> AsyncIterator[Database]:
    opened = open_database(settings.database_url, pool_size=2)
    yield opened
    await opened.dispose()


async def answered_to(client: Client, worker: Worker) -> tuple[UserId, GenerationId]:
    """Sign up and get an answer. Returns whose feed and whose log Redis has."""
    await client.sign_up()
    posted, _ = await answer(client, worker, "[[tokens=2]]")
    return UserId((await client.http.get("/api/auth/me")).json()["id"]), posted.generation_id


async def test_what_a_deletion_has_left_in_redis_expires_and_nothing_else_does(
    connect: Callable[[], Client],
    worker: Worker,
    settings: Settings,
    database: Database,
    database_url: str,
    redis: Redis,
    removal: Removal,
) -> None:
    client = connect()
    gone, kept = await answered_to(client, worker), await answered_to(connect(), worker)
    names = [
        [*feed_names(user, settings.redis_prefixes).keys, log_key(generation, settings.redis_prefix)]
        for user, generation in (gone, kept)
    ]
    sweep = LeftoverLogs(database, removal)
    with psycopg.connect(database_url) as other, psycopg.connect(database_url, autocommit=True) as watching:
        other.execute("SELECT FROM chats WHERE user_id = %s FOR UPDATE", [gone[0]])
        deletion = asyncio.create_task(client.http.delete("/api/auth/me"))
        await asyncio.to_thread(wait_for_waiters, watching, 1)
        # All that a process does before its commit is done. The rows go, and it finds none whose logs are to be deleted.
        other.execute("DELETE FROM users WHERE id = %s", [gone[0]])
    (await deletion).raise_for_status()
    assert redis.pttl(names[0][1]) > LAST_MS
    await removal.note(Deleted([kept[0]], [kept[1]]))  # of a deletion that was not committed

    redis.persist(names[0][0])
    await sweep.remove()  # the deletion may still be under way
    assert redis.pttl(names[0][0]) == -1
    notes = f"{settings.redis_prefix}{NOTES}"
    assert 0 < redis.ttl(notes) <= KEPT_SECONDS
    redis.zadd(notes, {"no id": 1})
    make_due(redis, notes)
    await sweep.remove()
    assert [name for name in names[0] if not 0 < redis.pttl(name) <= LAST_MS] == []
    assert [name for name in names[1] if redis.pttl(name) <= LAST_MS] == []
    assert redis.zrange(notes, 0, -1) == [b"no id"]


async def test_an_account_is_deleted_though_redis_is_away(settings: Settings, database_url: str) -> None:
    urls = ("redis_url", "stream_redis_url", "celery_broker_url")
    away = settings.model_copy(update=dict.fromkeys(urls, "redis://127.0.0.1:1/0"))
    async with serve(away) as url, logged_in(url) as client:
        (await client.http.delete("/api/auth/me")).raise_for_status()
    assert execute(database_url, "SELECT FROM users") == []


async def test_where_a_user_came_from_is_forgotten_before_the_account_is_gone(
    client: Client, settings: Settings, database_url: str, redis: Redis
) -> None:
    pattern = f"{settings.redis_prefix}cortexai:tries:known:*"
    assert len(redis.keys(pattern)) == 1
    with psycopg.connect(database_url) as holding_up, psycopg.connect(database_url, autocommit=True) as watching:
        holding_up.execute("SELECT FROM users FOR UPDATE")
        deletion = asyncio.create_task(client.http.delete("/api/auth/me"))
        await asyncio.to_thread(wait_for_waiters, watching, 1)
        assert redis.keys(pattern) == []  # a process that is killed now leaves nothing of it
    (await deletion).raise_for_status()


async def test_a_log_that_its_worker_is_about_to_close_is_closed_for_it(
    client: Client, worker: Worker, settings: Settings, database_url: str, redis: Redis
) -> None:
    """The reply is saved, its end is not in the log yet: a log that had vanished would be written again, as after a loss."""
    async with speaking(client, worker) as speech:
        key = log_key(speech.posted.generation_id, settings.redis_prefix)
        ended = "status = 'completed', lease_expires_at = NULL, finished_at = now()"
        execute(database_url, f"UPDATE generations SET {ended}")  # noqa: S608 - words of ours
        await delete_account(client)
        assert 0 < redis.pttl(key) <= LAST_MS
        newest: Any = redis.xrevrange(key, count=1)
        ((_, last),) = newest
        assert last.keys() == {b"frame", b"terminal"}


@pytest.mark.parametrize("purpose", ["summary", "title"])
async def test_what_a_model_is_writing_is_thrown_away(
    client: Client,
    worker: Worker,
    settings: Settings,
    database_url: str,
    groq_url: str,
    redis: Redis,
    purpose: Literal["summary", "title"],
) -> None:
    mark, gate = uuid4().hex, uuid4().hex
    posted, _ = await answer(client, worker, f"{mark} [[tokens=1]]")
    say(database_url, posted.chat_id, *[f"{mark} {number}" for number in range(8)])
    await groq_control.script(groq_url, f"hold={gate} after=1", marker=mark, purpose=purpose)
    work = {
        "summary": lambda: worker.summarizer.summarize(ChatId(posted.chat_id)),
        "title": lambda: worker.titles.make(posted.generation_id),
    }
    writing = asyncio.create_task(work[purpose]())
    await groq_control.requests(groq_url, containing=mark, held=1)
    await delete_account(client)
    await groq_control.release(groq_url, gate)
    await writing
    assert {name: some for name, some in rows(database_url).items() if some and name in GOES} == {}
    left = redis_values(redis, settings.redis_prefix)
    assert not [name for name, value in left.items() if mark in f"{name} {value}"]


async def test_a_change_that_is_being_committed_is_told_to_nobody(
    client: Client, worker: Worker, settings: Settings, postgres: EmbeddedPostgres, database_url: str, redis: Redis
) -> None:
    source = make_source(postgres, TABLES)
    body = {"name": "bank", "reader_url": source.reader_url, "writer_url": source.writer_url}
    bank = (await client.http.post("/api/data-sources", json=body)).raise_for_status().json()["id"]
    url = f"/api/data-sources/{bank}/operations"
    proposed = (await client.http.post(url, json={"sql": ADD})).raise_for_status().json()
    path = f"/api/operations/{proposed['id']}/approve"
    (await client.http.post(path, json={"digest": proposed["digest"]}, headers=NOW)).raise_for_status()
    with psycopg.connect(source.owner_url) as owner, psycopg.connect(source.owner_url, autocommit=True) as watching:
        owner.execute("SELECT FROM accounts FOR UPDATE")
        committing = asyncio.create_task(worker.commits.commit(OperationId(UUID(proposed["id"]))))
        await asyncio.to_thread(wait_for_waiters, watching, 1)
        await delete_account(client)
    await committing
    assert {name: some for name, some in rows(database_url).items() if some and name in GOES} == {}
    with source.owner() as owner:  # no row could note the transaction, so it was not committed
        assert owner.execute("SELECT balance FROM accounts WHERE id = 1").fetchone() == (0,)
    feeds = [value for name, value in redis_values(redis, settings.redis_prefix).items() if name.endswith(":feed")]
    assert [[fields[b"frame"] for _, fields in value] for value in feeds] == [[encode(ACCOUNT_DELETED)]]


async def test_a_browser_forgets_its_cookie_with_the_account(api: str) -> None:
    async with httpx.AsyncClient(base_url=api, verify=NO_TLS, timeout=20) as http:
        browser = await logged_in_browser(http)
        assert browser.cookies
        (await browser.send("DELETE", "/api/auth/me")).raise_for_status()
        assert not browser.cookies
