"""Many concurrent streams through the whole system; every token is checked. See README.md."""

import argparse
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from typing import Final
from urllib.parse import urlsplit

import uvloop
from chatgroq import read_with_chatgroq
from figures import Figures, figures, print_table
from reading import Reading, read
from recording import Target, record_all
from system import SystemFailed, cpu_seconds, cpu_seconds_since, open_chats, running_system

from tests.doubles.process import start_groq_double

MAX_STREAMS: Final = 5_000
MAX_TOKENS: Final = 5_000_000
SPARE_SECONDS: Final = 60.0
"""How long a stream may take beyond what its tokens take by their rate."""


def main() -> int:
    """Measure and print; returns 1 when anything was lost, doubled, reordered or not ended well, 2 when nothing ran."""
    options = _options()
    try:
        with _subject(options) as base_url:
            runs = list(_runs(options, base_url))
    except SystemFailed as error:
        print(error, file=sys.stderr)
        return 2
    if options.json:
        print(json.dumps([run.as_json() for run in runs], indent=2))
    else:
        print_table(runs)
    return 0 if all(run.complete == run.streams for run in runs) else 1


@contextmanager
def _subject(options: argparse.Namespace) -> Iterator[str]:
    """Yield the base URL of what is measured; starts it when none was given."""
    if options.base_url:
        yield options.base_url
        return
    with (
        start_groq_double() as groq_url,
        nullcontext(groq_url) if options.direct else running_system(groq_url) as base_url,
    ):
        yield base_url


def _runs(options: argparse.Namespace, base_url: str) -> Iterator[Figures]:
    name = {"": "cortexai", "wire": "double", "chatgroq": "ChatGroq"}[options.direct]
    if options.sequential:
        loads = [_load(options, base_url, [0.0]) for _ in range(options.sequential)]
        readings = [reading for load, _ in loads for reading in load]
        parts = {part for _, cpu in loads for part in cpu}
        total = {part: sum(cpu.get(part, 0.0) for _, cpu in loads) for part in parts}
        yield figures(f"{name}, one by one", readings, delay=options.delay, rate=options.rate, cpu=total)
        return
    starts = [at / options.ramp if options.ramp else 0.0 for at in range(options.streams)]
    for number in range(1, options.repeat + 1):
        readings, used = _load(options, base_url, starts)
        yield figures(f"{name} {number}", readings, delay=options.delay, rate=options.rate, cpu=used)


def _load(
    options: argparse.Namespace, base_url: str, starts: Sequence[float]
) -> tuple[list[Reading], Mapping[str, float]]:
    """Run one stream per start (seconds from now); returns what was read, and the CPU seconds used meanwhile."""
    content = f"[[tokens={options.tokens} rate={options.rate:g} delay={options.delay:g} stamp=1]]"
    if options.direct == "chatgroq":
        return uvloop.run(read_with_chatgroq(base_url, content, starts, options.tokens))
    targets = _targets(options, base_url, content, starts)
    paced = options.tokens / options.rate if options.rate else 0.0
    before = cpu_seconds()
    recordings = uvloop.run(record_all(targets, options.delay + paced + SPARE_SECONDS))
    used = cpu_seconds_since(before)
    return [read(recording, options.tokens, direct=bool(options.direct)) for recording in recordings], used


def _targets(options: argparse.Namespace, base_url: str, content: str, starts: Sequence[float]) -> list[Target]:
    address = urlsplit(base_url)
    host, port = address.hostname or "127.0.0.1", address.port or 80
    if options.direct:
        body = {"model": "bench", "stream": True, "messages": [{"role": "user", "content": content}]}
        return [Target(host, port, "/openai/v1/chat/completions", "bench", body, after) for after in starts]
    chats = open_chats(base_url, len(starts), options.users)
    return [
        Target(host, port, f"/api/chats/{chat_id}/messages", token, {"content": content}, after)
        for (chat_id, token), after in zip(chats, starts, strict=True)
    ]


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--streams", type=int, default=100, help="concurrent streams")
    parser.add_argument("--rate", type=float, default=20, help="tokens per second and stream; 0: as fast as possible")
    parser.add_argument("--tokens", type=int, default=100, help="tokens per stream")
    parser.add_argument("--delay", type=float, default=0, help="seconds that the double waits before its first token")
    parser.add_argument("--ramp", type=float, default=0, help="arrivals per second; 0: all at once")
    parser.add_argument("--repeat", type=int, default=1, help="runs, one after another")
    parser.add_argument("--sequential", type=int, default=0, metavar="N", help="N streams, one at a time, instead")
    parser.add_argument("--users", type=int, default=4, help="accounts that the chats are spread over")
    parser.add_argument("--base-url", default="", help="measure what runs there (it must talk to a Groq double)")
    parser.add_argument(
        "--direct",
        nargs="?",
        const="wire",
        default="",
        choices=["wire", "chatgroq"],
        help="the floor: straight from the double, with this script's client or with ChatGroq",
    )
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    options = parser.parse_args()
    if not 1 <= options.streams <= MAX_STREAMS or not 1 <= options.streams * options.tokens <= MAX_TOKENS:
        parser.error(f"at most {MAX_STREAMS} streams and {MAX_TOKENS} tokens")
    return options


if __name__ == "__main__":
    sys.exit(main())
