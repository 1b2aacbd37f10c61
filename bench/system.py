"""The whole system, started for a measurement and ended after it; accounts and chats in it; its CPU seconds."""

import http.client
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
import uuid
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import psutil

from services.launcher.configuration import Given
from services.launcher.data_dir import read_running
from services.launcher.doctor import addresses_of

ROOT: Final = Path(__file__).parents[1]
READY_SECONDS: Final = 180.0
FIRST_CHAT_SECONDS: Final = 60.0
STOP_SECONDS: Final = 45.0
POLL_SECONDS: Final = 0.2
UNLIMITED: Final = {
    "USER_MAX_LIVE_GENERATIONS": "1000",
    "USER_MAX_STREAMS": "1000000",
    "SIGNUPS_PER_HOUR": "0",
    "ACCESS_TOKEN_EXPIRE_MINUTES": "10080",
}
"""A few users stand for many, and don't refresh their tokens. What is set outside goes before."""
PASSWORD: Final = "correct horse battery staple"
PROCESS_NAMES: Final = (
    ("tests.doubles.groq", "double"),
    ("postgres", "postgres"),
    ("valkey", "valkey"),
    ("redis-server", "redis"),
    ("flower", "flower"),
    ("beat", "beat"),
    ("worker", "worker"),
    ("uvicorn", "api"),
    ("services.api", "api"),
    ("cortexai", "launcher"),
)


class SystemFailed(RuntimeError):
    """The system did not start, or refused what the benchmark needs."""


@contextmanager
def running_system(groq_url: str, folder: Path | None = None) -> Iterator[str]:
    """Run `cortexai up` against a Groq double; yields its base URL when a chat has been answered.

    It keeps everything in the folder, which exists; without one, in a temporary folder.

    Raises:
        SystemFailed: it ended or was not ready in time; the message has the end of its output.

    """
    port = _free_port()
    base_url = f"http://127.0.0.1:{port}"
    outside = ("DATABASE_URL", "REDIS_URL", "CELERY_BROKER_URL", "STREAM_REDIS_URL", "TAVILY_API_KEY")
    environment = {name: value for name, value in os.environ.items() if name not in outside}
    environment = UNLIMITED | environment | {"GROQ_BASE_URL": groq_url, "GROQ_API_KEY": "bench", "LOG_LEVEL": "warning"}
    with tempfile.TemporaryDirectory(prefix="cortexai-bench-") as temporary:
        output = Path(temporary, "output.log")
        command = [
            str(Path(sys.executable).parent / "cortexai"),
            "up",
            "--data-dir",
            str(folder or temporary),
            "--port",
            str(port),
        ]
        with output.open("wb") as log:
            process = subprocess.Popen(
                command, cwd=ROOT, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT
            )
        try:
            _await_ready(base_url, process, output)
            _await_first_chat(base_url)
            yield base_url
        finally:
            _stop(process)


def database_url_of(folder: Path) -> str:
    """The URL of the database of a system that runs on this folder.

    Raises:
        SystemFailed: none does.

    """
    url = addresses_of(folder, Given(database_url=None), read_running(folder)).database_url
    if url is None:
        raise SystemFailed(f"no system runs on {folder}")
    return url


def open_chats(base_url: str, count: int, users: int) -> list[tuple[str, str]]:
    """Sign up so many users and make so many chats, spread over them; returns each chat's id and its owner's token."""
    tokens = [_sign_up(base_url) for _ in range(min(users, count))]
    owners = [tokens[number % len(tokens)] for number in range(count)]
    return [(str(call(base_url, "/api/chats", {}, token)["id"]), token) for token in owners]


def call(base_url: str, path: str, body: object, token: str = "") -> Any:  # noqa: ANN401
    """POST JSON and return the answer's JSON.

    Raises:
        SystemFailed: the status was not 2xx.

    """
    connection = http.client.HTTPConnection(urlsplit(base_url).netloc, timeout=30)
    headers = {"content-type": "application/json", **({"authorization": f"Bearer {token}"} if token else {})}
    try:
        connection.request("POST", path, json.dumps(body), headers)
        response = connection.getresponse()
        answer = response.read()
    finally:
        connection.close()
    if response.status // 100 != 2:
        raise SystemFailed(f"POST {path}: {response.status} {answer[:300].decode(errors='replace')}")
    return json.loads(answer)


def cpu_seconds() -> dict[str, float]:
    """Return the CPU seconds (user and system) that each part of the system has used, and this client, by name."""
    own = psutil.Process()
    used = defaultdict[str, float](float, client=sum(own.cpu_times()[:2]))
    pending = [(child, "other") for child in own.children()]
    while pending:
        process, parent_name = pending.pop()
        try:
            name = _name(" ".join(process.cmdline()), parent_name)
            used[name] += sum(process.cpu_times()[:2])
            pending += [(child, name) for child in process.children()]
        except psutil.NoSuchProcess:
            continue
    return used


def cpu_seconds_since(before: Mapping[str, float]) -> dict[str, float]:
    """Return what each part has used since an earlier `cpu_seconds()`."""
    return {name: used - before.get(name, 0.0) for name, used in cpu_seconds().items()}


def _name(command: str, otherwise: str) -> str:
    return next((name for part, name in PROCESS_NAMES if part in command), otherwise)


def _sign_up(base_url: str) -> str:
    account = {"email": f"{uuid.uuid4().hex}@example.com", "password": PASSWORD}
    call(base_url, "/api/auth/signup", account)
    return str(call(base_url, "/api/auth/login", account)["access_token"])


def _await_ready(base_url: str, process: subprocess.Popen[bytes], output: Path) -> None:
    deadline = time.monotonic() + READY_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise SystemFailed(f"cortexai up exited with {process.returncode}:\n{_tail(output)}")
        connection = http.client.HTTPConnection(urlsplit(base_url).netloc, timeout=5)
        try:
            connection.request("GET", "/readyz")
            if connection.getresponse().status == http.client.OK:
                return
        except (OSError, http.client.HTTPException):
            pass
        finally:
            connection.close()
        time.sleep(POLL_SECONDS)
    raise SystemFailed(f"not ready after {READY_SECONDS:.0f} s:\n{_tail(output)}")


def _await_first_chat(base_url: str) -> None:
    """Have one message answered, so that what is slow only once is not measured."""
    deadline = time.monotonic() + FIRST_CHAT_SECONDS
    ((chat_id, token),) = open_chats(base_url, 1, 1)
    connection = http.client.HTTPConnection(urlsplit(base_url).netloc, timeout=FIRST_CHAT_SECONDS)
    headers = {"content-type": "application/json", "accept": "text/event-stream", "authorization": f"Bearer {token}"}
    try:
        body = json.dumps({"content": "[[tokens=3]]"})
        connection.request("POST", f"/api/chats/{chat_id}/messages", body, headers)
        answer = b""
        response = connection.getresponse()
        while time.monotonic() < deadline and (line := response.readline()):
            answer += line
    finally:
        connection.close()
    if b"[DONE]" not in answer or b"t3" not in answer:
        raise SystemFailed(
            f"the first chat was not answered: {response.status} {answer[-500:].decode(errors='replace')}"
        )


def _stop(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is not None:
        return
    launcher = psutil.Process(process.pid)
    started = [launcher, *launcher.children(recursive=True)]
    process.terminate()
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        for left in started:
            with suppress(psutil.NoSuchProcess):
                left.kill()
        process.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _tail(output: Path) -> str:
    return output.read_text(errors="replace")[-3000:]
