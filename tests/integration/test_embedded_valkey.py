import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
from redis.backoff import ConstantBackoff, NoBackoff
from redis.retry import Retry

from services.launcher.embedded.valkey import EmbeddedValkey, binary
from services.launcher.program import free_port
from tests.support.paths import ODD


@pytest.fixture
def server(tmp_path: Path) -> Iterator[EmbeddedValkey]:
    with EmbeddedValkey(tmp_path / "valkey") as server:
        yield server


@pytest.fixture
def client(server: EmbeddedValkey) -> Iterator[redis.Redis]:
    with redis.from_url(server.url) as client:
        yield client


def test_it_never_evicts_and_appends_to_its_file(client: redis.Redis) -> None:
    assert client.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}
    assert client.config_get("append*") | {"appendonly": "yes", "appendfsync": "everysec"} == client.config_get(
        "append*"
    )


def test_it_asks_for_its_password_and_listens_on_this_machine_only(server: EmbeddedValkey, client: redis.Redis) -> None:
    with (
        redis.Redis(host="127.0.0.1", port=server.port) as stranger,
        pytest.raises(redis.AuthenticationError),
    ):
        stranger.ping()
    assert client.config_get("bind") == {"bind": "127.0.0.1"}


@pytest.mark.parametrize("name", [*ODD, "x" * 200 + ("/" + "y" * 199) * 3], ids=ascii)
def test_in_a_folder_of_any_name_it_asks_for_its_password_and_writes_nowhere_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    with EmbeddedValkey(tmp_path / "root" / name / "valkey") as server:
        with redis.from_url(server.url) as client:
            assert client.config_get("port") == {"port": str(server.port)}
            client.set("kept", "7")
        with (
            redis.Redis(port=server.port, retry=Retry(NoBackoff(), 0)) as stranger,
            pytest.raises(redis.AuthenticationError),
        ):
            stranger.ping()
        server.kill()
        server.start()
        with redis.from_url(server.url) as client:
            assert client.get("kept") == b"7"
        assert (server.directory / "appendonlydir").is_dir()
    assert not list((tmp_path / "elsewhere").iterdir())


def test_a_server_that_asks_for_no_password_is_not_taken_for_it(tmp_path: Path) -> None:
    port = free_port()
    arguments = [str(binary()), "--port", str(port), "--bind", "127.0.0.1", "--save", ""]
    ours = EmbeddedValkey(tmp_path, port=port)
    with subprocess.Popen(arguments, cwd=tmp_path, stdout=subprocess.DEVNULL) as other:
        try:
            with redis.Redis(port=port, retry=Retry(ConstantBackoff(0.02), 500)) as client:
                assert client.ping()
                assert not ours.is_ready()
                client.config_set("requirepass", "another")
                assert not ours.is_ready()
            with redis.Redis(port=port, password="another") as client:
                client.config_set("requirepass", ours.password)
            assert ours.is_ready()
        finally:
            other.terminate()


def test_a_configuration_that_is_gone_is_no_reason_to_start_without_one(tmp_path: Path) -> None:
    program = EmbeddedValkey(tmp_path).prepare()
    (tmp_path / "valkey.conf").unlink()
    refused = subprocess.run(program.argv, cwd=program.cwd, capture_output=True, timeout=20, check=False)
    assert refused.returncode != 0


def test_its_password_is_on_no_command_line_and_its_file_is_private(server: EmbeddedValkey) -> None:
    assert server.password.encode() not in Path(f"/proc/{server.pid}/cmdline").read_bytes()
    assert (server.directory / "valkey.conf").stat().st_mode & 0o777 == 0o600


def test_its_content_survives_a_crash_under_the_same_address(server: EmbeddedValkey, client: redis.Redis) -> None:
    url = server.url
    client.set("kept", "7")
    server.kill()
    assert server.start() == url
    assert client.get("kept") == b"7"


def test_a_half_written_last_command_does_not_keep_it_from_starting(
    server: EmbeddedValkey, client: redis.Redis
) -> None:
    client.set("kept", "7")
    server.kill()
    with next(server.directory.rglob("*.incr.aof")).open("ab") as log:
        log.write(b"*3\r\n$3\r\nSET\r\n$4\r\nlo")
    server.start()
    assert client.get("kept") == b"7"


def test_it_starts_empty_when_its_folder_was_wiped(server: EmbeddedValkey, client: redis.Redis) -> None:
    client.set("lost", "7")
    server.kill()
    shutil.rmtree(server.directory)
    server.start()
    assert client.get("lost") is None


def test_without_appendonly_it_writes_nothing(tmp_path: Path) -> None:
    with EmbeddedValkey(tmp_path, appendonly=False) as server, redis.from_url(server.url) as client:
        client.set("kept", "7")
    assert {path.name for path in tmp_path.iterdir()} == {"valkey.conf", "server.log"}
