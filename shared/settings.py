"""The one place where environment variables become values. Read once, in each process's composition root."""

from typing import Annotated, Any, Final, Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, ValidationError, ValidationInfo, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from shared.errors import SettingsInvalid

MIN_SECRET_BYTES: Final = 32
MIN_PROMPT_TOKENS: Final = 512
"""What a context has to hold besides the longest reply, for the system prompt, the memory and the question."""
GROQ_FALLBACK: Final = "openai/gpt-oss-20b"
"""The model that stands in for others at Groq. An endpoint of somebody else's need not have it."""
DEFAULT_PORTS: Final = {"http": 80, "https": 443}
KNOWN_SECRETS: Final = ("change", "secret", "example", "default", "password", "your-", "your_", "insecure")
LOCAL_ORIGINS: Final = (
    "http://localhost:3000",
    "http://localhost:5173",
    "http://localhost:8080",
    "http://127.0.0.1:3000",
    "http://127.0.0.1:5173",
    "http://127.0.0.1:8080",
)


def _origin(text: str) -> str:
    """An origin in the form that browsers send (RFC 6454, section 6.2).

    Raises:
        ValueError: it is none.

    """
    parts = urlsplit(text)
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    alone = not (parts.path or parts.query or parts.fragment or "@" in parts.netloc)
    if not host or "*" in host or parts.scheme not in DEFAULT_PORTS or not alone:
        raise ValueError("must be a comma-separated list of origins such as https://app.example.com, without wildcards")
    port = "" if parts.port in {None, DEFAULT_PORTS[parts.scheme]} else f":{parts.port}"
    return f"{parts.scheme}://{host}{port}"


class DatabaseSettings(BaseSettings):
    """What a process needs that only talks to the database, such as a migration."""

    model_config = SettingsConfigDict(
        env_file=".env", env_ignore_empty=True, extra="ignore", frozen=True, hide_input_in_errors=True
    )

    database_url: str = Field(repr=False)  # URLs hold passwords

    @field_validator("database_url")
    @classmethod
    def _to_psycopg(cls, url: str) -> str:
        """Take every usual spelling of a PostgreSQL URL (Heroku's, Neon's, psycopg2's) to psycopg 3."""
        scheme, separator, rest = url.partition("://")
        if not separator or scheme.partition("+")[0] not in {"postgres", "postgresql"}:
            raise ValueError("must start with postgresql://")
        return f"postgresql+psycopg://{rest}"

    @classmethod
    def load(cls, *, require: tuple[str, ...] = (), **overrides: Any) -> Self:  # noqa: ANN401
        """Read the environment.

        `require` names optional settings that this process can't do without.

        Raises:
            SettingsInvalid: one line that names the first missing or unusable setting, never its value.

        """
        try:
            settings = cls(**overrides)
        except ValidationError as error:
            first = error.errors(include_input=False, include_url=False)[0]
            name = "_".join(str(part) for part in first["loc"][:1]).upper() or "SETTINGS"
            reason = "is not set" if first["type"] == "missing" else first["msg"].removeprefix("Value error, ")
            raise SettingsInvalid(f"{name}: {reason}") from error
        for name in require:
            if getattr(settings, name) is None:
                raise SettingsInvalid(f"{name.upper()}: is not set")
        return settings


class Settings(DatabaseSettings):
    """All settings, by the names of their environment variables (in any case); `.env` is read too.

    A variable that is set to nothing counts as unset. Sizes are in bytes, times in seconds, unless a name says otherwise.
    """

    database_pool_size: int = Field(default=10, ge=1, le=200)
    redis_url: str = Field(repr=False)
    celery_broker_url: str = Field(default="", repr=False)
    stream_redis_url: str = Field(default="", repr=False)

    host: str = "127.0.0.1"
    port: int = Field(default=8000, ge=0, le=65535)
    jwt_secret_key: SecretStr | None = None
    jwt_algorithm: Literal["HS256", "HS384", "HS512"] = "HS256"
    access_token_expire_minutes: int = Field(default=60, ge=1, le=7 * 24 * 60)
    bcrypt_rounds: int = Field(default=12, ge=10, le=16)
    backend_cors_origins: Annotated[tuple[str, ...], NoDecode] = LOCAL_ORIGINS
    max_body_bytes: int = Field(default=1024 * 1024, ge=1024)
    message_max_chars: int = Field(default=32_000, ge=1, le=200_000)

    groq_api_key: SecretStr | None = None
    groq_model: str = "openai/gpt-oss-120b"
    groq_models: Annotated[tuple[str, ...], NoDecode] = ()
    groq_fallback_model: str | None = None
    groq_base_url: str | None = None
    tools: Annotated[tuple[str, ...], NoDecode] = ("web_search",)
    tavily_api_key: SecretStr | None = None
    tavily_base_url: str | None = None
    search_timeout_seconds: float = Field(default=8, gt=0, le=60)
    search_max_results: int = Field(default=5, ge=1, le=20)
    search_max_steps: int = Field(default=3, ge=1, le=10)
    model_max_tokens: int = Field(default=4_096, ge=1)
    model_context_tokens: int = Field(default=32_000)
    model_contexts: Annotated[tuple[tuple[str, int], ...], NoDecode] = ()
    reply_max_chars: int = Field(default=200_000, ge=1000)
    model_temperature: float = Field(default=0.7, ge=0, le=2)
    model_read_timeout_seconds: float = Field(default=60, gt=0)
    generation_timeout_seconds: float = Field(default=600, gt=0)
    history_window: int = Field(default=5, ge=1, le=1000)
    summary_max_chars: int = Field(default=4_000, ge=200, le=20_000)
    summary_chunk_messages: int = Field(default=20, ge=1, le=200)
    summary_timeout_seconds: float = Field(default=120, ge=1, le=600)
    facts_max: int = Field(default=40, ge=0, le=200)
    title_by_model: bool = True

    model_prefill: bool = True
    model_tools: bool = True

    user_max_live_generations: int = Field(default=4, ge=1, le=1000)
    queue_max_depth: int = Field(default=1000, ge=1, le=100_000)
    user_daily_tokens: int | None = Field(default=None, ge=1)

    worker_concurrency: int = Field(default=128, ge=1, le=1000)
    worker_drain_seconds: float = Field(default=20, ge=0, le=600)
    lease_seconds: float = Field(default=15, ge=3, le=600)
    flush_interval_seconds: float = Field(default=0.025, ge=0.001, le=1)
    checkpoint_interval_seconds: float = Field(default=1, ge=0.05, le=60)
    sweep_interval_seconds: float = Field(default=2, ge=0.2, le=60)
    stream_ttl_seconds: int = Field(default=900, ge=10)
    stream_keep_alive_seconds: float = Field(default=15, ge=0.1, le=60)

    metrics_host: str = "127.0.0.1"
    metrics_port: int | None = Field(default=None, ge=1, le=65535)

    log_level: Literal["debug", "info", "warning", "error"] = "info"
    log_format: Literal["json", "console"] = "json"

    @field_validator("model_contexts", mode="before")
    @classmethod
    def _read_contexts(cls, text: Any) -> Any:  # noqa: ANN401
        """`model=tokens,…`."""
        if not isinstance(text, str):
            return text
        return tuple(
            (name.strip(), size.strip()) for name, _, size in (i.rpartition("=") for i in text.split(",") if i.strip())
        )

    @field_validator("model_context_tokens")
    @classmethod
    def _is_context(cls, size: int, info: ValidationInfo) -> int:
        least = info.data.get("model_max_tokens", 0) + MIN_PROMPT_TOKENS
        if size < least:
            raise ValueError(f"must be at least {least}, that is {MIN_PROMPT_TOKENS} more than MODEL_MAX_TOKENS")
        return size

    @field_validator("model_contexts")
    @classmethod
    def _are_contexts(cls, contexts: tuple[tuple[str, int], ...], info: ValidationInfo) -> tuple[tuple[str, int], ...]:
        if not all(name for name, _ in contexts):
            raise ValueError("must be a list of model=tokens")
        for _, size in contexts:
            cls._is_context(size, info)
        return contexts

    @property
    def offered_models(self) -> tuple[str, ...]:
        """The models that a message may ask for, the default one first."""
        return tuple(dict.fromkeys((self.groq_model, *self.groq_models)))

    @property
    def known_models(self) -> tuple[str, ...]:
        """The models that may be asked: those on offer, and the one that may have to answer in their stead."""
        return (*self.offered_models, *([self.groq_fallback_model] if self.groq_fallback_model else []))

    @field_validator("redis_url", "celery_broker_url", "stream_redis_url")
    @classmethod
    def _is_redis(cls, url: str) -> str:
        if url and not url.startswith(("redis://", "rediss://")):
            raise ValueError("must start with redis:// or rediss://")
        return url

    @field_validator("jwt_secret_key")
    @classmethod
    def _is_strong(cls, secret: SecretStr | None) -> SecretStr | None:
        if secret is None:
            return None
        text = secret.get_secret_value()
        if len(text.encode()) < MIN_SECRET_BYTES:
            raise ValueError(f"must have at least {MIN_SECRET_BYTES} bytes; make one with: openssl rand -hex 32")
        if len(set(text)) < 10 or any(word in text.lower() for word in KNOWN_SECRETS):  # noqa: PLR2004
            raise ValueError("looks like a default or a guessable text; make one with: openssl rand -hex 32")
        return secret

    @field_validator("backend_cors_origins", "groq_models", "tools", mode="before")
    @classmethod
    def _split(cls, items: Any) -> Any:  # noqa: ANN401
        return tuple(i.strip().rstrip("/") for i in items.split(",") if i.strip()) if isinstance(items, str) else items

    @field_validator("backend_cors_origins")
    @classmethod
    def _are_origins(cls, origins: tuple[str, ...]) -> tuple[str, ...]:
        """As browsers write them; what could never match one, as a wildcard or a path, is refused."""
        return tuple(_origin(text) for text in origins)

    @model_validator(mode="before")
    @classmethod
    def _fall_back_at_groq(cls, values: dict[str, Any]) -> dict[str, Any]:
        """At Groq there is a fallback model unless another is named."""
        if not values.get("groq_base_url"):
            values.setdefault("groq_fallback_model", GROQ_FALLBACK)
        return values

    @model_validator(mode="before")
    @classmethod
    def _share_redis(cls, values: dict[str, Any]) -> dict[str, Any]:
        """The broker and the stream logs live in REDIS_URL unless they are given a server of their own."""
        if isinstance(values.get("redis_url"), str):
            values.setdefault("celery_broker_url", values["redis_url"])
            values.setdefault("stream_redis_url", values["redis_url"])
        return values
