"""PostgreSQL refuses to run as root. This finds the account that it can run under instead."""

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from services.launcher.errors import CannotStart
from services.launcher.program import Program

NOBODY: Final = 65534
PROBE_SECONDS: Final = 10.0
USER_NAMESPACE: Final = ("unshare", "--user", f"--map-user={NOBODY}", f"--map-group={NOBODY}", "--")
DAC_OVERRIDE: Final = (
    "setpriv",
    f"--reuid={NOBODY}",
    f"--regid={NOBODY}",
    "--clear-groups",
    "--inh-caps=+dac_override",
    "--ambient-caps=+dac_override",
    "--",
)


@dataclass(frozen=True, slots=True)
class Account:
    """Whose process a server is.

    `prefix` comes before its command, `uid` is what `Popen` changes to (None: not at all), `owner` must own its files.
    """

    prefix: tuple[str, ...]
    uid: int | None
    owner: int


def candidates() -> tuple[Account, ...]:
    """The accounts to try, the best first.

    Root appears as another user inside a user namespace and keeps its access to its own files. Where namespaces are
    blocked (most containers) `nobody` does, if it can reach the files; the last one gives it a capability for that.
    """
    own = os.geteuid()
    if own != 0:
        return (Account((), None, own),)
    return (
        Account(USER_NAMESPACE, None, own),
        Account((), NOBODY, NOBODY),
        Account(DAC_OVERRIDE, None, NOBODY),
    )


def choose_account(executable: Path, directory: Path) -> Account:
    """Find the first account that can enter `directory` (where its own folder is, or will be) and run `executable`.

    Raises:
        CannotStart: there is none.

    """
    for account in candidates():
        if works(account, executable, directory):
            return account
    raise CannotStart(
        f"PostgreSQL does not run as root, and no other account can run {executable} in {directory}: "
        "start as an ordinary user, or make both folders reachable for everybody (chmod o+x)"
    )


def works(account: Account, executable: Path, directory: Path) -> bool:
    """Whether the account can enter `directory` and run `executable`."""
    if account.prefix == DAC_OVERRIDE and not works(Account((), NOBODY, NOBODY), executable, Path("/")):
        # The capability opens folders, but initdb looks for its neighbours with access(2), which knows no capabilities.
        return False
    shell = ("/bin/sh", "-c", 'cd "$1" && exec "$2" --version', "sh", str(directory), str(executable))
    program = Program((*account.prefix, *shell), uid=account.uid)
    try:
        probe = subprocess.run(  # noqa: S603
            program.argv,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=PROBE_SECONDS,
            check=False,
            **program.credentials(),
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return probe.returncode == 0


def give(directory: Path, owner: int) -> None:
    """Make the folder and what is in it belong to `owner`; nothing is done where it already does."""
    if os.geteuid() != 0 or directory.stat().st_uid == owner:
        return
    for parent, folders, files in os.walk(directory):
        for name in (*folders, *files):
            os.chown(Path(parent, name), owner, owner, follow_symlinks=False)
    # The folder itself comes last: its owner says whether the rest was done.
    os.chown(directory, owner, owner)
