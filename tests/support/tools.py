"""What tests need besides Python packages: programs of the machine, and folders with what they have made."""

import fcntl
import os
import shutil
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

import pytest

INSTALL_WITHIN: Final = 300
"""Seconds that npm or a compiler may take."""


def tool(*names: str, environ: Mapping[str, str] = os.environ) -> str:
    """The path of a program, which has one of these names. Without it the test is skipped, but with CI set it fails."""
    for name in names:
        if path := shutil.which(name, path=environ.get("PATH", "")):
            return path
    reason = f"{' or '.join(names)} is not installed (scripts/install-test-tools)"
    if environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)


def run_tool(folder: Path, command: Sequence[str]) -> str:
    """Run a command in a folder, to a good end. Returns what it prints."""
    done = subprocess.run(command, cwd=folder, capture_output=True, timeout=INSTALL_WITHIN, check=False)
    assert done.returncode == 0, (done.stdout + done.stderr).decode()
    return done.stdout.decode()


def install_packages(folder: Path) -> None:
    """Have npm install what the lock in this folder names."""
    run_tool(folder, [tool("npm"), "ci", "--ignore-scripts", "--no-progress", "--prefer-offline"])


def made_once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], None]) -> Path:
    """A folder for all processes of the test run. The first one that asks for it makes it, and the others wait."""
    base = factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / name
    with Path(f"{folder}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.exists():
            unfinished = Path(f"{folder}.unfinished")
            shutil.rmtree(unfinished, ignore_errors=True)
            unfinished.mkdir()
            make(unfinished)
            unfinished.rename(folder)
    return folder
