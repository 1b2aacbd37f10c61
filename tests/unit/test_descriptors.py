"""The limit of open files: raised as far as it may be, and shared out."""

import resource
import subprocess
import sys

import pytest

from services.launcher.checks import open_files
from shared.descriptors import ENOUGH, connections_within, possible_limit
from shared.settings import Settings

RAISE = """
import resource
resource.setrlimit(resource.RLIMIT_NOFILE, ({soft}, {hard}))
from shared.descriptors import raise_limit
print(raise_limit(), resource.getrlimit(resource.RLIMIT_NOFILE))
"""


def settings(max_connections: int | None = None) -> Settings:
    return Settings.load(
        _env_file=None,
        database_url="postgresql://localhost/x",
        redis_url="redis://localhost",
        max_connections=max_connections,
    )


@pytest.mark.parametrize(("soft", "hard", "raised"), [(100, 900, 900), (899, 900, 900)])
def test_a_process_raises_its_limit_to_what_it_may_have(soft: int, hard: int, raised: int) -> None:
    limited = [sys.executable, "-c", RAISE.format(soft=soft, hard=hard)]
    done = subprocess.run(limited, capture_output=True, text=True, check=True)
    assert done.stdout == f"{raised} ({raised}, {hard})\n"


def test_clients_get_what_the_others_leave() -> None:
    assert connections_within(1024, 10) == 886
    assert connections_within(100, 200) > 0
    assert connections_within(1_048_576, 10) == connections_within(ENOUGH, 10)


def test_the_doctor_tells_how_many_clients_may_connect() -> None:
    most = connections_within(possible_limit(), 10)
    found = open_files(settings())
    assert (found.state, str(most) in found.detail) == ("ok" if most >= 500 else "note", True)
    found = open_files(settings(max_connections=300))
    assert "up to 300 connections" in found.detail
    if resource.getrlimit(resource.RLIMIT_NOFILE)[1] < 1_000_000:
        assert open_files(settings(max_connections=1_000_000)).state == "note"
