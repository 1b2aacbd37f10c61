import json
import stat
from pathlib import Path

import pytest

from services.launcher.data_dir import Running, hold, is_held, nearest_existing, read_running
from services.launcher.errors import AlreadyRunning, DataDirUnusable
from shared.settings import Settings
from tests.support.paths import ODDEST

RUNNING = Running(pid=1, host="127.0.0.1", port=8000, flower_port=5555, postgres_port=1, valkey_port=2, model_port=None)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_secrets_are_made_once_and_only_their_owner_can_read_them(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    with hold(folder) as first:
        assert mode(folder) == 0o700
        assert mode(folder / "secrets.json") == 0o600
    with hold(folder) as second:
        assert second.secrets == first.secrets


def test_the_made_key_of_access_tokens_satisfies_the_settings(tmp_path: Path) -> None:
    with hold(tmp_path) as data:
        Settings.load(
            _env_file=None,
            database_url="postgresql://h/d",
            redis_url="redis://h",
            jwt_secret_key=data.secrets.jwt_secret_key,
        )


def test_a_folder_of_a_release_without_data_sources_gets_a_key_for_them(tmp_path: Path) -> None:
    with hold(tmp_path) as data:
        made = data.secrets
    file = tmp_path / "secrets.json"
    before = json.loads(file.read_text())
    del before["data_source_key"]
    file.write_text(json.dumps(before))
    with hold(tmp_path) as data:
        assert data.secrets.jwt_secret_key == made.jwt_secret_key
        added = data.secrets.data_source_key
        assert added != made.data_source_key
    with hold(tmp_path) as data:
        assert data.secrets.data_source_key == added


def test_git_ignores_the_folder(tmp_path: Path) -> None:
    with hold(tmp_path):
        assert (tmp_path / ".gitignore").read_text() == "*\n"


def test_a_folder_may_have_any_name(tmp_path: Path) -> None:
    with hold(tmp_path / ODDEST) as data:
        data.publish(RUNNING)
        assert read_running(tmp_path / ODDEST) == (RUNNING, data.secrets)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("n" * 256, "has 256 bytes, and Linux takes no more than 255"),
        ("ü" * 200, "has 400 bytes"),
        (f"{'n' * 250}/" * 4, "bytes, and PostgreSQL takes no more than 900"),
        (f"{'n' * 250}/" * 20, "bytes, and PostgreSQL takes no more than 900"),
    ],
)
def test_a_path_that_is_too_long_is_refused_before_anything_is_made(tmp_path: Path, name: str, reason: str) -> None:
    with pytest.raises(DataDirUnusable, match=reason), hold(tmp_path / name):
        pytest.fail("held it")
    assert not list(tmp_path.iterdir())
    assert nearest_existing(tmp_path / name) == tmp_path


def test_where_a_link_leads_counts_for_its_length(tmp_path: Path) -> None:
    place = tmp_path.joinpath(*["n" * 250] * 4)
    place.mkdir(parents=True)
    (tmp_path / "short").symlink_to(place)
    with pytest.raises(DataDirUnusable, match="PostgreSQL takes no more than"), hold(tmp_path / "short"):
        pytest.fail("held it")


def test_two_can_not_hold_the_same_folder(tmp_path: Path) -> None:
    with hold(tmp_path):
        assert is_held(tmp_path)
        with pytest.raises(AlreadyRunning, match="another `cortexai up`"), hold(tmp_path):
            pytest.fail("held twice")
    assert not is_held(tmp_path)


@pytest.mark.parametrize("name", ["file", "file/below"])
def test_a_file_is_no_data_folder(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(DataDirUnusable, match="is not a folder"), hold(tmp_path / name):
        pytest.fail("held a file")


def test_a_place_that_can_not_be_written_is_refused() -> None:
    with pytest.raises(DataDirUnusable, match="can't be used"), hold(Path("/proc/nothing")):
        pytest.fail("held /proc")


@pytest.mark.parametrize("text", ["", "{", "[]", '{"jwt_secret_key": "x"}'])
def test_damaged_secrets_are_not_replaced(tmp_path: Path, text: str) -> None:
    (tmp_path / "secrets.json").write_text(text)
    with pytest.raises(DataDirUnusable, match="is damaged"), hold(tmp_path):
        pytest.fail("held a damaged folder")
    assert (tmp_path / "secrets.json").read_text() == text


def test_a_cluster_whose_password_is_lost_is_not_covered_up(tmp_path: Path) -> None:
    (tmp_path / "postgres" / "cluster").mkdir(parents=True)
    with pytest.raises(DataDirUnusable, match=r"secrets\.json is missing"), hold(tmp_path):
        pytest.fail("held a folder without its secrets")


def test_where_everything_runs_is_told_while_it_runs_and_without_secrets(tmp_path: Path) -> None:
    assert read_running(tmp_path) is None
    with hold(tmp_path) as data:
        assert read_running(tmp_path) is None
        data.publish(RUNNING)
        assert read_running(tmp_path) == (RUNNING, data.secrets)
        published = (tmp_path / "running.json").read_text()
        assert not any(secret in published for secret in json.loads((tmp_path / "secrets.json").read_text()).values())
    assert read_running(tmp_path) is None


def test_what_a_killed_launcher_published_does_not_count(tmp_path: Path) -> None:
    with hold(tmp_path) as data:
        data.publish(RUNNING)
        left = (tmp_path / "running.json").read_text()
    (tmp_path / "running.json").write_text(left)
    assert read_running(tmp_path) is None
