"""Everything dies, again and again, while people talk: what was lost, doubled, mismatched or stuck? See README.md."""

import argparse
import asyncio
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Final

import aiohttp
import uvloop
from chaos_faults import EVERY, Faults
from chaos_load import Load
from chaos_readers import SILENCE_SECONDS
from chaos_response_verdict import judge_responses
from chaos_responses import Responses, summary
from chaos_system import ChaosSystem
from chaos_verdict import Verdict, blame, judge, print_verdict

from tests.doubles.process import start_groq_double

SETTLE_SECONDS: Final = 90.0
"""After the last fault, readers have so long to come to their end."""
REPORT_SECONDS: Final = 30.0


def main() -> int:
    """Run; returns 1 when a promise was broken."""
    options = _options()
    folder = Path(tempfile.mkdtemp(prefix="cortexai-chaos-"))
    with start_groq_double() as groq_url:
        verdict = uvloop.run(_run(options, folder, groq_url))
    if verdict is None:
        return 2
    print_verdict(verdict)
    if verdict.is_kept:
        shutil.rmtree(folder, ignore_errors=True)
        return 0
    print(f"the processes' logs are in {folder}")
    return 1


async def _run(options: argparse.Namespace, folder: Path, groq_url: str) -> Verdict | None:
    running = asyncio.current_task()
    if running is not None:
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, running.cancel)
    system = ChaosSystem(folder, groq_url)
    try:
        await system.start()
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=5, sock_read=SILENCE_SECONDS)
        connector = aiohttp.TCPConnector(limit=0, force_close=True)
        async with aiohttp.ClientSession(timeout=timeout, connector=connector) as http:
            rng = random.Random(options.seed)  # noqa: S311 - a schedule is no secret
            load = Load(http, [api.url for api in system.apis], rng, has_manners=options.manners)
            every = {kind: options.every or EVERY[kind] for kind in options.only or EVERY}
            faults = Faults(system, random.Random(options.seed + 1), every)  # noqa: S311 - likewise
            return await _storm(options, load, faults)
    except asyncio.CancelledError:
        return None
    finally:
        await system.stop()


async def _storm(options: argparse.Namespace, load: Load, faults: Faults) -> Verdict:
    """Load and faults together, then quiet, then the reckoning."""
    until = time.monotonic() + options.minutes * 60
    responses = Responses(load)
    at_responses = round(options.users * options.responses)
    kinds = [responses.user] * at_responses + [load.user] * (options.users - at_responses)
    users = [asyncio.create_task(user(until)) for user in kinds]
    reporting = asyncio.create_task(_report(load, responses, faults))
    try:
        await faults.run(options.minutes * 60)
        _, late = await asyncio.wait(users, timeout=SETTLE_SECONDS)
        for task in late:
            task.cancel()
        for task in users:
            with suppress(asyncio.CancelledError):
                await task
        verdict = await judge(load, faults)
        await judge_responses(verdict, responses, faults)
        blame(verdict, [*load.silences(), *responses.silences()], faults)
        return verdict
    finally:
        reporting.cancel()


async def _report(load: Load, responses: Responses, faults: Faults) -> None:
    begin = time.monotonic()
    while True:
        await asyncio.sleep(REPORT_SECONDS)
        over = sum(bool(turn.views) and turn.views[0].done for turn in load.turns)
        wrong = sum(len(view.wrong) for turn in load.turns for view in turn.views)
        of_responses = ", ".join(f"{count} {name}" for name, count in summary(responses).items())
        kinds = ", ".join(f"{kind} {count}" for kind, count in Counter(k for k, _, _ in faults.happened).items())
        print(
            f"{time.monotonic() - begin:6.0f} s: {len(load.turns)} accepted, {over} answered, {wrong} wrong; "
            f"responses: {of_responses}; {kinds}",
            flush=True,
        )


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=2, help="how long load and faults last")
    parser.add_argument("--only", action="append", choices=EVERY, help="only faults of this kind; may be repeated")
    parser.add_argument("--every", type=float, help="mean seconds between two faults of a kind")
    parser.add_argument("--users", type=int, default=12, help="users, each with one conversation at a time")
    parser.add_argument("--responses", type=float, default=1 / 3, help="the share of users who ask at /v1/responses")
    parser.add_argument("--seed", type=int, default=1, help="of the load and of the faults' schedule")
    parser.add_argument(
        "--manners", action="store_true", help="the model thinks first, refuses prefill, repeats itself and breaks off"
    )
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
