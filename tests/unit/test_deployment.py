"""The proof of the deployment, as far as it can be seen without an engine."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.deployment import documented
from tests.deployment.base_images import names

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(("options", "code"), [([], 1), (["--if-possible"], 0)])
def test_without_docker_a_line_says_so(options: list[str], code: int, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.deployment", *options]
    environment = {**os.environ, "PATH": str(tmp_path)}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    told = "compose is not proved here: there is no Docker here\n"
    assert (done.returncode, done.stdout, done.stderr) == (code, told, "")


def test_the_base_images_are_read_from_where_they_are_pinned() -> None:
    assert [name.partition(":")[0] for name in names().all()] == ["python", "postgres", "valkey/valkey"]


def test_an_upgrade_migrates_first_and_replaces_the_api_apart_from_the_workers() -> None:
    commands = documented.commands("Upgrade")
    assert commands[0] == "git pull"
    assert commands[1:] == [
        "docker compose build",
        "docker compose run --rm migrate",
        "docker compose up --detach --wait api",
        "docker compose up --detach --wait",
    ]
