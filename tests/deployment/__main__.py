"""`scripts/prove-compose`: prove the deployment, and leave nothing behind."""

import argparse
import asyncio
import signal
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Final

from tests.deployment import base_images, engine
from tests.deployment.engine import CommandFailed, Lacking
from tests.deployment.stack import OURS, Stack
from tests.deployment.steps import STEPS
from tests.support.readers import user_of

PROOF_SECONDS: Final = 600.0
LAST_LINES: Final = "20"
SKIPPED: Final = "compose is not proved here: {}"


async def prove(folder: Path) -> None:
    """Bring a stack up, as docs/operations.md says, and take every step on it."""
    stand_ins: list[str] = []
    stack = Stack(folder / "cortexai")
    proved = False
    try:
        stand_ins = await base_images.provide(folder)
        _tell(f"base images: {'stand-ins for ' + ', '.join(stand_ins) if stand_ins else 'the real ones'}")
        await stack.prepare()
        await _bring_up(stack)
        async with user_of(stack.url) as user:
            for step in STEPS:
                began = time.monotonic()
                await step(stack, user)
                _tell(f"{step.__name__.replace('_', ' ')}: {time.monotonic() - began:.1f} s")
        proved = True
    finally:
        if not proved:
            await _show_last_words(stack)
        await stack.remove()
        await base_images.remove(stand_ins)


async def _bring_up(stack: Stack) -> None:
    began = time.monotonic()
    await stack.shell("docker compose up --build --detach --wait")
    await stack.start_model()
    _tell(f"the stack is built and up: {time.monotonic() - began:.1f} s")


async def _show_last_words(stack: Stack) -> None:
    """What the containers wrote last, for whoever has to find out why a step failed."""
    if stack.is_prepared:
        with suppress(CommandFailed):
            _tell(await stack.compose("logs", "--no-color", "--tail", LAST_LINES, *OURS))


def _tell(line: str) -> None:
    print(line, flush=True)  # noqa: T201 - a person reads this


async def main(*, if_possible: bool) -> int:
    """Prove it within its time. Returns the exit code."""
    began = time.monotonic()
    proving = asyncio.current_task()
    if proving is not None:
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, proving.cancel)
    try:
        await engine.check()
        with tempfile.TemporaryDirectory(prefix="cortexai-proof-") as folder:
            async with asyncio.timeout(PROOF_SECONDS):
                await prove(Path(folder))
    except Lacking as lacking:
        _tell(SKIPPED.format(lacking))
        return 0 if if_possible else 1
    _tell(f"compose is proved in {time.monotonic() - began:.0f} s")
    return 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        prog="scripts/prove-compose", description="Proves the deployment on a Docker engine."
    )
    parser.add_argument("--if-possible", action="store_true", help="what is lacking is told in a line, and no failure")
    sys.exit(asyncio.run(main(if_possible=parser.parse_args().if_possible)))
