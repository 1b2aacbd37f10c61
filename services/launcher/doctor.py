"""`cortexai doctor`: looks at every part, and says what is wrong and how to mend it."""

import os
from base64 import urlsafe_b64encode
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.text import Text

from services.launcher import checks, installed
from services.launcher.checks import Finding
from services.launcher.configuration import Addresses, Given, additions, resolve
from services.launcher.data_dir import Running, Secrets, is_held, nearest_existing, read_running, why_no_folder
from services.launcher.embedded.postgres import EmbeddedPostgres
from services.launcher.embedded.valkey import EmbeddedValkey
from services.launcher.errors import PackagesMissing
from services.launcher.key_checks import signing_keys
from services.launcher.login_checks import mail, providers
from services.launcher.program import LOOPBACK
from services.launcher.source_checks import source_rights
from services.launcher.up import require_packages
from shared.errors import SettingsInvalid

STYLES: Final = {"ok": "green", "note": "yellow", "wrong": "bold red"}


def doctor(directory: Path) -> int:
    """Check everything and print what was found. Returns 0 when nothing is wrong, otherwise 1."""
    console = Console(highlight=False)
    wrong = 0
    for finding in examine(directory):
        wrong += finding.state == "wrong"
        mark = (f"{finding.state:6}", STYLES[finding.state])
        console.print(Text.assemble(mark, f"{finding.subject}: {finding.detail}"), soft_wrap=True)
        if finding.remedy:
            console.print(Text(f"      → {finding.remedy}"), soft_wrap=True)
    return 1 if wrong else 0


def examine(directory: Path) -> Iterator[Finding]:
    """Look at the system that runs on this folder, otherwise at what the settings name and what `up` would add."""
    try:
        given = Given()
    except SettingsInvalid as error:
        yield Finding("settings", "wrong", error.message, "write it as Docker Compose reads it: docs/operations.md")
        return
    found = read_running(directory)
    addresses = addresses_of(directory, given, found)
    # Nobody signs anything with it: it only stands for the one that `up` makes.
    key = found[1].jwt_secret_key if found is not None else os.urandom(32).hex()
    try:
        added = additions(
            given,
            addresses,
            jwt_secret_key=key,
            data_source_key=found[1].data_source_key
            if found is not None
            else urlsafe_b64encode(os.urandom(32)).decode(),
            port=found[0].port if found is not None else None,
        )
        settings = resolve({**placeholders(given, addresses), **added})
    except SettingsInvalid as error:
        yield Finding("settings", "wrong", error.message, "set it in the environment or in .env")
        return
    yield Finding("settings", "ok", "all usable")
    yield from checks.passwords(settings)
    yield from signing_keys(settings, is_made_later=found is None and given.jwt_secret_key is None)
    if found is not None:
        yield Finding("cortexai up", "ok", f"runs on {directory}, process {found[0].pid}")
    elif installed.has_all():
        yield from could_start(directory, given)
        yield checks.port(settings)
    else:
        yield Finding("cortexai up", "note", "does not run here, where one service is installed alone")
    if given.database_url is not None or addresses.database_url is not None:
        yield from checks.postgres(settings)
    if given.redis_url is not None or addresses.redis_url is not None:
        yield from checks.redis_servers(settings)
    if not given.needs_model or addresses.model_url is not None:
        yield from checks.proxy(settings)
        yield checks.model(settings)
    yield checks.web_search(settings)
    yield mail(settings, is_sent_here=installed.has_workers())
    yield from providers(settings)
    yield from checks.data_sources(settings)
    if given.database_url is not None or addresses.database_url is not None:
        yield from source_rights(settings)
    yield checks.open_files(settings)
    yield checks.disk(directory)


def could_start(directory: Path, given: Given) -> Iterator[Finding]:
    """What `up` would embed is installed, and its folder can be used."""
    try:
        require_packages(given)
    except PackagesMissing as error:
        yield Finding("embedded parts", "wrong", error.message)
    else:
        yield Finding("embedded parts", "ok", "everything that is not configured is installed")
    existing = nearest_existing(directory)
    if obstacle := why_no_folder(directory.absolute()):
        yield Finding("data folder", "wrong", obstacle, "choose another --data-dir")
    elif not existing.is_dir():
        yield Finding("data folder", "wrong", f"{existing} is not a folder", "choose another --data-dir")
    elif not os.access(existing, os.W_OK | os.X_OK):
        yield Finding("data folder", "wrong", f"{existing} can't be written", "choose another --data-dir")
    elif is_held(directory):
        yield Finding("data folder", "note", f"`cortexai up` on {directory} is starting or stopping", "ask again")


def addresses_of(directory: Path, given: Given, found: tuple[Running, Secrets] | None) -> Addresses:
    """Where the embedded servers of a running system are; what was given goes before."""
    if found is None:
        return Addresses(None, None, None)
    running, secrets = found
    database_url = redis_url = model_url = sandbox_url = None
    if running.postgres_port is not None and given.database_url is None:
        server = EmbeddedPostgres(directory, port=running.postgres_port, password=secrets.postgres_password)
        database_url, sandbox_url = server.app_url, server.sandbox_url
    if running.valkey_port is not None and given.redis_url is None:
        redis_url = EmbeddedValkey(directory, port=running.valkey_port, password=secrets.valkey_password).url
    if running.model_port is not None and given.needs_model:
        model_url = f"http://{LOOPBACK}:{running.model_port}"
    return Addresses(database_url, redis_url, model_url, sandbox_url)


def placeholders(given: Given, addresses: Addresses) -> dict[str, str]:
    """URLs for what neither was given nor runs, so that all other settings can be checked."""
    missing = {}
    if given.database_url is None and addresses.database_url is None:
        missing["DATABASE_URL"] = "postgresql://unset"
    if given.redis_url is None and addresses.redis_url is None:
        missing["REDIS_URL"] = "redis://unset"
    return missing
