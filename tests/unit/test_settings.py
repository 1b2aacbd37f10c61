"""Settings: from the environment, refused in one line that names the setting and not its value."""

from pathlib import Path

import pytest

from shared.errors import SettingsInvalid
from shared.settings import LOCAL_ORIGINS, DatabaseSettings, Settings

PASSWORD = "hunter2hunter2"
STRONG = "0f1e2d3c4b5a69788796a5b4c3d2e1f00f1e2d3c4b5a6978"
MINIMAL = {"DATABASE_URL": f"postgresql://cortexai:{PASSWORD}@db/cortexai", "REDIS_URL": f"redis://:{PASSWORD}@redis/0"}


@pytest.fixture(autouse=True)
def _empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No .env but the test's own."""
    monkeypatch.chdir(tmp_path)


def load(monkeypatch: pytest.MonkeyPatch, **variables: str) -> Settings:
    """Settings from the least that is needed and these variables."""
    for name, value in {**MINIMAL, **variables}.items():
        monkeypatch.setenv(name, value)
    return Settings.load()


@pytest.mark.parametrize(
    "scheme",
    ["postgresql", "postgres", "postgresql+psycopg", "postgresql+psycopg2", "postgresql+asyncpg", "postgres+psycopg"],
)
def test_every_usual_spelling_of_a_database_url_works(scheme: str, monkeypatch: pytest.MonkeyPatch) -> None:
    rest = "user:p%40ss@db.example.com:5433/name?sslmode=require&channel_binding=require"
    settings = load(monkeypatch, DATABASE_URL=f"{scheme}://{rest}")
    assert settings.database_url == f"postgresql+psycopg://{rest}"


@pytest.mark.parametrize("url", ["mysql://db/x", "sqlite:///x.db", "db.example.com/x", "postgresql:db", "http://db"])
def test_another_database_is_refused(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SettingsInvalid, match=r"^DATABASE_URL: must start with postgresql://$"):
        load(monkeypatch, DATABASE_URL=url)


@pytest.mark.parametrize("name", ["REDIS_URL", "CELERY_BROKER_URL", "STREAM_REDIS_URL"])
@pytest.mark.parametrize("url", ["amqp://mq", "redis:6379", "http://redis", "sentinel://x"])
def test_another_broker_is_refused(name: str, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SettingsInvalid, match=rf"^{name}: must start with redis:// or rediss://$"):
        load(monkeypatch, **{name: url})


def test_groqs_own_models_stand_in_for_each_other_at_groq_only(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = load(monkeypatch)
    assert (settings.groq_model, settings.groq_fallback_model) == ("openai/gpt-oss-120b", "openai/gpt-oss-20b")
    assert load(monkeypatch, GROQ_FALLBACK_MODEL="mine").groq_fallback_model == "mine"
    assert load(monkeypatch, GROQ_FALLBACK_MODEL="", GROQ_BASE_URL="http://mine").groq_fallback_model is None
    assert load(monkeypatch, GROQ_FALLBACK_MODEL="other").groq_fallback_model == "other"


def test_broker_and_stream_logs_live_in_the_one_redis_unless_told_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = load(monkeypatch, STREAM_REDIS_URL="rediss://streams:6380/1")
    assert settings.celery_broker_url == MINIMAL["REDIS_URL"]
    assert settings.stream_redis_url == "rediss://streams:6380/1"


@pytest.mark.parametrize("name", ["DATABASE_URL", "REDIS_URL"])
def test_what_is_needed_and_missing_is_named(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for other, value in MINIMAL.items():
        if other != name:
            monkeypatch.setenv(other, value)
    with pytest.raises(SettingsInvalid, match=rf"^{name}: is not set$"):
        Settings.load()


def test_a_process_can_require_what_others_do_without(monkeypatch: pytest.MonkeyPatch) -> None:
    load(monkeypatch)
    with pytest.raises(SettingsInvalid, match=r"^GROQ_API_KEY: is not set$"):
        Settings.load(require=("groq_api_key",))


def test_a_migration_needs_no_more_than_the_database(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", MINIMAL["DATABASE_URL"])
    assert DatabaseSettings.load().database_url.startswith("postgresql+psycopg://")


def test_a_variable_that_is_set_to_nothing_counts_as_unset(monkeypatch: pytest.MonkeyPatch) -> None:
    empty = dict.fromkeys(
        ("CELERY_BROKER_URL", "STREAM_REDIS_URL", "JWT_SECRET_KEY", "PORT", "BACKEND_CORS_ORIGINS", "LOG_LEVEL"), ""
    )
    settings = load(monkeypatch, **empty)
    assert settings.celery_broker_url == settings.stream_redis_url == MINIMAL["REDIS_URL"]
    assert settings.jwt_secret_key is None
    assert (settings.port, settings.log_level) == (8000, "info")
    assert settings.backend_cors_origins == LOCAL_ORIGINS


def test_a_needed_variable_that_is_set_to_nothing_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SettingsInvalid, match=r"^REDIS_URL: is not set$"):
        load(monkeypatch, REDIS_URL="")


def test_names_are_taken_in_any_case(monkeypatch: pytest.MonkeyPatch) -> None:
    assert load(monkeypatch, log_level="debug").log_level == "debug"


def test_a_dotenv_file_is_read_and_the_environment_wins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".env").write_text("PORT=9001\nLOG_LEVEL=debug\nNOT_OURS=1\n")
    settings = load(monkeypatch, LOG_LEVEL="error")
    assert (settings.port, settings.log_level) == (9001, "error")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PORT", "http"),
        ("PORT", "70000"),
        ("DATABASE_POOL_SIZE", "0"),
        ("BCRYPT_ROUNDS", "4"),
        ("MAX_BODY_BYTES", "1 MB"),
        ("MESSAGE_MAX_CHARS", "-1"),
        ("MODEL_TEMPERATURE", "nan"),
        ("LEASE_SECONDS", "0.5"),
        ("JWT_ALGORITHM", "none"),
        ("JWT_ALGORITHM", "RS256"),
        ("LOG_LEVEL", "chatty"),
        ("LOG_FORMAT", "xml"),
        ("BACKEND_CORS_ORIGINS", "*"),
        ("BACKEND_CORS_ORIGINS", "https://a.example.com,*"),
        ("BACKEND_CORS_ORIGINS", "a.example.com"),
        ("BACKEND_CORS_ORIGINS", '["https://a.example.com"]'),
        ("BACKEND_CORS_ORIGINS", "null"),
    ],
)
def test_an_unusable_value_is_refused_in_one_line_that_names_its_setting(
    name: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(SettingsInvalid) as refused:
        load(monkeypatch, **{name: value})
    assert str(refused.value).startswith(f"{name}: ")
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    "secret",
    [
        "short",
        "x" * 31,
        "0123456789abcdef0123456789abcde",
        "a" * 64,
        "0123" * 16,
        "change-me-change-me-change-me-change-me",
        "CHANGEME-0f1e2d3c4b5a69788796a5b4c3d2e1f0",
        "your-super-secret-jwt-signing-key-here-0",
        "my_insecure_development_key_0123456789",
    ],
)
def test_a_weak_or_well_known_signing_secret_is_refused(secret: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SettingsInvalid, match=r"^JWT_SECRET_KEY: .*openssl rand -hex 32$") as refused:
        load(monkeypatch, JWT_SECRET_KEY=secret)
    assert secret not in str(refused.value)


def test_a_secrets_length_is_counted_in_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    assert load(monkeypatch, JWT_SECRET_KEY="äöüßéèêàâçñőæøåł").jwt_secret_key is not None


@pytest.mark.parametrize(
    ("listed", "origins"),
    [
        ("https://app.example.com", ("https://app.example.com",)),
        (
            " https://a.example.com/ , http://b.example.com:8080 ,",
            ("https://a.example.com", "http://b.example.com:8080"),
        ),
        ("https://App.Example.com:443,http://[::1]:3000", ("https://app.example.com", "http://[::1]:3000")),
        (",", ()),
    ],
)
def test_origins_are_a_comma_separated_list(
    listed: str, origins: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert load(monkeypatch, BACKEND_CORS_ORIGINS=listed).backend_cors_origins == origins


@pytest.mark.parametrize(
    "origin",
    [
        "*",
        "https://*.example.com",
        "https://a.example.com/app",
        "https://a.example.com?x",
        "https://me@a.example.com",
        "https://a.example.com:port",
        "ftp://a.example.com",
        "a.example.com",
        "https://",
        "null",
    ],
)
def test_an_origin_that_no_browser_would_send_is_refused(origin: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SettingsInvalid, match=r"^BACKEND_CORS_ORIGINS: "):
        load(monkeypatch, BACKEND_CORS_ORIGINS=f"https://app.example.com,{origin}")


def test_settings_do_not_show_their_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = load(
        monkeypatch,
        JWT_SECRET_KEY=STRONG,
        GROQ_API_KEY=PASSWORD,
        TAVILY_API_KEY=PASSWORD,
        CELERY_BROKER_URL=f"redis://:{PASSWORD}@broker/0",
    )
    for shown in (repr(settings), str(settings)):
        assert STRONG not in shown
        assert PASSWORD not in shown


@pytest.mark.parametrize(
    "variables",
    [
        {"DATABASE_URL": f"mysql://cortexai:{PASSWORD}@db/cortexai"},
        {"REDIS_URL": f"amqp://:{PASSWORD}@mq"},
        {"JWT_SECRET_KEY": PASSWORD},
        {"PORT": PASSWORD},
    ],
    ids=lambda variables: next(iter(variables)),
)
def test_neither_an_error_nor_its_cause_shows_a_secret(
    variables: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(SettingsInvalid) as refused:
        load(monkeypatch, **variables)
    error: BaseException | None = refused.value
    while error is not None:
        assert PASSWORD not in f"{error} {error!r}"
        error = error.__cause__ or error.__context__


def test_settings_do_not_change(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = load(monkeypatch)
    with pytest.raises(ValueError, match="frozen"):
        setattr(settings, "port", 1)  # noqa: B010 - the type checker forbids it too


def test_a_model_may_read_more_or_less_than_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = load(monkeypatch, GROQ_MODEL="a", GROQ_FALLBACK_MODEL="c", MODEL_CONTEXTS="a=8000, b=131072,c=100000")
    assert dict(settings.model_contexts) == {"a": 8_000, "b": 131_072, "c": 100_000}


@pytest.mark.parametrize("contexts", ["a", "a=", "=900", "a=many", "a=100"])
def test_a_context_that_is_none_is_refused_by_name(contexts: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SettingsInvalid, match=r"^MODEL_CONTEXTS: "):
        load(monkeypatch, MODEL_CONTEXTS=contexts)


@pytest.mark.parametrize("name", ["MODEL_CONTEXT_TOKENS", "MODEL_CONTEXTS"])
def test_a_context_that_the_longest_reply_would_fill_is_refused(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    prefix = "a=" if name == "MODEL_CONTEXTS" else ""
    load(monkeypatch, MODEL_MAX_TOKENS="1000", **{name: f"{prefix}1512"})
    with pytest.raises(SettingsInvalid, match=rf"^{name}: must be at least 1512,"):
        load(monkeypatch, MODEL_MAX_TOKENS="1000", **{name: f"{prefix}1511"})


def test_the_models_on_offer_begin_with_the_default_one(monkeypatch: pytest.MonkeyPatch) -> None:
    assert load(monkeypatch, GROQ_MODEL="a", GROQ_MODELS="b, a,c").offered_models == ("a", "b", "c")
