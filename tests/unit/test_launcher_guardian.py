import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from services.launcher.data_dir import hold, is_held
from services.launcher.guard import Guard

# A child that ignores what asks it to leave, with a child of its own in another session, as PostgreSQL's backends are.
CHILD = """
import os, signal, sys
signal.signal(signal.SIGTERM, signal.SIG_IGN)
if os.fork() == 0:
    os.setsid()
os.write(1, f"{os.getpid()}\\n".encode())  # in one piece: both write to the same pipe
while True:
    signal.pause()
"""
LAUNCHER = """
import os, signal, subprocess, sys
from pathlib import Path
from services.launcher.data_dir import hold
from services.launcher.guard import Guard
told, child = sys.argv[2] == "told", sys.argv[3]
with hold(Path(sys.argv[1])) as data, Guard(inherit=(data.guard_lock,), polite_seconds=1) as guard:
    process = subprocess.Popen([sys.executable, "-c", child], env={**os.environ, **guard.marker}, start_new_session=True)
    if told:
        guard.watch(process.pid, signal.SIGTERM)
    signal.pause()
"""


@contextmanager
def launched(folder: Path, how: str) -> Iterator[tuple[subprocess.Popen[str], set[int]]]:
    """A launcher with its child and grandchild. Yields it, and their process numbers."""
    with subprocess.Popen(
        [sys.executable, "-c", LAUNCHER, str(folder), how, CHILD], stdout=subprocess.PIPE, text=True
    ) as launcher:
        try:
            assert launcher.stdout is not None
            yield launcher, {int(launcher.stdout.readline()), int(launcher.stdout.readline())}
        finally:
            launcher.kill()


def test_nothing_outlives_a_launcher_that_is_killed(tmp_path: Path) -> None:
    with launched(tmp_path, "told") as (launcher, pids):
        launcher.kill()
        assert eventually(lambda: not any(map(is_alive, pids)), seconds=10)


def test_a_child_that_the_guardian_was_not_told_of_is_found_by_its_marker(tmp_path: Path) -> None:
    with launched(tmp_path, "untold") as (launcher, pids):
        launcher.kill()
        assert eventually(lambda: not any(map(is_alive, pids)), seconds=10)


def test_the_data_folder_is_free_again_only_when_everything_of_a_killed_launcher_is_gone(tmp_path: Path) -> None:
    with launched(tmp_path, "told") as (launcher, pids):
        launcher.kill()
        launcher.wait()
        assert not is_held(tmp_path)
        with hold(tmp_path):
            assert not any(map(is_alive, pids))


def test_closing_it_ends_what_is_still_watched() -> None:
    with subprocess.Popen([sys.executable, "-c", CHILD], stdout=subprocess.PIPE, start_new_session=True) as child:
        assert child.stdout is not None
        pids = {int(child.stdout.readline()), int(child.stdout.readline())}
        with Guard(polite_seconds=1) as guard:
            guard.watch(child.pid, signal.SIGTERM)
        assert not any(map(is_alive, pids))


def test_what_was_reaped_is_not_looked_at_again() -> None:
    with subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"], start_new_session=True) as child:
        with Guard() as guard:
            guard.watch(child.pid, signal.SIGTERM)
            guard.forget(child.pid)
        assert child.poll() is None
        child.kill()


def test_a_guardian_that_was_killed_is_replaced_and_told_everything() -> None:
    with subprocess.Popen([sys.executable, "-c", CHILD], stdout=subprocess.PIPE, start_new_session=True) as child:
        with Guard(polite_seconds=1) as guard:
            guard.watch(child.pid, signal.SIGTERM)
            guard._process.kill()
            guard._process.wait()
            assert guard.renew()
        assert not is_alive(child.pid)


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in {"Z", "X"}
    except OSError:
        return False


def eventually(check: Callable[[], bool], *, seconds: float) -> bool:
    """Poll: processes of somebody else's announce nothing."""
    deadline = time.monotonic() + seconds
    while not check():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True
