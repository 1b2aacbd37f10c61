"""Programs that are no Python, and are clients of the stream."""

import asyncio
import os
import subprocess
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

PATIENCE = 60
"""Seconds that a program may take."""
MAX_LINE = 32 * 1024 * 1024


@dataclass(frozen=True)
class Running:
    """A program that runs. It is told what to do by lines, and prints what it has got."""

    process: asyncio.subprocess.Process

    async def tell(self, line: str) -> None:
        """Give it a line."""
        assert self.process.stdin is not None
        self.process.stdin.write(f"{line}\n".encode())
        await self.process.stdin.drain()

    async def lines(self) -> AsyncIterator[str]:
        """What it prints, until its end, which has to be a good one."""
        assert self.process.stdout is not None
        assert self.process.stderr is not None
        async for line in self.process.stdout:
            yield line.decode().removesuffix("\n")
        errors = await self.process.stderr.read()
        assert await self.process.wait() == 0, errors.decode()[-4000:]


@dataclass(frozen=True)
class Program:
    """A client program: a command, the folder that it runs in, and what is added to its environment."""

    command: Sequence[str]
    folder: Path
    env: Mapping[str, str] = field(default_factory=dict)

    @asynccontextmanager
    async def running(self, *arguments: str) -> AsyncIterator[Running]:
        """Run the program. It is killed when the context is left, or when it takes too long."""
        process = await asyncio.create_subprocess_exec(
            *self.command,
            *arguments,
            cwd=self.folder,
            env={**os.environ, **self.env},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            limit=MAX_LINE,
        )
        try:
            async with asyncio.timeout(PATIENCE):
                yield Running(process)
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()

    async def run(self, *arguments: str, lines: Sequence[str] = ()) -> list[str]:
        """Run the program to its end, with these lines as its input. Returns the lines that it has printed."""
        async with self.running(*arguments) as running:
            stdin = running.process.stdin
            assert stdin is not None
            stdin.write("".join(f"{line}\n" for line in lines).encode())
            await stdin.drain()
            stdin.close()
            return [line async for line in running.lines()]
