"""Clients of the stream as their registries have them: npm packages, and programs of this folder in other languages."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.clients.programs import Program
from tests.integration.conftest import api, chat, client, connect, noted, sent, worker
from tests.support.tools import install_packages, made_once, run_tool, tool

__all__ = ["api", "chat", "client", "connect", "noted", "sent", "worker"]

HERE = Path(__file__).parent
DOCUMENTED = HERE.parents[1] / "docs" / "clients"


def _make_node_folder(folder: Path) -> None:
    for file in [*(HERE / "node").iterdir(), *DOCUMENTED.glob("*.[jt]s"), DOCUMENTED / "eventsource.md"]:
        if file.is_file():
            shutil.copy(file, folder)
    install_packages(folder)
    compiler = [tool("node"), "node_modules/typescript/bin/tsc", "--strict", "--target", "es2022", "--module", "es2022"]
    run_tool(folder, [*compiler, "--lib", "es2022,dom", "fetch.ts"])


@pytest.fixture(scope="session")
def node_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The node programs and those of docs/clients, beside the packages that the lock in tests/clients/node names."""
    tool("node")
    return made_once(tmp_path_factory, "node", _make_node_folder)


@pytest.fixture(scope="session")
def node(node_folder: Path) -> Callable[[str], Program]:
    """Makes programs of the scripts in tests/clients/node."""
    return lambda script: Program((tool("node"), script), node_folder)


def _build_go_scanner(folder: Path) -> None:
    run_tool(folder, [tool("go"), "build", "-o", "scan", str(HERE / "go" / "scan.go")])


@pytest.fixture(scope="session")
def go_scanner(tmp_path_factory: pytest.TempPathFactory) -> Program:
    """The program in tests/clients/go."""
    folder = made_once(tmp_path_factory, "go", _build_go_scanner)
    return Program((str(folder / "scan"),), folder)
