"""Where settings come from: the environment, and the file `.env`, as Docker Compose reads both."""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, DotEnvSettingsSource, PydanticBaseSettingsSource, SettingsConfigDict

from shared.env_file import read_env_file
from shared.errors import SettingsInvalid

# pydantic-settings has the file read by python-dotenv in any case. What python-dotenv says of it does not count.
logging.getLogger("dotenv.main").setLevel(logging.ERROR)


class EnvironmentSettings(BaseSettings):
    """Settings from the environment and `.env`. Spaces and line ends around a value are no part of it.

    Files that hold secrets end in a newline, and so do many values that are made from such files.
    """

    model_config = SettingsConfigDict(
        env_file=".env",
        env_file_encoding="latin-1",  # for python-dotenv, which reads any bytes so; read_env_file insists on UTF-8
        env_ignore_empty=True,
        extra="ignore",
        frozen=True,
        hide_input_in_errors=True,
    )

    def __init__(self, **values: Any) -> None:  # noqa: ANN401
        """Read the environment and the file.

        Raises:
            SettingsInvalid: the file can't be read, is not UTF-8, or Docker Compose would refuse the file.
            ValidationError: a setting is missing or unusable.

        """
        try:
            super().__init__(**values)
        except OSError as error:
            raise SettingsInvalid(f"{error.filename or '.env'}: can't be read: {error.strerror}") from None

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003 - pydantic-settings gives them by name
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Where values come from, the first one wins (pydantic-settings)."""
        return init_settings, _Stripped(env_settings), _Stripped(_EnvFile(dotenv_settings)), file_secret_settings


class _Stripped(PydanticBaseSettingsSource):
    """Another source, without what surrounds its values. A value of nothing but spaces counts as unset."""

    def __init__(self, source: PydanticBaseSettingsSource) -> None:
        super().__init__(source.settings_cls)
        self._source = source

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        return self._source.get_field_value(field, field_name)

    def __call__(self) -> dict[str, Any]:
        values = {name: value.strip() if isinstance(value, str) else value for name, value in self._source().items()}
        return {name: value for name, value in values.items() if value != ""}


class _EnvFile(DotEnvSettingsSource):
    """The file of another source, read as Docker Compose reads it. pydantic-settings reads `$` in its own way."""

    def __init__(self, source: PydanticBaseSettingsSource) -> None:
        super().__init__(source.settings_cls, env_file=getattr(source, "env_file", None))

    def _read_env_file(self, file_path: Path) -> Mapping[str, str | None]:
        # Names are taken in any case, as those in the environment.
        return {name.lower(): value for name, value in read_env_file(file_path).items() if value}
