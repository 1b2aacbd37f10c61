"""A process that outlives the launcher and ends what the launcher left behind. Uses the standard library only.

Why a process: PR_SET_PDEATHSIG is bound to a thread, is cleared when credentials change (which is how PostgreSQL is
started by root) and does not reach grandchildren. The end of a pipe is none of that: the kernel closes it however the
launcher dies.

Run as `python -I -S guardian.py MARKER POLITE_SECONDS`. Standard input has one line for each change: `+ PID SIGNAL` for
a process that started (SIGNAL asks it to leave), `- PID` for one that was reaped. At its end, all that was started and
not reaped is ended: these processes, their groups, their descendants, and every process whose environment holds MARKER
(a child that was started but not yet told of). What has not left POLITE_SECONDS later is killed. An inherited lock
stays taken until all of them are gone.
"""

import os
import signal
import sys
import time
from typing import Final, NamedTuple

FORCED_SECONDS: Final = 5.0
POLL_SECONDS: Final = 0.05


class Seen(NamedTuple):
    """A process at one moment. A pid with another start time is another process."""

    pid: int
    started: str
    parent: int
    group: int


def look(pid: int) -> Seen | None:
    """Read a process from /proc; None when it is gone or only waits to be reaped."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:  # noqa: PTH123 — pathlib doubles this program's start time
            fields = file.read().rpartition(b")")[2].split()
    except OSError:
        return None
    if fields[0] in {b"Z", b"X"}:
        return None
    return Seen(pid, fields[19].decode(), int(fields[1]), int(fields[2]))


def carries(pid: int, marker: bytes) -> bool:
    """Whether the process was started with this marker in its environment."""
    try:
        with open(f"/proc/{pid}/environ", "rb") as file:  # noqa: PTH123
            return marker in file.read()
    except OSError:
        return False


def everything() -> list[Seen]:
    """All living processes."""
    return [seen for name in os.listdir("/proc") if name.isdigit() and (seen := look(int(name)))]  # noqa: PTH208


def find(recorded: dict[int, str], known: set[Seen], marker: bytes) -> set[Seen]:
    """All living processes that the launcher is responsible for.

    `known` is what was found before: PostgreSQL's backends lead their own sessions, so that once their parent is dead
    nothing else tells whose they are.
    """
    alive = everything()
    same = {(seen.pid, seen.started) for seen in known}
    found = {
        seen
        for seen in alive
        if (seen.pid, seen.started) in same
        or recorded.get(seen.pid) == seen.started
        or seen.group in recorded
        or carries(seen.pid, marker)
    }
    while True:
        parents = {seen.pid for seen in found}
        more = {seen for seen in alive if seen.parent in parents} - found
        if not more:
            return {seen for seen in found if seen.pid != os.getpid()}
        found |= more


def send(pid: int, number: int) -> None:
    """Signal a process that may be gone."""
    try:
        os.kill(pid, number)
    except (ProcessLookupError, PermissionError):
        return


def end(recorded: dict[int, str], signals: dict[int, int], marker: bytes, polite_seconds: float) -> None:
    """Ask everything to leave, then force what stays for longer than `polite_seconds`."""
    known = find(recorded, set(), marker)
    children = {seen.pid for seen in known if seen.parent in {other.pid for other in known}}
    for seen in known:
        if seen.pid in signals or seen.pid not in children:
            send(seen.pid, signals.get(seen.pid, signal.SIGTERM))
    deadline = time.monotonic() + polite_seconds
    while known and time.monotonic() < deadline + FORCED_SECONDS:
        if time.monotonic() >= deadline:
            for seen in known:
                send(seen.pid, signal.SIGKILL)
        time.sleep(POLL_SECONDS)
        known = find(recorded, known, marker)


def main(marker: str, polite_seconds: float) -> None:
    """Follow the launcher's lines until it is gone."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    recorded: dict[int, str] = {}
    signals: dict[int, int] = {}
    for line in sys.stdin.buffer:
        verb, *numbers = line.split()
        pid = int(numbers[0])
        if verb == b"+":
            seen = look(pid)
            recorded[pid] = seen.started if seen else ""
            signals[pid] = int(numbers[1])
        else:
            recorded.pop(pid, None)
            signals.pop(pid, None)
    end(recorded, signals, marker.encode(), polite_seconds)


if __name__ == "__main__":
    main(sys.argv[1], float(sys.argv[2]))
