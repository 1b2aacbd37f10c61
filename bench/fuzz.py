"""Fuzzing: requests by the hundred thousand against a whole system, and odd texts by the million for all that reads one.

Requests are such as the OpenAPI document allows, forbids or does not foresee.

Some are asked with ids that exist, and those of admins by admins. Of each it checks that

* it is answered: within 30 seconds, and to the end,
* the answer is no server error, but for what a made-up data source does not answer,
* the document names its status and its media type,
* its body is as the document describes it.

A request that never reaches the API, because the client refuses it or can't connect, is no fault, but many of them are one.

Of each reader of texts (fields of bodies, queries and headers, ids of events, cursors, bodies) it checks that it returns a
value or refuses the text in its own way, that a value is stored and shown without a fault, and that what is read again is
read alike. All readers read the same texts of hypothesis's: `--readings` is how many readings that are, by all of them.

The readers of ids of events then read `--readings` texts each, which are such ids or nearly: made at random, since hypothesis
makes few of those. It is also checked that exactly the ids are read.

The exit code is 0 only when all of this held. A fault is printed with its seed, which makes the same requests again.
"""

import argparse
import os
import random
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Final

from system import database_url_of, running_system

from services.launcher.admins import make_admin
from tests.doubles.process import start_groq_double
from tests.support.fuzzing import Amounts, Findings, fuzz_as_admins, fuzz_as_user
from tests.support.odd_texts import READERS, READERS_OF_EVENTS, read_many, read_many_near_ids

AMOUNTS: Final = Amounts(allowed=2, forbidden=1, mutations=12)
"""Of each operation, for one seed: about 4,000 requests."""
BATCH: Final = 1_000
NEAR_IDS_OF_BATCH: Final = 50_000
SETTINGS: Final = {
    "USER_MAX_LIVE_GENERATIONS": "1000",
    "QUEUE_MAX_DEPTH": "100000",
    "BCRYPT_ROUNDS": "10",
    "OPERATIONS_MAX_PENDING": "1000",
    "LOGIN_BAD_TRIES_OF_NETWORK": "0",
}
"""All users come from one address, which tries wrong passwords too."""


def main() -> int:
    """Run it. The exit code is 1 where something was wrong."""
    options = _options()
    wrong = _texts(options) + (_requests(options) if options.requests else 0)
    return 1 if wrong else 0


def _texts(options: argparse.Namespace) -> int:
    """Have all texts read. Returns the number of faults."""
    batches = -(-options.readings // (BATCH * len(READERS)))
    near = -(-options.readings // NEAR_IDS_OF_BATCH)
    with ProcessPoolExecutor(options.processes) as pool:
        wrong = _read(options.seed, pool, read_many, batches, BATCH, len(READERS), "texts")
        of_events = len(READERS_OF_EVENTS)
        wrong += _read(options.seed, pool, read_many_near_ids, near, NEAR_IDS_OF_BATCH, of_events, "ids or nearly ids")
    return wrong


def _read(
    seed: int,
    pool: ProcessPoolExecutor,
    read: Callable[[int, int], dict[str, str]],
    batches: int,
    size: int,
    readers: int,
    what: str,
) -> int:
    began, faults = time.perf_counter(), dict[str, str]()
    seeds = range(seed, seed + batches)
    for one, found in zip(seeds, pool.map(read, seeds, [size] * batches), strict=True):
        faults |= {kind: f"seed {one}: {fault}" for kind, fault in found.items()}
    seconds = time.perf_counter() - began
    print(f"{batches * size:,} {what} for {readers} readers in {seconds:.0f} s, {len(faults)} faults", flush=True)
    _show(faults)
    return len(faults)


def _requests(options: argparse.Namespace) -> int:
    """Send all requests. Returns the number of faults.

    Those of admins, which may delete any user, are sent while no others are.
    """
    began, all_found = time.perf_counter(), Findings()
    os.environ.update(SETTINGS)
    with (
        start_groq_double() as groq_url,
        tempfile.TemporaryDirectory(prefix="cortexai-fuzz-") as folder,
        running_system(groq_url, Path(folder)) as base_url,
        ProcessPoolExecutor(options.processes) as pool,
    ):
        new_admin = partial(make_admin, database_url_of(Path(folder)))
        as_user = partial(fuzz_as_user, base_url, amounts=AMOUNTS)
        seed = options.seed
        while all_found.cases < options.requests:
            seeds = range(seed, seed + options.processes)
            asked = [pool.submit(as_user, seed=one) for one in seeds]
            for one, found in zip(seeds, [each.result() for each in asked], strict=True):
                _add(all_found, one, found)
            for one in seeds:
                found = fuzz_as_admins(base_url, seed=one, amounts=AMOUNTS, make_admin=new_admin)
                _add(all_found, one, found)
            seed = seeds.stop
            print(
                f"{all_found.cases:,} requests, {all_found.unsent:,} unsent, {len(all_found.faults)} faults, "
                f"{time.perf_counter() - began:.0f} s",
                flush=True,
            )
    print(", ".join(f"{status}: {count:,}" for status, count in sorted(all_found.statuses.items())))
    _show(all_found.faults)
    return len(all_found.faults)


def _add(all_found: Findings, seed: int, found: Findings) -> None:
    found.faults = {kind: f"seed {seed}: {fault}" for kind, fault in found.faults.items()}
    all_found.add(found)


def _show(faults: dict[str, str]) -> None:
    for kind, fault in faults.items():
        print(f"{kind}\n    {fault}")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=100_000, help="how many requests at least; 0 for none")
    parser.add_argument(
        "--readings",
        type=int,
        default=1_000_000,
        help="how many readings of odd texts, by all readers together; and by each reader of ids of events, of texts near one",
    )
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(2**31), help="the first seed")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    options = parser.parse_args()
    print(f"seed {options.seed}")
    return options


if __name__ == "__main__":
    sys.exit(main())
