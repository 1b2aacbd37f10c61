"""The AI SDK's packages from their registry, and a chat of theirs that a test tells what to do."""

import asyncio
import json
import shutil
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.support.tools import install_packages, made_once, run_tool, tool

PROGRAMS = Path(__file__).parent.parent / "clients" / "ai_sdk"
PAGE = Path(__file__).parents[2] / "docs" / "clients" / "usechat.jsx"
VERSIONS = ("sdk5-oldest", "sdk5-newest", "sdk6-oldest", "sdk6-newest", "sdk7-oldest", "sdk7-newest")
"""The aliases in tests/clients/ai_sdk/package.json."""
PATIENCE = 30
"""Seconds for the SDK to do one thing."""
MAX_LINE = 16 * 1024 * 1024


def _install(folder: Path) -> None:
    for file in (PAGE, *PROGRAMS.iterdir()):
        if file.is_file():
            shutil.copy(file, folder)
    install_packages(folder)


def installed(factory: pytest.TempPathFactory) -> Path:
    """The folder with the programs, beside the packages that their lock names."""
    tool("node")
    return made_once(factory, "ai_sdk", _install)


@dataclass(frozen=True)
class SdkProgram:
    """A chat of the SDK that runs in node (tests/clients/ai_sdk/chat.mjs)."""

    process: asyncio.subprocess.Process

    async def do(self, command: str, **arguments: Any) -> dict[str, Any]:  # noqa: ANN401
        """Do something. Returns what the page shows then: its status, its error, its messages."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        assert self.process.stderr is not None
        self.process.stdin.write(json.dumps({"do": command, **arguments}).encode() + b"\n")
        try:
            async with asyncio.timeout(PATIENCE):
                line = await self.process.stdout.readline()
        except TimeoutError:
            raise AssertionError(f"{command} {arguments} took too long") from None
        assert line, (await self.process.stderr.read()).decode()[-4000:]
        shown: dict[str, Any] = json.loads(line)
        return shown


@asynccontextmanager
async def running(folder: Path, version: str, url: str, token: str) -> AsyncIterator[SdkProgram]:
    """Run a chat of this version of the SDK."""
    command = (tool("node"), "chat.mjs", version, url, token)
    process = await asyncio.create_subprocess_exec(
        *command, cwd=folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, limit=MAX_LINE
    )
    try:
        yield SdkProgram(process)
    finally:
        process.kill()
        await process.wait()


def bundle(folder: Path, version: str) -> str:
    """The page in docs/clients with this version of the SDK, as one script."""
    command = [
        *(tool("node"), "node_modules/esbuild/bin/esbuild", PAGE.name, "--bundle", "--format=esm", "--jsx=automatic"),
        *(
            "--minify",
            "--target=es2022",
            f"--alias:@ai-sdk/react={version}",
            '--define:process.env.NODE_ENV="production"',
        ),
    ]
    return run_tool(folder, command)
