"""The OpenMP runtime that the local model is linked against. Slim images lack it; another wheel brings one along."""

import ctypes
import os
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Final

LIBRARY: Final = "libgomp.so.1"

# Threads that wait actively would take the processor from the rest of the system.
QUIET_THREADS: Final[Mapping[str, str]] = {"OMP_WAIT_POLICY": "passive", "GOMP_SPINCOUNT": "0"}


def openmp_environment(folder: Path, library: str = LIBRARY) -> dict[str, str]:
    """What a process that uses OpenMP needs in its environment.

    `folder` is for a link to the runtime, if need be, and has to be the process's working folder: a list of folders has
    no way to name one with a colon in it. `library` is the name under which the process asks for the runtime.
    """
    environment = dict(QUIET_THREADS)
    bundled = None if is_installed(library) else bundled_library()
    if bundled is not None:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        link = folder / library
        link.unlink(missing_ok=True)
        link.symlink_to(bundled)
        environment["LD_LIBRARY_PATH"] = os.pathsep.join(
            filter(None, (os.curdir, os.environ.get("LD_LIBRARY_PATH", "")))
        )
    return environment


def is_installed(library: str) -> bool:
    """Whether the system has the library."""
    try:
        ctypes.CDLL(library)
    except OSError:
        return False
    return True


def bundled_library() -> Path | None:
    """The copy in pykdtree's wheel, whose name holds a hash; None when that is not installed."""
    spec = find_spec("pykdtree")
    if spec is None or spec.origin is None:
        return None
    return next(Path(spec.origin).parent.with_name("pykdtree.libs").glob("libgomp*.so*"), None)
