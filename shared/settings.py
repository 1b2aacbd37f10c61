"""The one place where environment variables become values. Read once, in each process's composition root."""

import re
from base64 import urlsafe_b64decode
from collections.abc import Iterable
from dataclasses import replace
from typing import Annotated, Any, Final, Literal, Self
from urllib.parse import unquote, urlsplit

from pydantic import Field, SecretStr, ValidationError, ValidationInfo, field_validator, model_validator
from pydantic_settings import NoDecode

from shared.bounds import MIN_PROMPT_TOKENS, find_contradiction
from shared.database_timeouts import Timeouts
from shared.database_urls import PASSED_OVER, SCHEME, to_sqlalchemy
from shared.environment import EnvironmentSettings
from shared.errors import SettingsInvalid
from shared.host_lists import read_hosts
from shared.oidc_providers import OidcProvider, read_providers
from shared.origins import read_origin
from shared.redis_urls import one_spelling
from shared.smtp_urls import SmtpServer, read_sender, read_smtp_url
from shared.urls import MAX_PORT, read_prefix, read_url, unknown_parameter
from shared.weak_secrets import is_weak, is_weak_password

MIN_SECRET_BYTES: Final = 32
MAX_PREVIOUS_KEYS: Final = 4
DATA_SOURCE_KEY_BYTES: Final = 32
GROQ_FALLBACK: Final = "openai/gpt-oss-20b"
"""The model that stands in for others at Groq. An endpoint of somebody else's need not have it."""
KEY: Final = re.compile(r"[!#-&(-_a-~]+")
"""ASCII without spaces and quotation marks."""
QUOTED: Final = re.compile(r"""(["'])(.*)\1""", re.DOTALL)
PREFIX: Final = re.compile(r"[A-Za-z0-9:_.-]{1,64}")
SignupMode = Literal["open", "invite", "closed"]
NO_PREFIX: Final = "none"
"""What REDIS_PREFIX_BEFORE says where there was no prefix. Set to nothing counts as unset."""
API_PATH: Final = re.compile(r"(/openai)?(/v1(/(chat/completions|models))?)?/*$")
"""What the model's client adds to the address by itself."""
LOCAL_ORIGINS: Final = (
    "http://localhost:3000",
    "http://localhost:5173",
    "http://localhost:8080",
    "http://127.0.0.1:3000",
    "http://127.0.0.1:5173",
    "http://127.0.0.1:8080",
)


def _insist_on_names(models: Iterable[str]) -> None:
    """Models' names are shown to users and stand in logs, so a name is one line."""
    for name in models:
        if not name.isprintable() or any(mark in name for mark in "\"'`"):
            raise ValueError("must name each model without quotation marks and line ends")


def _insist_on_strength(secret: str) -> None:
    """A key that signs, or did, is long enough and nothing that others know or can guess."""
    if len(secret.encode()) < MIN_SECRET_BYTES:
        raise ValueError(f"must have at least {MIN_SECRET_BYTES} bytes; make one with: openssl rand -hex 32")
    if is_weak(secret):
        raise ValueError("looks like a published key or a guessable text; make one with: openssl rand -hex 32")


class LogSettings(EnvironmentSettings):
    """What every process needs."""

    log_level: Literal["debug", "info", "warning", "error"] = "info"
    log_format: Literal["json", "console"] = "json"

    @classmethod
    def load(cls, *, require: tuple[str, ...] = (), **overrides: Any) -> Self:  # noqa: ANN401
        """Read the environment.

        `require` names optional settings that this process can't do without.

        Raises:
            SettingsInvalid: one line that names the first missing or unusable setting, never its value, but for a refused
                entry of BACKEND_CORS_ORIGINS.

        """
        try:
            settings = cls(**overrides)
        except ValidationError as error:
            first = error.errors(include_input=False, include_url=False)[0]
            reason = "is not set" if first["type"] == "missing" else first["msg"].removeprefix("Value error, ")
            # What two settings say together belongs to neither field, and names both.
            told = [*(str(part).upper() for part in first["loc"][:1]), reason]
            raise SettingsInvalid(": ".join(told)) from error
        for name in require:
            if getattr(settings, name) is None:
                raise SettingsInvalid(f"{name.upper()}: is not set")
        return settings


def split(items: Any) -> Any:  # noqa: ANN401 - what is no text is left to its type
    """The entries of a list that is written with commas."""
    return tuple(i.strip() for i in items.split(",") if i.strip()) if isinstance(items, str) else items


class DatabaseSettings(LogSettings):
    """What a process needs that only talks to the database, such as a migration."""

    database_url: str = Field(repr=False)  # URLs hold passwords
    migration_database_url: str | None = Field(default=None, repr=False)
    migration_sandbox_url: str | None = Field(default=None, repr=False)
    database_statement_seconds: int = Field(default=60, ge=1, le=3600)
    database_lock_seconds: int = Field(default=15, ge=1, le=600)
    database_idle_seconds: int = Field(default=300, ge=10, le=3600)
    sandbox_database_url: str | None = Field(default=None, repr=False)
    data_source_keys: Annotated[tuple[SecretStr, ...], NoDecode] = ()

    @field_validator("data_source_keys", mode="before")
    @classmethod
    def _split_keys(cls, keys: Any) -> Any:  # noqa: ANN401
        return split(keys)

    @field_validator("data_source_keys")
    @classmethod
    def _are_keys(cls, keys: tuple[SecretStr, ...]) -> tuple[SecretStr, ...]:
        for key in keys:
            try:
                is_key = len(urlsafe_b64decode(key.get_secret_value())) == DATA_SOURCE_KEY_BYTES
            except ValueError:
                is_key = False
            if not is_key:
                raise ValueError(
                    f"must be keys of {DATA_SOURCE_KEY_BYTES} bytes in URL-safe base64, separated by commas; make one with: "
                    "openssl rand -base64 32 | tr '+/' '-_'"
                )
        return keys

    @field_validator("database_url", "migration_database_url")
    @classmethod
    def _to_psycopg(cls, url: str | None) -> str | None:
        """Take every usual spelling of a PostgreSQL URL (Heroku's, Neon's, Prisma's, psycopg2's) to psycopg 3."""
        return None if url is None else to_sqlalchemy(url)

    @property
    def migration_url(self) -> str:
        """The URL with which the schema and the roles are changed."""
        return self.migration_database_url or self.database_url

    @property
    def timeouts(self) -> Timeouts:
        """How long the application's role may do something."""
        return Timeouts(self.database_statement_seconds, self.database_lock_seconds, self.database_idle_seconds)

    @field_validator("sandbox_database_url", "migration_sandbox_url")
    @classmethod
    def _names_a_database(cls, url: str | None) -> str | None:
        if url is None:
            return None
        found = to_sqlalchemy(url)
        read = read_url(found, (SCHEME,))
        if not read.path.strip("/"):
            raise ValueError("must name a database of its own, as in postgresql://user:password@host/sandbox")
        # The sandboxes' roles connect to this address as to any data source's (data_sources/urls.py).
        user, _, password = read.account.removesuffix("@").partition(":")
        if not user or not password or [bool(host) for host, _ in read.hosts] != [True]:
            raise ValueError(
                "must name an account, a password and one host, as in postgresql://user:password@host/sandbox"
            )
        for name, _ in read.parameters:
            if name not in PASSED_OVER | {"sslmode", "channel_binding"}:
                raise unknown_parameter(name, "sandboxes can't use")
        return found


class RedisSettings(LogSettings):
    """What a process needs that only talks to Redis, such as Flower."""

    redis_url: str = Field(repr=False)
    celery_broker_url: str = Field(default="", repr=False)
    stream_redis_url: str = Field(default="", repr=False)
    redis_prefix: str = ""
    redis_prefix_before: str | None = None

    @field_validator("redis_url", "celery_broker_url", "stream_redis_url")
    @classmethod
    def _is_redis(cls, url: str) -> str:
        return one_spelling(url) if url else ""

    @field_validator("redis_prefix", "redis_prefix_before")
    @classmethod
    def _is_prefix(cls, prefix: str | None) -> str | None:
        if prefix and not PREFIX.fullmatch(prefix):
            raise ValueError("must be at most 64 letters, digits, `:`, `_`, `.` and `-`")
        return prefix

    @model_validator(mode="after")
    def _has_changed(self) -> Self:
        if self.redis_prefix == NO_PREFIX:
            raise ValueError(
                f"REDIS_PREFIX: {NO_PREFIX} is the word for no prefix in REDIS_PREFIX_BEFORE; leave it unset"
            )
        if self.redis_prefix_before == (self.redis_prefix or NO_PREFIX):
            raise ValueError("REDIS_PREFIX_BEFORE: is the same as REDIS_PREFIX; leave it unset where nothing changes")
        return self

    @property
    def redis_prefixes(self) -> tuple[str, ...]:
        """What the names in Redis begin with: the deployment's prefix, then the one before while it changes."""
        before = self.redis_prefix_before
        return (self.redis_prefix, *([] if before is None else ["" if before == NO_PREFIX else before]))

    @model_validator(mode="before")
    @classmethod
    def _share_redis(cls, values: dict[str, Any]) -> dict[str, Any]:
        """The broker and the stream logs live in REDIS_URL unless they are given a server of their own."""
        if isinstance(values.get("redis_url"), str):
            values.setdefault("celery_broker_url", values["redis_url"])
            values.setdefault("stream_redis_url", values["redis_url"])
        return values


class AccountSettings(LogSettings):
    """Who may make an account, and mail to the owners of accounts.

    MAIL_FROM switches mail on. Only who sends mail needs SMTP_URL, which holds a password.
    """

    signup_mode: SignupMode = "open"
    public_url: str | None = None
    mail_from: str | None = None
    smtp_url: str | None = Field(default=None, repr=False)
    smtp_timeout_seconds: float = Field(default=15, ge=1, le=60)
    verify_link_hours: int = Field(default=24, ge=1, le=24 * 30)
    reset_link_minutes: int = Field(default=30, ge=5, le=24 * 60)
    invite_days: int = Field(default=7, ge=1, le=90)

    @property
    def smtp_server(self) -> SmtpServer | None:
        """Where mail is sent through; None where mail is off.

        Raises:
            SettingsInvalid: mail is on, and there is no server.

        """
        if self.mail_from is None:
            return None
        if self.smtp_url is None:
            raise SettingsInvalid("SMTP_URL: is not set, and MAIL_FROM is; set both, or neither")
        return read_smtp_url(self.smtp_url)

    @field_validator("smtp_url")
    @classmethod
    def _is_smtp(cls, url: str | None) -> str | None:
        if url is not None:
            read_smtp_url(url)
        return url

    @field_validator("mail_from")
    @classmethod
    def _is_sender(cls, text: str | None) -> str | None:
        return None if text is None else read_sender(text)

    @field_validator("public_url")
    @classmethod
    def _is_public(cls, text: str | None) -> str | None:
        """The page's address, without a slash at its end."""
        if text is None:
            return None
        url = read_url(text, ("http", "https"))
        if url.account or url.query or len(url.hosts) > 1 or not url.hosts[0][0]:
            raise ValueError("must be the address of the page, such as https://chat.example.com")
        return f"{replace(url, path='')}{read_prefix(url.path)}"

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        if self.mail_from is not None and self.public_url is None:
            raise ValueError("PUBLIC_URL: is not set, and MAIL_FROM is; links in mails need the address of the page")
        if self.smtp_url is not None and self.mail_from is None:
            raise ValueError("MAIL_FROM: is not set, and SMTP_URL is; set both, or neither")
        return self


class Settings(RedisSettings, DatabaseSettings, AccountSettings):
    """All settings, by the names of their environment variables (in any case); `.env` is read too.

    A variable that is set to nothing, or to nothing but spaces, counts as unset. Sizes are in bytes, times in seconds,
    unless a name says otherwise.
    """

    database_pool_size: int = Field(default=10, ge=1, le=200)

    # Against those who try passwords and make accounts and messages without end; 0 means no limit.
    login_bad_tries: int = Field(default=10, ge=0, le=10_000)
    login_bad_tries_of_network: int = Field(default=100, ge=0, le=1_000_000)
    login_bad_tries_at_account: int = Field(default=30, ge=0, le=1_000_000)
    signups_per_hour: int = Field(default=200, ge=0, le=1_000_000)
    mails_per_hour: int = Field(default=5, ge=0, le=1_000_000)
    mails_per_hour_of_network: int = Field(default=100, ge=0, le=1_000_000)
    user_messages_per_minute: int | None = Field(default=None, ge=0, le=1_000_000)
    user_tickets_per_minute: int = Field(default=600, ge=0, le=1_000_000)
    clock_leeway_seconds: int = Field(default=10, ge=0, le=300)

    host: str = "127.0.0.1"
    port: int = Field(default=8000, ge=0, le=MAX_PORT)
    jwt_secret_key: SecretStr | None = None
    jwt_previous_secret_keys: Annotated[tuple[SecretStr, ...], NoDecode] = ()
    jwt_algorithm: Literal["HS256", "HS384", "HS512"] = "HS256"
    access_token_expire_minutes: int = Field(default=15, ge=1, le=7 * 24 * 60)
    session_days: int = Field(default=30, ge=1, le=365)
    session_max_days: int = Field(default=365, ge=1, le=3650)
    refresh_grace_seconds: int = Field(default=30, ge=1, le=300)
    stream_ticket_seconds: int = Field(default=900, ge=10, le=24 * 3600)
    cookies_over_http: bool = False
    reauthenticate_after_seconds: int = Field(default=600, ge=10, le=24 * 3600)
    bcrypt_rounds: int = Field(default=12, ge=10, le=16)
    password_login: bool = True
    oidc_providers: Annotated[tuple[OidcProvider, ...], NoDecode] = ()
    backend_cors_origins: Annotated[tuple[str, ...], NoDecode] = LOCAL_ORIGINS
    max_body_bytes: int = Field(default=1024 * 1024, ge=1024)
    ai_sdk_max_body_bytes: int = Field(default=20 * 1024 * 1024, ge=1024)
    message_max_chars: int = Field(default=32_000, ge=1, le=200_000)

    head_timeout_seconds: float = Field(default=10, ge=0.1, le=600)
    body_timeout_seconds: float = Field(default=20, ge=0.1, le=600)
    send_timeout_seconds: float = Field(default=30, ge=0.1, le=600)
    idle_timeout_seconds: int = Field(default=65, ge=1, le=3600)
    max_connections: int | None = Field(default=None, ge=1, le=1_000_000)
    network_max_connections: int = Field(default=2000, ge=1, le=1_000_000)
    network_max_streams: int = Field(default=500, ge=1, le=1_000_000)
    user_max_streams: int = Field(default=20, ge=1, le=1_000_000)
    user_stream_seconds: float = Field(default=5, ge=0, le=3600)

    web_page: bool = True

    docs: bool = True
    allowed_hosts: Annotated[tuple[str, ...], NoDecode] = ()
    root_path: str = ""

    groq_api_key: SecretStr | None = None
    groq_model: str = "openai/gpt-oss-120b"
    groq_models: Annotated[tuple[str, ...], NoDecode] = ()
    groq_fallback_model: str | None = None
    groq_base_url: str | None = None
    tools: Annotated[tuple[str, ...], NoDecode] = (
        *("web_search", "search_history", "chats_search", "chat_rename", "chats_delete"),
        *("db_sources", "db_schema", "db_query", "db_propose_write"),
    )
    tavily_api_key: SecretStr | None = None
    tavily_base_url: str | None = None
    search_timeout_seconds: float = Field(default=8, gt=0, le=60)
    search_max_results: int = Field(default=5, ge=1, le=20)
    search_max_steps: int = Field(default=3, ge=1, le=10)
    database_max_steps: int = Field(default=12, ge=1, le=50)
    model_max_tokens: int = Field(default=4_096, ge=1)
    model_context_tokens: int = Field(default=32_000)
    model_contexts: Annotated[tuple[tuple[str, int], ...], NoDecode] = ()
    reply_max_chars: int = Field(default=200_000, ge=1000)
    model_temperature: float = Field(default=0.7, ge=0, le=2)
    model_reasoning_effort: Literal["low", "medium", "high"] | None = None
    model_read_timeout_seconds: float = Field(default=60, gt=0)
    generation_timeout_seconds: float = Field(default=600, gt=0)
    history_window: int = Field(default=5, ge=1, le=1000)
    summary_max_chars: int = Field(default=4_000, ge=200, le=20_000)
    summary_chunk_messages: int = Field(default=10, ge=1, le=200)
    summary_timeout_seconds: float = Field(default=120, ge=1, le=600)
    facts_max: int = Field(default=40, ge=0, le=200)
    temporary_chat_hours: int = Field(default=24, ge=1, le=720)
    chat_trash_days: int = Field(default=30, ge=1, le=3650)
    title_by_model: bool = True

    model_prefill: bool = True
    model_tools: bool = True

    user_max_live_generations: int = Field(default=4, ge=1, le=1000)
    completion_wait_seconds: float = Field(default=600, ge=1, le=3600)
    queue_max_depth: int = Field(default=1000, ge=1, le=100_000)
    user_daily_tokens: int | None = Field(default=None, ge=1)

    operation_expire_seconds: int = Field(default=24 * 60 * 60, ge=60, le=30 * 24 * 3600)
    operations_max_pending: int = Field(default=20, ge=1, le=1000)
    operation_max_rows: int = Field(default=1000, ge=1, le=10_000)
    data_source_hosts: Annotated[tuple[str, ...], NoDecode] = ()
    data_source_statement_seconds: float = Field(default=10, ge=0.1, le=300)
    data_source_max_rows: int = Field(default=500, ge=1, le=10_000)

    worker_concurrency: int = Field(default=128, ge=1, le=1000)
    worker_drain_seconds: float = Field(default=20, ge=0, le=600)
    lease_seconds: float = Field(default=15, ge=3, le=600)
    flush_interval_seconds: float = Field(default=0.025, ge=0.001, le=1)
    checkpoint_interval_seconds: float = Field(default=1, ge=0.05, le=60)
    sweep_interval_seconds: float = Field(default=2, ge=0.2, le=60)
    stream_ttl_seconds: int = Field(default=900, ge=10)
    stream_keep_alive_seconds: float = Field(default=15, ge=0.1, le=60)
    feed_max_events: int = Field(default=500, ge=10, le=100_000)
    feed_ttl_seconds: int = Field(default=24 * 60 * 60, ge=60)

    metrics_host: str = "127.0.0.1"
    metrics_port: int | None = Field(default=None, ge=1, le=MAX_PORT)

    @field_validator("oidc_providers", mode="before")
    @classmethod
    def _read_providers(cls, text: Any) -> Any:  # noqa: ANN401
        return read_providers(text) if isinstance(text, str) else text

    def insist_on_a_way_in(self) -> None:
        """See that people can log in. Only the API's settings have the providers, so other processes don't ask.

        Raises:
            SettingsInvalid: passwords are off, and there is no provider; or providers don't know where to send people back to.

        """
        if self.oidc_providers and self.public_url is None:
            raise SettingsInvalid("PUBLIC_URL: is not set, and the providers of OIDC_PROVIDERS send people back to it")
        if not self.password_login and not self.oidc_providers:
            raise SettingsInvalid("PASSWORD_LOGIN: is off, and OIDC_PROVIDERS has no other way to log in")

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
        _insist_on_names(name for name, _ in contexts)
        for _, size in contexts:
            cls._is_context(size, info)
        return contexts

    @property
    def messages_per_minute(self) -> int:
        """How many messages a user may send a minute: many for each answer that the user may have at a time."""
        return (
            150 * self.user_max_live_generations
            if self.user_messages_per_minute is None
            else self.user_messages_per_minute
        )

    @property
    def weak_passwords(self) -> tuple[str, ...]:
        """The settings whose URLs have a password that others know or can guess. A laptop's server may well have one."""
        urls = (
            *("database_url", "migration_database_url", "sandbox_database_url", "migration_sandbox_url"),
            *("redis_url", "celery_broker_url", "stream_redis_url"),
        )
        found = (name for name in urls if is_weak_password(unquote(urlsplit(getattr(self, name) or "").password or "")))
        return tuple(name.upper() for name in found)

    @property
    def listed_origins(self) -> tuple[str, ...]:
        """The origins that the operator has listed. The defaults are nobody's word: any program may serve them."""
        return self.backend_cors_origins if "backend_cors_origins" in self.model_fields_set else ()

    @property
    def offered_models(self) -> tuple[str, ...]:
        """The models that a message may ask for, the default one first."""
        return tuple(dict.fromkeys((self.groq_model, *self.groq_models)))

    @property
    def known_models(self) -> tuple[str, ...]:
        """The models that may be asked: those on offer, and the one that may have to answer in their stead."""
        return (*self.offered_models, *([self.groq_fallback_model] if self.groq_fallback_model else []))

    @field_validator("groq_base_url", "tavily_base_url")
    @classmethod
    def _is_address(cls, text: str | None) -> str | None:
        """An address of HTTP. What the client adds to it by itself may be there already."""
        if text is None:
            return None
        url = read_url(text, ("http", "https"))
        if url.account:
            raise ValueError("can't hold a user or a password: a request has no place for them beside the key")
        if url.query or len(url.hosts) > 1 or not url.hosts[0][0]:
            raise ValueError("must be an address such as https://model.example.com:8080")
        return API_PATH.sub("", str(url))

    @field_validator("groq_api_key", "tavily_api_key")
    @classmethod
    def _fits_a_header(cls, key: SecretStr | None) -> SecretStr | None:
        """A key is sent in a header, and each request would fail over a line end or a letter that a header can't hold.

        Quotation marks around it are taken off: `docker run --env-file` leaves them there.
        """
        if key is None:
            return None
        text = key.get_secret_value()
        if quoted := QUOTED.fullmatch(text):
            text = quoted[2]
        if not KEY.fullmatch(text):
            raise ValueError("has characters that no key has")
        return SecretStr(text)

    @field_validator("groq_model", "groq_models", "groq_fallback_model")
    @classmethod
    def _are_names(cls, named: Any) -> Any:  # noqa: ANN401 - one name, several, or None
        _insist_on_names((named,) if isinstance(named, str) else named or ())
        return named

    @field_validator("jwt_secret_key")
    @classmethod
    def _is_strong(cls, secret: SecretStr | None) -> SecretStr | None:
        if secret is not None:
            _insist_on_strength(secret.get_secret_value())
        return secret

    @field_validator("jwt_previous_secret_keys")
    @classmethod
    def _are_strong(cls, secrets: tuple[SecretStr, ...]) -> tuple[SecretStr, ...]:
        if len(secrets) > MAX_PREVIOUS_KEYS:
            raise ValueError(f"must be at most {MAX_PREVIOUS_KEYS} keys, separated by commas")
        for secret in secrets:
            _insist_on_strength(secret.get_secret_value())
        return secrets

    @model_validator(mode="after")
    def _fit_the_algorithm(self) -> Self:
        """A key has at least as many bytes as the algorithm's hash (RFC 7518, section 3.2). No key is given twice."""
        least = int(self.jwt_algorithm.removeprefix("HS")) // 8
        current = [("JWT_SECRET_KEY", self.jwt_secret_key)] if self.jwt_secret_key is not None else []
        named = [*current, *(("JWT_PREVIOUS_SECRET_KEYS", secret) for secret in self.jwt_previous_secret_keys)]
        seen = set[str]()
        for name, secret in named:
            text = secret.get_secret_value()
            if len(text.encode()) < least:
                raise ValueError(
                    f"{name}: must have at least {least} bytes for {self.jwt_algorithm}; "
                    f"make one with: openssl rand -hex {least}"
                )
            if text in seen:
                raise ValueError(f"{name}: must not have a key that is there already, here or in JWT_SECRET_KEY")
            seen.add(text)
        return self

    @field_validator("root_path")
    @classmethod
    def _is_root(cls, text: str) -> str:
        return read_prefix(text)

    @field_validator("data_source_hosts", "allowed_hosts")
    @classmethod
    def _are_hosts(cls, hosts: tuple[str, ...]) -> tuple[str, ...]:
        read_hosts(hosts)
        return hosts

    @field_validator(
        *("backend_cors_origins", "groq_models", "tools", "data_source_hosts", "allowed_hosts"),
        "jwt_previous_secret_keys",
        mode="before",
    )
    @classmethod
    def _split(cls, items: Any) -> Any:  # noqa: ANN401
        return split(items)

    @field_validator("backend_cors_origins")
    @classmethod
    def _are_origins(cls, origins: tuple[str, ...]) -> tuple[str, ...]:
        """As browsers write them; what could never match one, as a wildcard or a path, is refused and quoted."""
        return tuple(read_origin(text) for text in origins)

    @model_validator(mode="before")
    @classmethod
    def _fall_back_at_groq(cls, values: dict[str, Any]) -> dict[str, Any]:
        """At Groq there is a fallback model unless another is named."""
        if not values.get("groq_base_url"):
            values.setdefault("groq_fallback_model", GROQ_FALLBACK)
        return values

    @model_validator(mode="after")
    def _fit_together(self) -> Self:
        if contradiction := find_contradiction(self.__dict__, self.model_fields_set):
            raise ValueError(contradiction)
        return self
