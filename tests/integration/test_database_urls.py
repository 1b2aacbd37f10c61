"""`cortexai migrate`, the API and a worker read one DATABASE_URL alike, whatever client it was written for."""

import subprocess
import sys
from collections.abc import Callable
from uuid import uuid4

import psycopg
import pytest
from psycopg import sql

from services.launcher.embedded.postgres import EmbeddedPostgres
from tests.conftest import NewSystem
from tests.support.clients import logged_in, numbered, text_of

USER = "p@ss/w#rd?100%"
ESCAPED = "p@ss%2Fw%23rd%3F100%25"


@pytest.fixture
def empty(postgres: EmbeddedPostgres) -> str:
    """The address of an empty database with a schema, and a user with a password that URLs don't like; without a scheme."""
    name = f"empty_{uuid4().hex}"
    with psycopg.connect(postgres.url, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        connection.execute(
            sql.SQL("CREATE ROLE {} SUPERUSER LOGIN PASSWORD {}").format(sql.Identifier(name), sql.Literal(USER))
        )
    with psycopg.connect(postgres.url_of(name), autocommit=True) as connection:
        connection.execute("CREATE SCHEMA chat")
    return f"{name}:{ESCAPED}@127.0.0.1:{postgres.port}/{name}"


def migrate(url: str) -> subprocess.CompletedProcess[str]:
    """Run `cortexai migrate`."""
    command = [sys.executable, "-P", "-m", "services.launcher.cli", "migrate"]
    return subprocess.run(command, env={"DATABASE_URL": url}, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize(
    "spell",
    [
        lambda address: f"postgres://{address}?pgbouncer=true&schema=chat&ssl=false",
        lambda address: f"postgresql://{address.replace('@127', '@127.0.0.1:1,127')}?application_name=mine",
    ],
    ids=["Prisma's", "two hosts"],
)
async def test_a_url_works_everywhere(spell: Callable[[str], str], empty: str, new_system: NewSystem) -> None:
    url = spell(empty)
    done = migrate(url)
    assert (done.returncode, done.stderr) == (0, "")
    system = new_system(DATABASE_URL=url)
    _, api = await system.start_api()
    worker = await system.start_worker()
    async with logged_in(api) as client:
        chat = await client.new_chat()
        async with client.post(chat, "[[tokens=3]]") as stream:
            assert text_of(await stream.all()) == numbered(3)
    assert await system.stop(worker) == 0
    system.end()


@pytest.mark.parametrize("parameter", ["connection_limit=5", "sslaccept=strict", "ssl=true"])
def test_a_url_that_can_not_be_obeyed_is_refused_everywhere(parameter: str, empty: str, new_system: NewSystem) -> None:
    url = f"postgresql://{empty}?{parameter}"
    system = new_system(DATABASE_URL=url)
    left = [system.start([module, *rest]) for module, *rest in (["services.api"], ["services.worker", "generations"])]
    for process in left:
        assert process.wait(30) == 2
    words = [migrate(url).stderr, *map(system.words, left)]
    for said in words:
        assert "DATABASE_URL: " in said
        assert parameter.partition("=")[0] in said or "SSL" in said
        assert "w#rd" not in said
        assert "ss%2Fw" not in said
    system.end()
