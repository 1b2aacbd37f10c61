import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from services.launcher.embedded.account import DAC_OVERRIDE, NOBODY, USER_NAMESPACE, Account, works
from services.launcher.embedded.postgres import EmbeddedPostgres, binaries, end_orphan
from services.launcher.errors import DataDirUnusable, PartFailed
from tests.support.paths import ODDEST

ROOT = os.geteuid() == 0
ACCOUNTS = {
    "a user namespace": Account(USER_NAMESPACE, None, 0),
    "nobody": Account((), NOBODY, NOBODY),
    "nobody with a capability": Account(DAC_OVERRIDE, None, NOBODY),
}


@pytest.fixture
def server(tmp_path: Path) -> Iterator[EmbeddedPostgres]:
    with EmbeddedPostgres(tmp_path / "postgres", durable=False) as server:
        yield server


def value(url: str, query: bytes) -> object:
    with psycopg.connect(url) as connection:
        row = connection.execute(query).fetchone()
        return row[0] if row is not None else None


def test_it_is_postgresql_18_in_utf8_and_utc(server: EmbeddedPostgres) -> None:
    assert str(value(server.url, b"SHOW server_version")).startswith("18.")
    assert value(server.url, b"SHOW server_encoding") == "UTF8"
    assert value(server.url, b"SHOW timezone") == "UTC"
    assert value(server.url, b"SELECT datlocale FROM pg_database WHERE datname = current_database()") == "C.UTF-8"


def test_a_wrong_password_is_refused_and_the_right_one_is_kept_as_scram(server: EmbeddedPostgres) -> None:
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(server.url.replace(server.password, "wrong"))
    assert str(value(server.url, b"SELECT rolpassword FROM pg_authid WHERE rolname = 'cortexai'")).startswith("SCRAM")


def test_its_password_is_on_no_command_line_and_in_no_file(server: EmbeddedPostgres) -> None:
    assert server.pid is not None
    assert server.password.encode() not in Path(f"/proc/{server.pid}/cmdline").read_bytes()
    texts = [path for path in server.directory.rglob("*") if path.is_file() and path.suffix in {"", ".conf", ".log"}]
    assert not [path for path in texts if server.password.encode() in path.read_bytes()]


def test_what_was_committed_survives_a_crash_under_the_same_address(server: EmbeddedPostgres) -> None:
    url = server.url
    with psycopg.connect(url) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 7 AS number")
    server.kill()
    assert server.start() == url
    assert value(url, b"SELECT number FROM kept") == 7


def test_a_crash_leaves_no_backend_behind(server: EmbeddedPostgres) -> None:
    with psycopg.connect(server.url) as connection:
        backend = connection.info.backend_pid
        server.kill()
        assert not is_alive(backend)


def test_a_pid_file_with_the_number_of_another_process_is_no_obstacle(server: EmbeddedPostgres) -> None:
    pid_file = server.cluster / "postmaster.pid"
    left = pid_file.read_text().split("\n", 1)[1]
    server.stop()
    pid_file.write_text(f"{os.getpid()}\n{left}")
    server.start()
    assert value(server.url, b"SELECT 1") == 1


def test_a_server_that_lost_its_launcher_is_ended(server: EmbeddedPostgres) -> None:
    assert server.pid is not None
    orphan = server.pid
    end_orphan(server.cluster)
    server._process.wait() if server._process else None
    assert not is_alive(orphan)
    server.kill()
    server.start()
    assert server.pid != orphan


def test_another_object_opens_the_folder_with_the_password(server: EmbeddedPostgres) -> None:
    with psycopg.connect(server.url) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 7 AS number")
    server.stop()
    with EmbeddedPostgres(server.directory, password=server.password, durable=False) as again:
        assert value(again.url, b"SELECT number FROM kept") == 7


@pytest.mark.parametrize("name", [ODDEST, "x" * 200 + ("/" + "y" * 199) * 3], ids=["odd", "long"])
def test_it_runs_in_a_folder_of_any_name(tmp_path: Path, name: str) -> None:
    with EmbeddedPostgres(shared(tmp_path / "root") / name / "postgres", durable=False) as server:
        assert value(server.url, b"SELECT 1") == 1
        server.kill()
        server.start()
        assert value(server.url, b"SELECT 1") == 1


def test_a_setting_of_any_text_is_kept(tmp_path: Path) -> None:
    text = "it's a \\ # %s"
    with EmbeddedPostgres(tmp_path / "postgres", durable=False, settings={"cluster_name": text}) as server:
        assert value(server.url, b"SHOW cluster_name") == text


def test_an_initdb_that_was_interrupted_is_done_again(tmp_path: Path) -> None:
    half = tmp_path / "postgres" / "cluster.new"
    half.mkdir(parents=True)
    (half / "PG_VERSION").write_text("18\n")
    with EmbeddedPostgres(tmp_path / "postgres", durable=False) as server:
        assert value(server.url, b"SELECT 1") == 1


def test_a_cluster_of_another_version_is_refused_and_left_alone(tmp_path: Path) -> None:
    cluster = tmp_path / "postgres" / "cluster"
    cluster.mkdir(parents=True)
    (cluster / "PG_VERSION").write_text("17\n")
    with pytest.raises(DataDirUnusable, match="was made by PostgreSQL 17, and this is 18"):
        EmbeddedPostgres(tmp_path / "postgres").prepare()
    assert [path.name for path in cluster.iterdir()] == ["PG_VERSION"]


def test_a_taken_port_fails_the_start_with_the_servers_last_words(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        server = EmbeddedPostgres(tmp_path / "postgres", port=taken.getsockname()[1], durable=False)
        with pytest.raises(PartFailed, match="postgres did not start: "):
            server.start()
    assert server.pid is None


def test_stopping_twice_and_stopping_what_never_ran_do_nothing(tmp_path: Path) -> None:
    server = EmbeddedPostgres(tmp_path / "postgres", durable=False)
    server.stop()
    server.start()
    server.stop()
    server.stop()
    assert server.pid is None


@pytest.mark.skipif(not ROOT, reason="an ordinary user needs no other account")
@pytest.mark.parametrize("name", ACCOUNTS)
def test_root_can_run_it_under_each_account_and_change_between_them(tmp_path: Path, name: str) -> None:
    account = ACCOUNTS[name]
    folder = shared(tmp_path / "postgres")
    if not works(account, binaries() / "postgres", folder):
        pytest.skip(f"{name} can't be used on this machine")
    with EmbeddedPostgres(folder, account=account, durable=False) as server:
        assert server.pid is not None
        assert value(server.url, b"SELECT 1") == 1
        password = server.password
    with EmbeddedPostgres(folder, password=password, durable=False) as server:
        assert value(server.url, b"SELECT 1") == 1


@pytest.mark.skipif(not ROOT, reason="only root can take another account")
def test_an_ordinary_user_can_run_it(tmp_path: Path) -> None:
    folder = shared(tmp_path / "postgres")
    if not works(Account((), NOBODY, NOBODY), Path(sys.executable), folder):
        pytest.skip("others can't run this Python")
    shutil.chown(folder, NOBODY, NOBODY)
    code = (
        "import sys; from pathlib import Path; from services.launcher.embedded.postgres import EmbeddedPostgres\n"
        "with EmbeddedPostgres(Path(sys.argv[1]), durable=False) as server: print(server.is_ready())"
    )

    done = subprocess.run(
        [sys.executable, "-P", "-c", code, str(folder)],
        user=NOBODY,
        group=NOBODY,
        extra_groups=[],
        env={"HOME": str(folder)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.stdout, done.stderr) == ("True\n", "")


def shared(folder: Path) -> Path:
    """Make a folder that every account can reach: pytest's are closed to others."""
    folder.mkdir()
    for parent in folder.parents:
        if parent.name.startswith("pytest-") or parent.name.startswith("test_"):
            parent.chmod(0o711)
    return folder


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, signal.SIG_DFL)
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in {"Z", "X"}
    except OSError:
        return False
