"""Real servers for every test: started once a run, with a database of its own for each test that asks."""

import gc
import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from itertools import count
from pathlib import Path
from typing import Any, Protocol
from uuid import uuid4

import psycopg
import pytest
from alembic import command
from alembic.config import Config
from hypothesis import settings as hypothesis_settings
from psycopg import sql

import migrations
from services.launcher.embedded.postgres import EmbeddedPostgres
from services.launcher.embedded.valkey import EmbeddedValkey
from services.launcher.guard import Guard
from shared.database.roles import connect_admin, give_rights, make_role
from shared.database_timeouts import Timeouts
from shared.settings import Settings
from shared.telemetry.logs import configure_logging
from tests.doubles.process import start_groq_double, start_tavily_double
from tests.support.databases import APP, as_app, emptied, number_users, shape
from tests.support.forks import Forks
from tests.support.system import System, environment

SECRET = "0f1e2d3c4b5a69788796a5b4c3d2e1f00f1e2d3c4b5a6978"
TIMEOUTS = Timeouts(statement=60, lock=15, idle=300)
TEMPLATE = "template_migrated"
USER_IDS = count(100_000, 100_000)

# Set before pytest starts its other processes, so that none of them, and no program of a test, compiles all modules again.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

# The same examples on every run, so that a change is judged by what it changes. To look further:
# pytest --hypothesis-profile=default
hypothesis_settings.load_profile("ci")


def pytest_collection_finish() -> None:
    """Look for no garbage in modules and tests, which last as long as the process: each look would take 0.3 s."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session", autouse=True)
def _no_settings_from_outside() -> None:
    """Tests say what is set; the machine they run on does not."""
    for name in Settings.model_fields:
        os.environ.pop(name.upper(), None)
    configure_logging(service="tests", level="info", log_format="json")


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedPostgres]:
    """PostgreSQL, with a migrated template."""
    with EmbeddedPostgres(tmp_path_factory.mktemp("pg"), durable=False, settings={"max_connections": "300"}) as server:
        _admin(server, sql.SQL("CREATE DATABASE {}").format(sql.Identifier(TEMPLATE)))
        template = server.url_of(TEMPLATE)
        command.upgrade(alembic_config(template), "head")
        with connect_admin(template) as admin, admin.transaction():
            make_role(admin, APP)
        yield server


def alembic_config(url: str) -> Config:
    """Alembic's configuration for a database."""
    config = Config()
    config.set_main_option("script_location", str(Path(migrations.__file__).parent))
    config.attributes["database_url"] = url.replace("postgresql://", "postgresql+psycopg://")
    return config


def _admin(server: EmbeddedPostgres, statement: sql.Composed) -> None:
    with psycopg.connect(server.url, autocommit=True) as connection:
        connection.execute(statement)


@pytest.fixture(scope="session")
def make_database(postgres: EmbeddedPostgres) -> Callable[[], str]:
    """Makes empty, migrated databases."""

    def make() -> str:
        name = f"test_{uuid4().hex}"
        _admin(
            postgres,
            sql.SQL("CREATE DATABASE {} TEMPLATE {} STRATEGY wal_log").format(
                sql.Identifier(name), sql.Identifier(TEMPLATE)
            ),
        )
        url = postgres.url_of(name)
        with connect_admin(url) as admin, admin.transaction():
            give_rights(admin, APP.name, TIMEOUTS)
        return url

    return make


@pytest.fixture(scope="session")
def used_databases() -> list[str]:
    """The databases that tests have left, as empty as new ones."""
    return []


@pytest.fixture(scope="session")
def new_shape(make_database: Callable[[], str], used_databases: list[str]) -> str:
    """What a new database is besides its rows."""
    used_databases.append(make_database())
    with psycopg.connect(used_databases[-1]) as connection:
        return shape(connection)


@pytest.fixture
def database_url(make_database: Callable[[], str], used_databases: list[str], new_shape: str) -> Iterator[str]:
    """An empty, migrated database of the test's own.

    A new one is a copy of a thousand files, so the next test gets the one that this test has left, emptied. Its users have ids
    that no test before had: Redis, which all tests share, keeps for a while which users were deleted.
    """
    url = used_databases.pop() if used_databases else make_database()
    number_users(url, next(USER_IDS))
    yield url
    if emptied(url, new_shape):
        used_databases.append(url)


@pytest.fixture(scope="session")
def valkey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedValkey]:
    """Valkey, for logs, pub/sub and jobs."""
    with EmbeddedValkey(tmp_path_factory.mktemp("vk"), appendonly=False) as server:
        yield server


@pytest.fixture(scope="session")
def groq_url() -> Iterator[str]:
    """The Groq double."""
    with start_groq_double() as url:
        yield url


@pytest.fixture(scope="session")
def tavily_url() -> Iterator[str]:
    """The Tavily double."""
    with start_tavily_double() as url:
        yield url


class NewSystem(Protocol):
    """Makes systems, each with a database (unless it is given one) and a Redis of its own. No process of theirs runs yet."""

    def __call__(self, **settings: str) -> System:
        """Make one, whose processes get these settings too."""
        ...


Systems = Callable[[], AbstractContextManager[NewSystem]]


@pytest.fixture(scope="session")
def forks() -> Iterator[Forks]:
    """Starts processes of the system in a tenth of the time."""
    started = Forks()
    yield started
    started.close()


@pytest.fixture(scope="session")
def systems(
    make_database: Callable[[], str], groq_url: str, forks: Forks, tmp_path_factory: pytest.TempPathFactory
) -> Systems:
    """What makes systems, and ends at its own end what still runs of them: workers that nobody needs take time too."""

    @contextmanager
    def making() -> Iterator[NewSystem]:
        guard = Guard()
        made: list[System] = []

        def make(**settings: str) -> System:
            folder = tmp_path_factory.mktemp("system")
            valkey = EmbeddedValkey(folder / "valkey")
            valkey.start()
            database_url = settings.pop("DATABASE_URL", "") or make_database()
            env = environment(database_url, valkey.url, groq_url, SECRET, **settings)
            made.append(System(env, folder, guard, valkey, forks, database_url))
            return made[-1]

        yield make
        for system in made:
            system.end()
        guard.close()

    return making


@pytest.fixture(scope="module")
def new_system(systems: Systems) -> Iterator[NewSystem]:
    """Makes systems that last as long as the tests of a file."""
    with systems() as make:
        yield make


@pytest.fixture
def settings(database_url: str, valkey: EmbeddedValkey, groq_url: str) -> Settings:
    """Settings for the test's servers. Nothing is read from outside."""
    return settings_for(database_url, valkey.url, groq_url)


def settings_for(database_url: str, redis_url: str, groq_url: str, **overrides: object) -> Settings:
    """Settings for some servers, with quick passwords and short segments. The database is used as the application's role.

    Titles are off, since nobody works on their jobs here: a stream waits a second at its end for a title that is asked for.
    """
    values: dict[str, Any] = {
        "database_url": as_app(database_url),
        "redis_url": redis_url,
        "jwt_secret_key": SECRET,
        "groq_api_key": "test",
        "groq_base_url": groq_url,
        "groq_model": "double",
        "user_max_live_generations": 1000,
        # Tests share a Redis and an address. Those of the limits set them.
        "login_bad_tries": 0,
        "login_bad_tries_of_network": 0,
        "login_bad_tries_at_account": 0,
        "signups_per_hour": 0,
        "mails_per_hour": 0,
        "mails_per_hour_of_network": 0,
        "user_max_streams": 10_000,
        "summary_chunk_messages": 3,
        "tools": "web_search,search_history",  # what a model is told of the others is their own tests' business
        "title_by_model": False,
        **overrides,
    }
    # Of 4 rounds, bcrypt's fewest, which no setting allows: tests sign up a thousand users.
    return Settings.load(_env_file=None, **values).model_copy(update={"bcrypt_rounds": 4})
