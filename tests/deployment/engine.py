"""The Docker engine, by its command line."""

import asyncio
import os
import re
import shutil
import signal
from asyncio.subprocess import DEVNULL, PIPE, STDOUT
from collections.abc import Mapping
from pathlib import Path

ANSWER_SECONDS = 20.0
OLDEST_ENGINE = (25, 0)
OLDEST_COMPOSE = (2, 20)


class CommandFailed(AssertionError):
    """A command ended with an error, or took too long; what it said is part of the message."""


class Lacking(Exception):
    """The engine, or a tool that is needed with it, is not there."""


async def run(
    *command: str,
    within: float,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    stdin: Path | None = None,
) -> str:
    """Run a command. Returns what it said, on both outputs.

    It has `within` seconds. It is ended with all its children when time is up, or when the caller is cancelled.

    Raises:
        CommandFailed: it did not succeed in time.

    """
    source = stdin.open("rb") if stdin else None
    try:
        process = await asyncio.create_subprocess_exec(
            *command, cwd=cwd, env=env, stdin=source or DEVNULL, stdout=PIPE, stderr=STDOUT, start_new_session=True
        )
    finally:
        if source:
            source.close()
    try:
        async with asyncio.timeout(within):
            said, _ = await process.communicate()
    except TimeoutError as error:
        raise CommandFailed(f"{' '.join(command)} took more than {within:.0f} s") from error
    finally:
        if process.returncode is None:
            os.killpg(process.pid, signal.SIGKILL)
            await process.wait()
    words = said.decode(errors="replace")
    if process.returncode:
        raise CommandFailed(f"{' '.join(command)} ended with {process.returncode}:\n{words[-4000:]}")
    return words


async def docker(*arguments: str, within: float = 60) -> str:
    """Run a command of Docker's."""
    return await run("docker", *arguments, within=within)


async def succeeds(*arguments: str, within: float = ANSWER_SECONDS) -> bool:
    """Whether a command of Docker's does."""
    try:
        await docker(*arguments, within=within)
    except CommandFailed:
        return False
    return True


async def check() -> None:
    """Return when an engine answers that can do what the compose file asks for.

    Raises:
        Lacking: says what is missing.

    """
    if shutil.which("docker") is None:
        raise Lacking("there is no Docker here")
    try:
        engine = await docker("version", "--format", "{{.Server.Version}}", within=ANSWER_SECONDS)
    except CommandFailed as error:
        raise Lacking("no Docker engine answers") from error
    _is_recent("the Docker engine", engine, OLDEST_ENGINE)
    if not await succeeds("buildx", "version"):
        raise Lacking("a Docker engine answers, but docker has no plugin buildx")
    if not await succeeds("compose", "version"):
        raise Lacking("a Docker engine answers, but docker has no plugin compose")
    _is_recent("Docker Compose", await docker("compose", "version", "--short"), OLDEST_COMPOSE)


def _is_recent(name: str, version: str, oldest: tuple[int, int]) -> None:
    found = re.search(r"(\d+)\.(\d+)", version)
    if found is None or (int(found[1]), int(found[2])) < oldest:
        raise Lacking(f"{name} is {version.strip()}, and {oldest[0]}.{oldest[1]} is needed")
