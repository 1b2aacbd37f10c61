"""The whole system through the one command, with a real model: started, used, broken, stopped, killed."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil
import psycopg
import pytest
import redis

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

START_SECONDS = 120
ACCOUNT = {"email": "ada@example.com", "password": "correct horse battery"}


@dataclass
class Running:
    """A `cortexai up` that is ready."""

    process: subprocess.Popen[bytes]
    folder: Path
    output: Path

    @property
    def known(self) -> dict[str, int]:
        """Ports and process, as published."""
        known: dict[str, int] = json.loads((self.folder / "running.json").read_text())
        return known

    @property
    def secrets(self) -> dict[str, str]:
        secrets: dict[str, str] = json.loads((self.folder / "secrets.json").read_text())
        return secrets

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.known['port']}"

    def family(self) -> list[psutil.Process]:
        """Everything it started, the guardian too."""
        return psutil.Process(self.process.pid).children(recursive=True)

    def child(self, words: str) -> psutil.Process:
        """Its process with these words on the command line."""
        return next(process for process in self.family() if words in " ".join(process.cmdline()))


def start(folder: Path, **settings: str) -> subprocess.Popen[bytes]:
    """Start it in an empty environment, and a session of its own."""
    with (folder.parent / "output.txt").open("wb") as output:
        return subprocess.Popen(
            [sys.executable, "-P", "-m", "services.launcher.cli", "up", "--data-dir", str(folder), "--port", "0"],
            cwd=folder.parent,
            env={"PATH": os.environ["PATH"], **settings},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


@contextmanager
def up(folder: Path, **settings: str) -> Iterator[Running]:
    """Start it and wait until it says that it is ready; end it at last."""
    process = start(folder, **settings)
    running = Running(process, folder, folder.parent / "output.txt")
    try:
        ready = eventually(
            lambda: process.poll() is not None or "Press Ctrl-C" in running.output.read_text(), seconds=START_SECONDS
        )
        assert ready, running.output.read_text()
        assert process.poll() is None, running.output.read_text()
        yield running
    finally:
        if process.poll() is None:
            process.terminate()
        process.wait(30)


def eventually(check: Callable[[], bool], *, seconds: float) -> bool:
    """Poll: another program's processes and output announce nothing."""
    deadline = time.monotonic() + seconds
    while not check():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def are_gone(family: list[psutil.Process]) -> bool:
    return not any(process.is_running() and process.status() != psutil.STATUS_ZOMBIE for process in still(family))


def still(family: list[psutil.Process]) -> list[psutil.Process]:
    return [process for process in family if psutil.pid_exists(process.pid)]


def log_in(client: httpx.Client, account: dict[str, str] = ACCOUNT) -> None:
    token = client.post("/api/auth/login", json=account).raise_for_status().json()["access_token"]
    client.headers["Authorization"] = f"Bearer {token}"


def ask(client: httpx.Client, content: str) -> tuple[int, str]:
    """Ask in a new chat. Returns the chat and the text of the answer's stream."""
    chat = client.post("/api/chats", json={}).raise_for_status().json()["id"]
    answer = client.post(f"/api/chats/{chat}/messages", json={"content": content}).raise_for_status()
    frames = [line.removeprefix("data: ") for line in answer.text.splitlines() if line.startswith("data: {")]
    assert json.loads(frames[-1])["type"] == "finish", answer.text
    return chat, "".join(json.loads(frame).get("delta", "") for frame in frames)


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    # Every other program that gets this name would misread it in a setting or a command line of its own.
    folder = tmp_path_factory.mktemp("up") / 'a "data" [folder] \\ #1 $HOME it\'s ü'
    with up(folder) as running:
        yield running


@pytest.fixture(scope="module")
def client(running: Running) -> Iterator[httpx.Client]:
    """Somebody who has an account and is logged in."""
    with httpx.Client(base_url=running.url, timeout=60) as client:
        client.post("/api/auth/signup", json=ACCOUNT).raise_for_status()
        log_in(client)
        yield client


def test_it_says_where_everything_is_and_shows_no_warning(running: Running) -> None:
    text = running.output.read_text()
    shown = re.sub(r"[│\s]", "", text)  # the table breaks what is long
    for expected in (running.url, f"{running.url}/docs", str(running.known["flower_port"]), str(running.folder)):
        assert re.sub(r"\s", "", expected) in shown
    first, _, _ = text.partition("CortexAI is ready")
    assert all(re.fullmatch(r"[a-z-]+: ready after \d+\.\d s|\s*", line) for line in first.splitlines()), first


def test_a_question_is_answered_by_the_real_model(client: httpx.Client) -> None:
    _, text = ask(client, "Say hello.")
    assert text


def test_the_example_that_it_prints_works_as_it_is(running: Running) -> None:
    text = running.output.read_text()
    example = text[text.index("API=http") : text.index("Press Ctrl-C")]
    with subprocess.Popen(["bash", "-c", example], stdout=subprocess.PIPE, text=True) as process:  # noqa: S607
        assert process.stdout is not None
        lines = iter(process.stdout.readline, "")
        assert any('"type":"text-delta"' in line for line in lines)
        # The model would talk for half a minute.
        with httpx.Client(base_url=running.url, timeout=60) as client:
            log_in(client, {"email": "me@example.com", "password": "a long password"})
            (chat,) = client.get("/api/chats").raise_for_status().json()
            client.post(f"/api/chats/{chat['id']}/stop").raise_for_status()
        assert "".join(lines).endswith("data: [DONE]\n\n")


def test_a_sandbox_is_one_request_away_and_apart_from_the_application(client: httpx.Client, running: Running) -> None:
    sandbox = client.post("/api/data-sources/sandbox").raise_for_status().json()
    path = f"/api/data-sources/{sandbox['id']}"
    asked = client.post(f"{path}/query", json={"sql": "SELECT count(*) FROM customers"}).raise_for_status()
    assert asked.json()["rows"] == [[60]]
    assert client.post(f"{path}/test").raise_for_status().json()["statements"] is None
    server = f"postgresql://cortexai:{running.secrets['postgres_password']}@127.0.0.1:{running.known['postgres_port']}"
    with psycopg.connect(f"{server}/cortexai") as connection:
        look = "SELECT datname FROM pg_database WHERE datallowconn AND has_database_privilege(%s, oid, 'CONNECT')"
        found = connection.execute(look, [sandbox["reader"]["user"]]).fetchall()
    assert {name for (name,) in found} & {"cortexai", "sandbox"} == {"sandbox"}


def test_flower_asks_for_its_password_and_sees_the_workers(running: Running) -> None:
    url = f"http://127.0.0.1:{running.known['flower_port']}"
    assert httpx.get(f"{url}/api/workers").status_code == 401
    auth = ("cortexai", running.secrets["flower_password"])

    def workers() -> int:
        return len(httpx.get(f"{url}/api/workers", auth=auth, params={"refresh": "true"}, timeout=30).json())

    assert eventually(lambda: workers() == 2, seconds=60)


def test_each_part_has_a_user_in_redis_that_may_do_what_the_part_does(running: Running) -> None:
    known = running.known
    with redis.Redis(port=known["valkey_port"], password=running.secrets["valkey_password"]) as admin:
        users = {str(client["user"]) for client in admin.client_list() if client["id"] != str(admin.client_id())}
        assert users == {"api", "worker", "flower"}
        assert admin.acl_log() == []


def test_no_secret_is_on_a_command_line_or_in_a_log(running: Running) -> None:
    family = [psutil.Process(running.process.pid), *running.family()]
    lines = " ".join(" ".join(process.cmdline()) for process in family)
    logs = " ".join(path.read_text() for path in (running.folder / "logs").iterdir())
    for name, secret in running.secrets.items():
        assert secret not in lines, name
        assert secret not in logs, name


def test_the_doctor_finds_it_well(running: Running) -> None:
    done = subprocess.run(
        [sys.executable, "-P", "-m", "services.launcher.cli", "doctor", "--data-dir", str(running.folder)],
        cwd=running.folder.parent,
        env={"PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    for expected in (
        "PostgreSQL: version 18",
        "schema: revision",
        "Valkey 9",
        "model: smollm2",
        "sandboxes: in the database sandbox",
    ):
        assert expected in done.stdout
    assert "wrong" not in done.stdout
    assert not [name for name, secret in running.secrets.items() if secret in done.stdout]


@pytest.mark.parametrize("name", ["reset-second-factor", "make-admin", "remove-admin"])
def test_what_an_operator_does_for_accounts_finds_the_database_by_the_folder(running: Running, name: str) -> None:
    command = [sys.executable, "-P", "-m", "services.launcher.cli", "accounts", name]
    done = subprocess.run(
        [*command, "nobody@example.com", "--data-dir", str(running.folder)],
        cwd=running.folder.parent,
        env={"PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (2, "cortexai: no account has the address nobody@example.com\n")


def test_an_operator_invites_somebody_to_the_system_of_the_folder(running: Running) -> None:
    command = [sys.executable, "-P", "-m", "services.launcher.cli", "invite", "ada@example.com"]
    done = subprocess.run(
        [*command, "--data-dir", str(running.folder)],
        cwd=running.folder.parent,
        env={"PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        check=False,
    )
    link, about = done.stdout.splitlines()
    assert link.startswith(f"http://127.0.0.1:{running.known['port']}/#/sign-up?invite=")
    assert about.startswith("for ada@example.com, once, until ")


def test_a_second_one_on_the_same_folder_is_refused(running: Running) -> None:
    done = subprocess.run(
        [sys.executable, "-P", "-m", "services.launcher.cli", "up", "--data-dir", str(running.folder)],
        env={"PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr.startswith("cortexai: another `cortexai up` uses ")


def test_it_fits_into_a_small_machine(running: Running) -> None:
    family = [psutil.Process(running.process.pid), *running.family()]
    assert sum(process.memory_full_info().pss for process in family) < 800 * 1024 * 1024


@pytest.mark.parametrize("victim", ["valkey-server", "postgres -D", "services.worker generations", "services.api"])
def test_a_part_that_is_killed_comes_back_and_the_next_question_is_answered(
    running: Running, client: httpx.Client, victim: str
) -> None:
    running.child(victim).kill()
    assert eventually(lambda: is_ready_again(running), seconds=60)
    assert eventually(lambda: is_answered(client), seconds=60)


def is_ready_again(running: Running) -> bool:
    lines = running.output.read_text().splitlines()
    died = sum(": died (" in line for line in lines)
    return died > 0 and sum(": is ready again" in line for line in lines) == died


def is_answered(client: httpx.Client) -> bool:
    try:
        _, text = ask(client, "Say hello.")
    except httpx.HTTPError:
        return False
    return bool(text)


def test_ctrl_c_ends_everything_and_the_next_start_continues(
    running: Running, client: httpx.Client, groq_url: str
) -> None:
    """The last one of those that use the running one, since it ends it."""
    folder, token = running.folder, client.headers["Authorization"]
    chat, _ = ask(client, "Say hello.")
    family = running.family()
    began = time.monotonic()
    running.process.send_signal(signal.SIGINT)
    assert running.process.wait(15) == 0
    assert time.monotonic() - began < 15
    assert are_gone(family)
    assert not (folder / "running.json").exists()
    with up(folder) as second, httpx.Client(base_url=second.url, timeout=60) as later:
        later.headers["Authorization"] = token
        messages = later.get(f"/api/chats/{chat}").raise_for_status().json()["messages"]
        assert [message["role"] for message in messages] == ["user", "assistant"]
        family = second.family()
        second.process.kill()
        second.process.wait()
        assert eventually(lambda: are_gone(family), seconds=10)
    # What a killed one leaves on disk must not be in the way.
    with up(folder, GROQ_BASE_URL=groq_url) as third, httpx.Client(base_url=third.url, timeout=60) as later:
        log_in(later)
        assert later.get(f"/api/chats/{chat}").status_code == 200


def test_external_servers_are_used_and_not_started(
    tmp_path: Path, make_database: Callable[[], str], valkey: object, groq_url: str
) -> None:
    assert hasattr(valkey, "url")
    folder = tmp_path / "data"
    with up(folder, DATABASE_URL=make_database(), REDIS_URL=valkey.url, GROQ_BASE_URL=groq_url) as running:
        names = {path.stem for path in (folder / "logs").iterdir()}
        assert not {"postgres", "valkey", "model"} & names
        with redis.from_url(valkey.url) as broker:
            assert broker.exists("_kombu.binding.generations")
        running.process.send_signal(signal.SIGTERM)
        assert running.process.wait(15) == 0


def test_a_second_ctrl_c_does_not_wait(tmp_path: Path) -> None:
    process = start(tmp_path / "data")
    assert eventually((tmp_path / "data" / "logs" / "valkey.log").exists, seconds=60)
    family = psutil.Process(process.pid).children(recursive=True)
    process.send_signal(signal.SIGINT)
    process.send_signal(signal.SIGINT)
    began = time.monotonic()
    assert process.wait(30) == 0
    assert time.monotonic() - began < 15
    assert are_gone(family)
