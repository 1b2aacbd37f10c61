"""What was given by the environment, and what the launcher adds to it: which parts are external, and all settings."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from pydantic import SecretStr

from services.launcher.program import LOOPBACK
from shared.environment import EnvironmentSettings
from shared.errors import SettingsInvalid
from shared.settings import Settings
from shared.urls import MAX_PORT

LOCAL_KEY: Final = "local"

# What the local model is: two slots of 2048 tokens, without tools. Whatever was given is about another model.
LOCAL_MODEL: Final[Mapping[str, str]] = {
    "GROQ_API_KEY": LOCAL_KEY,
    "GROQ_MODEL": "smollm2-135m-instruct",
    "MODEL_CONTEXT_TOKENS": "1536",
    "MODEL_MAX_TOKENS": "512",
    "MODEL_TOOLS": "false",
    "SUMMARY_MAX_CHARS": "800",
}
# What suits it: it reads about a hundred tokens a second where the processor is shared, and at a higher temperature it says
# anything.
LOCAL_DEFAULTS: Final[Mapping[str, str]] = {
    "MODEL_READ_TIMEOUT_SECONDS": "120",
    "MODEL_TEMPERATURE": "0.2",
    "TITLE_BY_MODEL": "false",
    "WORKER_CONCURRENCY": "16",
}
# JSON, so that the launcher can tell a warning from the rest; one arena, because many small processes share the memory.
# Whoever presses Ctrl-C does not wait for 20 seconds.
PROCESS: Final[Mapping[str, str]] = {
    "LOG_FORMAT": "json",
    "MALLOC_ARENA_MAX": "2",
    "PYTHONUNBUFFERED": "1",
    "WORKER_DRAIN_SECONDS": "2",
}


class Given(EnvironmentSettings):
    """The settings that decide what is embedded, and those that win over the launcher's defaults, as text.

    From the environment and `.env`. Set to nothing counts as unset.
    """

    database_url: str | None = None
    redis_url: str | None = None
    groq_api_key: SecretStr | None = None
    groq_base_url: str | None = None
    jwt_secret_key: SecretStr | None = None
    data_source_keys: SecretStr | None = None
    sandbox_database_url: str | None = None
    port: str | None = None
    model_read_timeout_seconds: str | None = None
    model_temperature: str | None = None
    title_by_model: str | None = None
    worker_concurrency: str | None = None

    @property
    def needs_model(self) -> bool:
        """Whether no language model was given: neither a key nor an address of one that needs none."""
        return self.groq_api_key is None and self.groq_base_url is None


@dataclass(frozen=True, slots=True)
class Addresses:
    """The embedded servers' URLs; None for what is external."""

    database_url: str | None
    redis_url: str | None
    model_url: str | None
    sandbox_database_url: str | None = None


def additions(
    given: Given, addresses: Addresses, *, jwt_secret_key: str, data_source_key: str, port: int | None
) -> dict[str, str]:
    """The environment variables that the parts get on top of what was given."""
    added = dict(PROCESS)
    if addresses.database_url is not None:
        added["DATABASE_URL"] = addresses.database_url
    if addresses.redis_url is not None:
        added["REDIS_URL"] = addresses.redis_url
    if addresses.model_url is not None:
        added |= {**LOCAL_MODEL, "GROQ_BASE_URL": addresses.model_url}
        added |= {name: value for name, value in LOCAL_DEFAULTS.items() if getattr(given, name.lower()) is None}
    elif given.groq_api_key is None:
        added["GROQ_API_KEY"] = LOCAL_KEY
    if given.jwt_secret_key is None:
        added["JWT_SECRET_KEY"] = jwt_secret_key
    if given.data_source_keys is None:
        added["DATA_SOURCE_KEYS"] = data_source_key
    if given.sandbox_database_url is None and addresses.sandbox_database_url is not None:
        added["SANDBOX_DATABASE_URL"] = addresses.sandbox_database_url
    if port is not None:
        added["PORT"] = str(port)
    return added | _direct_loopback()


def resolve(added: Mapping[str, str]) -> Settings:
    """The settings as the parts will see them.

    Raises:
        SettingsInvalid: one of them is unusable.

    """
    return Settings.load(
        require=("groq_api_key", "jwt_secret_key"),
        **{name.lower(): value for name, value in added.items() if name.lower() in Settings.model_fields},
    )


def whole_number(name: str, text: str) -> int:
    """A port from the environment.

    Raises:
        SettingsInvalid: it is not a port.

    """
    if not text.isdecimal() or int(text) > MAX_PORT:
        raise SettingsInvalid(f"{name}: must be a number from 0 to {MAX_PORT}")
    return int(text)


def _direct_loopback() -> dict[str, str]:
    """Keep a proxy that the environment names from being used for the parts among themselves."""
    name = "no_proxy" if "no_proxy" in os.environ else "NO_PROXY"
    names = [entry for entry in os.environ.get(name, "").split(",") if entry]
    return {name: ",".join(dict.fromkeys((*names, LOOPBACK, "localhost")))}
