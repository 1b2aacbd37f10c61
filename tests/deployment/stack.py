"""The stack as an operator would run it: a copy of the repository, an `.env`, and docker compose."""

import json
import os
import re
import secrets
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import yaml
from cryptography.fernet import Fernet

from services.launcher.program import free_port
from tests.deployment.base_images import ROOT, names
from tests.deployment.engine import CommandFailed, docker, run, succeeds

OURS: Final = ("api", "worker", "maintenance", "beat", "migrate", "flower")
MODEL: Final = "model"
MODEL_PORT: Final = 9000
FLOWER_USER: Final = "ops"
COMMAND_SECONDS: Final = 240.0
ROLES: Final = {"POSTGRES_APP_PASSWORD", "REDIS_API_PASSWORD", "REDIS_WORKER_PASSWORD", "REDIS_FLOWER_PASSWORD"}
"""The passwords of what the system runs as. Without them it runs as in the release before."""


@dataclass
class Stack:
    """A stack with a name and a folder of its own; it is in no other's way. `remove` takes it away."""

    folder: Path
    name: str = field(default_factory=lambda: f"cortexai-proof-{secrets.token_hex(3)}")
    port: int = field(default_factory=free_port)
    flower_port: int = field(default_factory=free_port)
    flower_password: str = field(default_factory=lambda: secrets.token_hex(16))

    @property
    def url(self) -> str:
        """Where the API is published."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def is_prepared(self) -> bool:
        """Whether compose knows it."""
        return (self.folder / ".env").exists()

    async def prepare(self) -> None:
        """Copy what the images are made of, and configure it as docs/operations.md says."""
        allowed = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
        built_of = [line.removeprefix("!") for line in allowed if line.startswith("!")]
        self.folder.mkdir()
        for item in (*built_of, "docker-compose.yml", ".dockerignore"):
            source = ROOT / item
            if source.is_dir():
                shutil.copytree(source, self.folder / item, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copyfile(source, self.folder / item)
        secret = {name: secrets.token_hex(32) for name in _required_by_compose() | ROLES}
        self._write_env(secret | {"FLOWER_BASIC_AUTH": f"{FLOWER_USER}:{self.flower_password}"})
        self.set(
            PORT=str(self.port),
            FLOWER_PORT=str(self.flower_port),
            DATA_SOURCE_KEYS=Fernet.generate_key().decode(),
            GROQ_BASE_URL=f"http://{MODEL}:{MODEL_PORT}",
            GROQ_MODEL="double",  # it continues a text, so the proof sees no seam; the default model would be told to go on
            LEASE_SECONDS="5",  # a killed worker's answers are taken over sooner, so that the proof takes less time
            USER_MAX_LIVE_GENERATIONS="100",
            USER_MAX_STREAMS="100",
        )
        await self._fit_open_files()

    def _write_env(self, filled_in: dict[str, str]) -> None:
        example = (ROOT / ".env.example").read_text(encoding="utf-8")
        for name, value in filled_in.items():
            example = re.sub(rf"^{name}=$", f"{name}={value}", example, flags=re.MULTILINE)
        (self.folder / ".env").write_text(example, encoding="utf-8")

    def set(self, **settings: str) -> None:
        """Change settings in `.env`."""
        path = self.folder / ".env"
        kept = [
            line for line in path.read_text(encoding="utf-8").splitlines() if line.partition("=")[0] not in settings
        ]
        lines = [*kept, *(f"{name}={value}" for name, value in settings.items())]
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")

    async def _fit_open_files(self) -> None:
        """Ask for no more open files than this host allows a container, if the compose file wants more."""
        compose = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))
        limits = {name: service.get("ulimits", {}) for name, service in compose["services"].items()}
        limited = {name: ulimits["nofile"] for name, ulimits in limits.items() if "nofile" in ulimits}
        wanted = max(nofile["hard"] for nofile in limited.values())
        python = names().python
        if await succeeds("run", "--rm", "--ulimit", f"nofile={wanted}:{wanted}", python, "true", within=60):
            return
        allowed = int(await docker("run", "--rm", python, "sh", "-c", "ulimit -H -n"))
        nofile = {"nofile": {"soft": allowed, "hard": allowed}}
        override = {"services": {name: {"ulimits": nofile} for name in limited}}
        (self.folder / "docker-compose.override.yml").write_text(yaml.safe_dump(override), encoding="utf-8")

    def _environment(self) -> dict[str, str]:
        """This process's environment without the settings in it: those would win over `.env`."""
        example = (ROOT / ".env.example").read_text(encoding="utf-8")
        settings = set(re.findall(r"^(?:# )?([A-Z][A-Z0-9_]*)=", example, re.MULTILINE))
        compose = {name for name in os.environ if name.startswith("COMPOSE_")}
        kept = {name: value for name, value in os.environ.items() if name not in settings | compose}
        return {**kept, "COMPOSE_PROJECT_NAME": self.name}

    async def shell(self, command: str) -> str:
        """Run a command as an operator would, in the folder of the compose file."""
        words = ("bash", "-euc", command)
        return await run(*words, within=COMMAND_SECONDS, cwd=self.folder, env=self._environment())

    async def compose(self, *arguments: str, within: float = COMMAND_SECONDS) -> str:
        """Run a command of compose."""
        command = ("docker", "compose", "--progress", "quiet", *arguments)
        return await run(*command, within=within, cwd=self.folder, env=self._environment())

    async def inside(self, service: str, program: str) -> str:
        """Run some lines of Python in a service's container. Returns what they print."""
        return (await self.compose("exec", "--no-TTY", service, "python", "-c", program)).strip()

    async def containers(self, service: str) -> list[dict[str, Any]]:
        """What the engine knows of a service's containers, also of those that have ended."""
        ids = (await self.compose("ps", "--all", "--quiet", service)).split()
        if not ids:
            return []
        found: list[dict[str, Any]] = json.loads(await docker("inspect", *ids))
        return found

    async def logs(self, service: str) -> list[str]:
        """The lines that a service's containers have written."""
        ids = [container["Id"] for container in await self.containers(service)]
        # The engine's own command, for compose adds to the lines.
        said = [await docker("logs", container) for container in ids]
        return [line for lines in said for line in lines.splitlines() if line]

    async def start_model(self) -> None:
        """Run the tests' double of Groq beside the stack, from the API's image, which has what it imports."""
        container = f"{self.name}-{MODEL}"
        program = ["python", "-m", "tests.doubles.groq", "--host", "0.0.0.0", "--port", str(MODEL_PORT)]  # noqa: S104
        await docker(
            "create", "--name", container, "--network", f"{self.name}_outside", "--network-alias", MODEL,
            "--init", "--workdir", "/srv", f"{self.name}-api", *program,
        )  # fmt: skip
        double = self.folder / "double" / "tests"
        (double / "doubles").mkdir(parents=True)
        for package in (double, double / "doubles"):
            (package / "__init__.py").touch()
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / "tests/doubles/groq", double / "doubles/groq", ignore=ignored)
        # Copied, not mounted: the engine may be on another host.
        await docker("cp", str(double), f"{container}:/srv/tests")
        await docker("start", container)

    async def remove(self) -> None:
        """Take away its containers, volumes, networks and images. What was never made is no failure."""
        if not self.is_prepared:
            return
        await succeeds("rm", "--force", "--volumes", f"{self.name}-{MODEL}", within=60)
        try:
            await self.compose("down", "--volumes", "--remove-orphans", "--rmi", "local", "--timeout", "1", within=120)
        except CommandFailed as error:
            print(f"not all of {self.name} could be removed: {error}")  # noqa: T201
        # What an upgrade has replaced has lost its name; compose leaves its label on it.
        label = f"label=com.docker.compose.project={self.name}"
        images = (await docker("image", "ls", "--quiet", "--filter", label)).split()
        if images:
            await succeeds("image", "rm", "--force", *set(images), within=60)


def _required_by_compose() -> set[str]:
    """The names of the secrets without which compose refuses to start."""
    return set(re.findall(r"\$\{([A-Z0-9_]+):\?", (ROOT / "docker-compose.yml").read_text(encoding="utf-8")))
