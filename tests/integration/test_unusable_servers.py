"""A process whose servers can't be used leaves with one sentence; one whose servers are away waits for them."""

import asyncio
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest
import redis

from services.launcher.embedded.valkey import EmbeddedValkey, binary
from services.launcher.program import LOOPBACK, free_port
from shared.database.identity import QUERY, digest
from tests.conftest import SECRET, NewSystem
from tests.support.clients import logged_in, numbered, text_of

LIMITED = "limited"
COMMAND = {
    "worker": ["services.worker", "generations"],
    "beat": ["services.worker", "beat"],
    "flower": ["services.worker", "flower"],
    "api": ["services.api"],
    "doctor": ["services.launcher.cli", "doctor"],
}
PARTS = [part for part in COMMAND if part != "doctor"]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedValkey]:
    """A Valkey with users who may not do all that is needed."""
    with EmbeddedValkey(tmp_path_factory.mktemp("acl"), appendonly=False) as started:
        yield started


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A Valkey that is a cluster, as hosted ones are."""
    folder, port = tmp_path_factory.mktemp("cluster"), free_port()
    # Without a port for its cluster, it takes the number that is 10,000 higher, which there may not be.
    ports = ["--port", str(port), "--cluster-port", str(free_port())]
    command = [str(binary()), *ports, "--bind", LOOPBACK, "--cluster-enabled", "yes", "--dir", str(folder)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        with redis.Redis(host=LOOPBACK, port=port) as client:
            while True:
                try:
                    client.ping()
                    break
                except redis.ConnectionError:
                    assert process.poll() is None
        yield f"redis://{LOOPBACK}:{port}/0"
    finally:
        process.kill()
        process.wait()


def run(part: str, folder: Path, **settings: str) -> subprocess.CompletedProcess[str]:
    """Run a part, or the doctor, until it leaves by itself."""
    return subprocess.run(
        [sys.executable, "-P", "-m", *COMMAND[part]],
        cwd=folder,
        env={
            "PATH": os.environ["PATH"],
            "JWT_SECRET_KEY": SECRET,
            "GROQ_API_KEY": "test",
            "PORT": "0",
            "FLOWER_PORT": str(free_port()),
            "FLOWER_BASIC_AUTH": "a:b",
            **settings,
        },
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def last_words(done: subprocess.CompletedProcess[str]) -> str:
    """What a process that left said at last, in the one line that tells why."""
    (told,) = [line for line in map(json.loads, done.stderr.splitlines()) if line["level"] == "critical"]
    assert told["event"] == "settings_invalid"
    error = told["error"]
    assert isinstance(error, str)
    return error


def limited(server: EmbeddedValkey, *rules: str) -> str:
    """The URL for a user who may do all, but for these rules."""
    with redis.Redis.from_url(server.url) as admin:
        admin.execute_command("ACL", "SETUSER", LIMITED, "reset", "on", ">pw", "~*", "&*", "+@all", *rules)
    return server.url.replace(f":{server.password}@", f"{LIMITED}:pw@")


RULES = {
    "no scripts": ("-@scripting",),
    "no EVALSHA": ("-eval", "-evalsha"),
    "no streams": ("-xadd",),
    "no channels": ("resetchannels",),
    "other keys only": ("resetkeys", "~other:*"),
}


@pytest.mark.parametrize("rules", RULES.values(), ids=RULES)
def test_a_worker_whose_redis_forbids_the_work_leaves_and_the_doctor_says_so(
    rules: tuple[str, ...], server: EmbeddedValkey, database_url: str, groq_url: str, tmp_path: Path
) -> None:
    settings = {"DATABASE_URL": database_url, "REDIS_URL": limited(server, *rules), "GROQ_BASE_URL": groq_url}
    left = run("worker", tmp_path, **settings)
    assert left.returncode == 2
    assert last_words(left).startswith("REDIS_URL: give the user all commands, and all keys and channels ")
    assert "permissions" in last_words(left)
    found = run("doctor", tmp_path, **settings)
    assert found.returncode == 1
    assert re.search(r"wrong +Redis \(REDIS_URL\): give the user all commands", found.stdout)


@pytest.mark.parametrize("part", PARTS)
def test_every_part_leaves_a_redis_that_refuses_the_password(
    part: str, server: EmbeddedValkey, database_url: str, tmp_path: Path
) -> None:
    url = server.url.replace(server.password, "hunter2@wrong")
    left = run(part, tmp_path, DATABASE_URL=database_url, REDIS_URL=url)
    assert left.returncode == 2
    assert last_words(left) == "REDIS_URL: the server refuses the password or the user: check both"
    assert "hunter2" not in left.stdout + left.stderr


@pytest.mark.parametrize("part", PARTS)
def test_every_part_leaves_a_redis_cluster(part: str, cluster: str, database_url: str, tmp_path: Path) -> None:
    left = run(part, tmp_path, DATABASE_URL=database_url, REDIS_URL=cluster)
    assert left.returncode == 2
    assert last_words(left) == "REDIS_URL: the server is a Redis cluster, which can't be used: name a single server"


def test_the_server_that_can_not_be_used_is_named(
    server: EmbeddedValkey, cluster: str, database_url: str, tmp_path: Path
) -> None:
    for name in ("CELERY_BROKER_URL", "STREAM_REDIS_URL"):
        left = run("worker", tmp_path, DATABASE_URL=database_url, REDIS_URL=server.url, **{name: cluster})
        assert (left.returncode, last_words(left).partition(":")[0]) == (2, name)


def test_a_password_of_flowers_that_is_none_is_refused(server: EmbeddedValkey, tmp_path: Path) -> None:
    left = run("flower", tmp_path, REDIS_URL=server.url, FLOWER_BASIC_AUTH="hunter2\n")
    assert (left.returncode, last_words(left)) == (2, "FLOWER_BASIC_AUTH: must be user:password")


@pytest.mark.parametrize("part", ["worker", "api"])
@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda url: url.replace("cortexai:", "cortexai:hunter2"), "password authentication failed"),
        (lambda url: f"{url}_gone", "does not exist"),
        (lambda url: url.replace("cortexai:", "cortexai:hunter2%zz"), "is not a usable URL"),
    ],
    ids=["password", "database", "URL"],
)
def test_a_database_that_refuses_is_left_with_its_reason(
    spoil: Callable[[str], str], reason: str, part: str, server: EmbeddedValkey, database_url: str, tmp_path: Path
) -> None:
    left = run(part, tmp_path, DATABASE_URL=spoil(database_url), REDIS_URL=server.url)
    assert left.returncode == 2
    assert last_words(left).startswith("DATABASE_URL: ")
    assert reason in last_words(left)
    assert "hunter2" not in left.stdout + left.stderr


async def test_servers_that_are_away_are_waited_for(new_system: NewSystem) -> None:
    system = new_system()
    system.valkey.kill()
    worker = system.start(["services.worker", "generations"])
    await system.logged(worker, "cancel_signals_connection_lost")
    assert worker.poll() is None
    system.valkey.start()
    _, url = await system.start_api()
    async with logged_in(url) as client:
        chat = await client.new_chat()
        async with client.post(chat, "[[tokens=3]]") as stream:
            assert text_of(await stream.all()) == numbered(3)
    assert await system.stop(worker) == 0
    system.end()


async def test_a_server_that_comes_up_and_refuses_ends_the_process_too(new_system: NewSystem) -> None:
    system = new_system()
    system.valkey.kill()
    worker = system.start(["services.worker", "generations"], REDIS_URL=system.valkey.url + "999")
    await system.logged(worker, "cancel_signals_connection_lost")
    system.valkey.start()
    assert await asyncio.to_thread(worker.wait, 30) == 2
    assert "name a database that the server has" in system.words(worker)
    system.end()


async def test_a_worker_whose_permission_is_taken_away_leaves_and_says_so(new_system: NewSystem) -> None:
    system = new_system()
    worker = await system.start_worker()
    with redis.Redis.from_url(system.valkey.url) as admin:
        admin.execute_command("ACL", "SETUSER", "default", "-brpop")
        admin.client_kill_filter(_type="normal", skipme=True)
    assert await asyncio.to_thread(worker.wait, 30) == 2
    assert "REDIS_URL: give the user all commands" in system.words(worker)
    system.end()


def test_the_doctor_names_the_prefix_when_another_deployment_has_it(
    server: EmbeddedValkey, make_database: Callable[[], str], groq_url: str, tmp_path: Path
) -> None:
    one, other = make_database(), make_database()
    settings = {"REDIS_URL": server.url, "GROQ_BASE_URL": groq_url, "REDIS_PREFIX": "shared:"}
    with redis.Redis.from_url(server.url) as admin:
        now = admin.time()[0]
        admin.zadd("shared:cortexai:deployments", {_identity(one): now})
        found = run("doctor", tmp_path, DATABASE_URL=other, **settings)
        assert found.returncode == 1
        assert "give each a REDIS_PREFIX of its own" in found.stdout
        for healthy in ({"DATABASE_URL": one}, {"DATABASE_URL": other, "REDIS_PREFIX": "other:"}):
            found = run("doctor", tmp_path, **{**settings, **healthy})
            assert "REDIS_PREFIX" not in found.stdout
            assert found.returncode == 0
        admin.zadd("shared:cortexai:deployments", {_identity(one): now - 61})
        assert run("doctor", tmp_path, DATABASE_URL=other, **settings).returncode == 0


def _identity(url: str) -> str:
    with psycopg.connect(url) as connection:
        found = connection.execute(QUERY).fetchone()
    assert found is not None
    return digest(found[0])


@pytest.mark.parametrize("part", ["schema", "database", "key"])
def test_the_doctor_finds_wrong_whatever_keeps_answers_from_being_made(
    part: str, server: EmbeddedValkey, database_url: str, groq_url: str, tmp_path: Path
) -> None:
    settings = {"DATABASE_URL": database_url, "REDIS_URL": server.url, "GROQ_BASE_URL": groq_url}
    if part == "schema":
        with psycopg.connect(database_url) as connection:
            connection.execute("DROP TABLE alembic_version")
    elif part == "database":
        settings["DATABASE_URL"] += "_gone"
    else:
        settings["GROQ_BASE_URL"] = f"{groq_url}/nothing"
    found = run("doctor", tmp_path, **settings)
    assert found.returncode == 1
    assert "wrong" in found.stdout
