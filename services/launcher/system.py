"""The whole system as parts: which there are, how each is run, how one knows that it is ready."""

import http.client
import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from services.launcher.configuration import PROCESS, Addresses, Given, additions, resolve, whole_number
from services.launcher.data_dir import DataDir, Running
from services.launcher.embedded.openmp import openmp_environment
from services.launcher.embedded.postgres import SANDBOX, EmbeddedPostgres
from services.launcher.embedded.valkey import EmbeddedValkey
from services.launcher.errors import PortTaken
from services.launcher.output import POSTGRES_TROUBLE, VALKEY_TROUBLE
from services.launcher.program import LOOPBACK, Program, free_port, why_not_listen
from services.launcher.supervisor import Part
from shared.jobs.names import GENERATIONS_QUEUE, MAINTENANCE_QUEUE, SUMMARIES_QUEUE
from shared.redis_roles import RedisPart
from shared.settings import Settings

HTTP_SECONDS: Final = 3.0
FLOWER_PORT: Final = 5555
FLOWER_USER: Final = "cortexai"
ANY_HOST: Final = {"0.0.0.0": LOOPBACK, "::": "::1", "": LOOPBACK}  # noqa: S104 — to reach what listens everywhere

WORKERS: Final[Mapping[str, str]] = {
    "worker-generations": GENERATIONS_QUEUE,
    "worker-background": f"{SUMMARIES_QUEUE},{MAINTENANCE_QUEUE}",
    "beat": "beat",
}


@dataclass(frozen=True, slots=True)
class System:
    """What is to be run."""

    settings: Settings
    running: Running
    parts: tuple[Part, ...]

    @property
    def url(self) -> str:
        """Where the API is reached from this machine."""
        host = ANY_HOST.get(self.running.host, self.running.host)
        return f"http://{f'[{host}]' if ':' in host else host}:{self.running.port}"

    @property
    def flower_url(self) -> str:
        """Where Flower is."""
        return f"http://{LOOPBACK}:{self.running.flower_port}"


def compose(given: Given, data: DataDir, port: int | None) -> System:
    """Decide what is embedded and where everything listens. `port` wins over PORT.

    Raises:
        SettingsInvalid: a setting is unusable.
        PortTaken: the API's port is.

    """
    postgres = (
        EmbeddedPostgres(data.path / "postgres", password=data.secrets.postgres_password)
        if given.database_url is None
        else None
    )
    valkey = (
        EmbeddedValkey(data.path / "valkey", password=data.secrets.valkey_password) if given.redis_url is None else None
    )
    model_port = free_port() if given.needs_model else None
    addresses = Addresses(
        database_url=postgres.app_url if postgres is not None else None,
        sandbox_database_url=postgres.sandbox_url if postgres is not None else None,
        redis_url=valkey.url if valkey is not None else None,
        model_url=f"http://{LOOPBACK}:{model_port}" if model_port is not None else None,
    )
    if port is None and given.port is not None:
        port = whole_number("PORT", given.port)
    added = additions(
        given,
        addresses,
        jwt_secret_key=data.secrets.jwt_secret_key,
        data_source_key=data.secrets.data_source_key,
        port=free_port() if port == 0 else port,
    )
    settings = resolve(added)
    _ = settings.smtp_server  # the workers would not start without
    settings.insist_on_a_way_in()  # nor would the API
    if obstacle := why_not_listen(settings.port, settings.host):
        raise PortTaken(f"port {settings.port} on {settings.host}: {obstacle}; set PORT, or use --port")
    flower_port = free_port(FLOWER_PORT)
    running = Running(
        pid=os.getpid(),
        host=settings.host,
        port=settings.port,
        flower_port=flower_port,
        postgres_port=postgres.port if postgres is not None else None,
        valkey_port=valkey.port if valkey is not None else None,
        model_port=model_port,
    )
    parts = []
    if postgres is not None:
        parts.append(Part("postgres", postgres.prepare, postgres.is_ready, trouble=POSTGRES_TROUBLE))
    if valkey is not None:
        prepare = partial(valkey.prepare, settings.redis_prefixes)
        parts.append(Part("valkey", prepare, valkey.is_ready, trouble=VALKEY_TROUBLE))
    if model_port is not None:
        parts.append(_model(model_port, data))
    embedded = {part.name for part in parts}
    # It waits for the database by itself, so that its imports overlap with the start of PostgreSQL.
    as_superuser = {**added, **_migrations_urls(postgres, given)} if postgres is not None else added
    parts.append(Part("migrations", lambda: _python("services.launcher.cli", "migrate", env=as_superuser), once=True))
    ready = tuple(name for name in ("migrations", "valkey") if name == "migrations" or name in embedded)
    parts.append(_api(settings, {**added, **_redis_url(valkey, "api")}, ready))
    of_workers = {**added, **_redis_url(valkey, "worker")}
    parts.extend(
        _worker(name, role, data, {**of_workers, **_metrics_port(settings, place)}, ready)
        for place, (name, role) in enumerate(WORKERS.items(), start=1)
    )
    broker_url = settings.celery_broker_url
    if valkey is not None and broker_url == valkey.url:
        broker_url = valkey.url_of("flower")
    ready_for_flower = tuple(name for name in ready if name != "migrations")
    parts.append(_flower(settings, broker_url, data, flower_port, ready_for_flower))
    return System(settings, running, tuple(parts))


def _migrations_urls(postgres: EmbeddedPostgres, given: Given) -> dict[str, str]:
    """The accounts that make the schema and the roles. No other part is told them."""
    sandboxes = {"MIGRATION_SANDBOX_URL": postgres.url_of(SANDBOX)} if given.sandbox_database_url is None else {}
    return {"MIGRATION_DATABASE_URL": postgres.url, **sandboxes}


def _redis_url(valkey: EmbeddedValkey | None, part: RedisPart) -> dict[str, str]:
    """The user that a part has at the embedded server."""
    return {} if valkey is None else {"REDIS_URL": valkey.url_of(part)}


def _metrics_port(settings: Settings, place: int) -> dict[str, str]:
    """The API serves its metrics at METRICS_PORT, the workers theirs at the ports that follow."""
    return {} if settings.metrics_port is None else {"METRICS_PORT": str(settings.metrics_port + place)}


def _model(port: int, data: DataDir) -> Part:
    folder = data.path / "run"
    module = "services.launcher.embedded.local_model"
    program = _python(module, "--port", str(port), env=openmp_environment(folder), cwd=folder)
    return Part("model", lambda: program, _answers(LOOPBACK, port, "/health"))


def _api(settings: Settings, added: Mapping[str, str], needs: tuple[str, ...]) -> Part:
    host = ANY_HOST.get(settings.host, settings.host)
    program = _python("services.api", env=added)
    return Part("api", lambda: program, _answers(host, settings.port, "/readyz"), needs)


def _worker(name: str, role: str, data: DataDir, added: Mapping[str, str], needs: tuple[str, ...]) -> Part:
    ready_file = data.ready_file(name)

    def prepare() -> Program:
        # One that was killed could not remove it.
        ready_file.unlink(missing_ok=True)
        return _python("services.worker", role, env={**added, "READY_FILE": str(ready_file)})

    return Part(name, prepare, ready_file.exists, needs)


def _flower(settings: Settings, broker_url: str, data: DataDir, port: int, needs: tuple[str, ...]) -> Part:
    environment = {
        **PROCESS,
        "REDIS_URL": broker_url,
        "CELERY_BROKER_URL": broker_url,
        "REDIS_PREFIX": settings.redis_prefix,
        "FLOWER_ADDRESS": LOOPBACK,
        "FLOWER_PORT": str(port),
        "FLOWER_BASIC_AUTH": f"{FLOWER_USER}:{data.secrets.flower_password}",
    }
    program = _python("services.worker", "flower", env=environment)
    return Part("flower", lambda: program, _answers(LOOPBACK, port, "/healthcheck"), needs)


def _python(module: str, *arguments: str, env: Mapping[str, str], cwd: Path | None = None) -> Program:
    """A module of Python as a program. -P: a folder that is named like one of ours in the working directory is not it."""
    return Program((sys.executable, "-P", "-m", module, *arguments), env=env, cwd=cwd)


def _answers(host: str, port: int, path: str) -> Callable[[], bool]:
    """Whether a GET is answered with 200. No proxy is ever asked."""

    def ask() -> bool:
        connection = http.client.HTTPConnection(host, port, timeout=HTTP_SECONDS)
        try:
            connection.request("GET", path)
            return connection.getresponse().status == http.client.OK
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    return ask
