"""What the Dockerfiles promise, as far as it can be seen without an engine that builds them."""

import re
import subprocess
import sys
import sysconfig
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
EXTRAS = {"services/api/Dockerfile": ["api"], "services/worker/Dockerfile": ["worker", "flower"]}
DOCKERFILES = sorted(EXTRAS)
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def instructions(dockerfile: str) -> list[tuple[str, str]]:
    """The Dockerfile's instructions in order, each as its word and the rest of its line; continued lines are joined."""
    text = (ROOT / dockerfile).read_text(encoding="utf-8").replace("\\\n", " ")
    lines = [line.strip() for line in text.splitlines() if line.strip() and not line.startswith("#")]
    return [(word, " ".join(rest.split())) for word, _, rest in (line.partition(" ") for line in lines)]


def users_of(dockerfile: str) -> list[dict[str, Any]]:
    """The compose services that run the image."""
    return [service for service in SERVICES.values() if service.get("build", {}).get("dockerfile") == dockerfile]


@pytest.mark.skipif(sys.platform == "win32", reason="hadolint's package has no program for Windows")
def test_the_dockerfiles_are_free_of_lint() -> None:
    linter = Path(sysconfig.get_path("scripts")) / "hadolint"
    command = [str(linter), "--no-color", *(str(ROOT / name) for name in DOCKERFILES)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_image_is_built_for_a_service_from_the_whole_repository() -> None:
    builds = [service["build"] for service in SERVICES.values() if "build" in service]
    assert {build["dockerfile"] for build in builds} == set(DOCKERFILES)
    assert {build["context"] for build in builds} == {"."}


@pytest.mark.parametrize("dockerfile", DOCKERFILES)
def test_an_image_installs_the_lock_with_its_own_extras_only(dockerfile: str) -> None:
    syncs = [rest for word, rest in instructions(dockerfile) if word == "RUN" and "uv sync" in rest]
    assert len(syncs) == 2, "the dependencies, then the project"
    for sync in syncs:
        assert re.findall(r"--extra (\S+)", sync) == EXTRAS[dockerfile]
        assert set(EXTRAS[dockerfile]) <= PROJECT["optional-dependencies"].keys()
        assert {"--locked", "--no-default-groups", "--no-editable"} <= set(sync.split())
    assert ["--no-install-project" in sync for sync in syncs] == [True, False]


@pytest.mark.parametrize("dockerfile", DOCKERFILES)
def test_an_image_shares_its_cache_for_the_dependencies_only(dockerfile: str) -> None:
    """The project's wheel is kept under a name that says nothing of the code in it: a shared one may be another image's."""
    dependencies, project = (rest for word, rest in instructions(dockerfile) if word == "RUN" and "uv sync" in rest)
    (settings,) = (rest.split() for word, rest in instructions(dockerfile) if word == "ENV" and "UV_" in rest)
    (cache,) = (setting.removeprefix("UV_CACHE_DIR=") for setting in settings if setting.startswith("UV_CACHE_DIR="))
    assert f"--mount=type=cache,target={cache}" in dependencies.split()
    assert "--mount" not in project


@pytest.mark.parametrize("dockerfile", DOCKERFILES)
def test_an_image_runs_as_the_user_that_compose_names(dockerfile: str) -> None:
    words = instructions(dockerfile)
    assert {service["user"] for service in users_of(dockerfile)} == {rest for word, rest in words if word == "USER"}
    assert [word for word, _ in words].index("CMD") > [word for word, _ in words].index("USER")
    assert all(rest.startswith("[") for word, rest in words if word == "CMD"), "signals must reach the process itself"


@pytest.mark.parametrize("dockerfile", DOCKERFILES)
def test_every_base_image_is_pinned_to_a_minor_version(dockerfile: str) -> None:
    assert (ROOT / dockerfile).is_file()
    bases = [rest.split()[0] for word, rest in instructions(dockerfile) if word == "FROM"]
    assert len(set(bases)) == 1, "what is built on one Python must run on the same"
    images = [service["image"] for service in SERVICES.values() if "image" in service]
    for image in [*bases, *images]:
        assert re.fullmatch(r"[a-z/]+:\d+\.\d+(\.\d+)?-[a-z-]+", image), image


@pytest.mark.parametrize("dockerfile", DOCKERFILES)
def test_an_image_holds_every_module_that_its_services_start(dockerfile: str) -> None:
    commands = [service["command"] for service in users_of(dockerfile)]
    started = {command[2] for command in commands if command[0] == "python"}
    if any(command[0] == "cortexai" for command in commands):
        started.add(PROJECT["scripts"]["cortexai"].rpartition(".")[0])
    for folder in (module.replace(".", "/") for module in started):
        assert ("COPY", f"{folder} {folder}") in instructions(dockerfile)


@pytest.mark.parametrize("dockerfile", DOCKERFILES)
def test_an_image_copies_only_what_exists_and_is_in_the_build_context(dockerfile: str) -> None:
    ignore = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    allowed = {line.removeprefix("!") for line in ignore if line.startswith("!")}
    assert "*" in ignore
    copies = [rest.split() for word, rest in instructions(dockerfile) if word == "COPY" and "--from=" not in rest]
    for source in [source for copy in copies for source in copy[:-1]]:
        assert (ROOT / source).exists(), source
        assert source.split("/")[0] in allowed, source
    assert {source for copy in copies for source in copy} >= {"pyproject.toml", "uv.lock", "shared", "migrations"}


def test_the_documented_backup_gets_into_no_commit_and_no_image() -> None:
    operations = (ROOT / "docs/operations.md").read_text(encoding="utf-8")
    (backup,) = re.findall(r"pg_dump .* > (\S+)", operations)
    suffix = Path(backup).suffix
    assert f"*{suffix}" in (ROOT / ".gitignore").read_text(encoding="utf-8").splitlines()
    assert (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()[-1] == f"**/*{suffix}"


def test_the_build_context_has_no_secrets_and_no_history() -> None:
    ignore = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    assert not {line for line in ignore if line.startswith("!.")}
