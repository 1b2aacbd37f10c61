"""Settings: from the environment, refused in one line that names the setting and not its value."""

from pathlib import Path
from secrets import token_hex

import pytest
from pydantic import SecretStr

from shared.data_sources.urls import read_source_url
from shared.database_urls import to_libpq
from shared.errors import SettingsInvalid
from shared.settings import LOCAL_ORIGINS, MAX_PREVIOUS_KEYS, DatabaseSettings, RedisSettings, Settings

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


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("postgresql://u:p@one,two/sandbox", "one host"),
        ("postgresql://u:p@/sandbox?host=/run/postgresql", "one host"),
        ("postgresql://u@host/sandbox", "a password"),
        ("postgresql://u:p@host/sandbox?sslrootcert=ca.pem", "parameter 'sslrootcert'"),
        ("postgresql://u:p@host/sandbox?schema=mine", "parameter 'options'"),
    ],
)
def test_a_sandbox_address_that_no_sandbox_could_use_is_refused_at_once(
    url: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(SettingsInvalid, match=rf"^SANDBOX_DATABASE_URL: .*{said}"):
        load(monkeypatch, SANDBOX_DATABASE_URL=url)


def test_a_sandbox_address_is_one_of_a_data_source(monkeypatch: pytest.MonkeyPatch) -> None:
    url = "postgresql://u:p@[::1]:5433/sandbox?sslmode=require&channel_binding=require&connect_timeout=3"
    settings = load(monkeypatch, SANDBOX_DATABASE_URL=url)
    assert settings.sandbox_database_url is not None
    assert read_source_url(to_libpq(settings.sandbox_database_url)).port == 5433


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


SURROUNDED = ["{}\n", "{}\r\n", " {} ", "\t{}", "\n {}\n\n"]


@pytest.mark.parametrize("around", SURROUNDED)
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("DATABASE_URL", "postgresql+psycopg://db/cortexai"),
        ("REDIS_URL", "redis://redis/0"),
        ("CELERY_BROKER_URL", "redis://broker/0"),
        ("STREAM_REDIS_URL", "redis://streams/0"),
        ("GROQ_BASE_URL", "http://model"),
        ("GROQ_API_KEY", "gsk_x"),
        ("TAVILY_API_KEY", "tvly_x"),
        ("JWT_SECRET_KEY", STRONG),
        ("GROQ_MODEL", "a"),
        ("HOST", "::"),
        ("PORT", "8001"),
        ("MODEL_TEMPERATURE", "0.5"),
        ("MODEL_TOOLS", "False"),
        ("JWT_ALGORITHM", "HS512"),
        ("LOG_LEVEL", "debug"),
    ],
)
def test_what_surrounds_a_value_is_no_part_of_it(
    name: str, value: str, around: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = getattr(load(monkeypatch, **{name: around.format(value)}), name.lower())
    assert str(read.get_secret_value() if isinstance(read, SecretStr) else read) == value


@pytest.mark.parametrize("around", SURROUNDED)
def test_what_surrounds_an_item_of_a_list_is_no_part_of_it(around: str, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = load(
        monkeypatch,
        GROQ_MODELS=f"{around.format('a')},{around.format('b')}",
        BACKEND_CORS_ORIGINS=f"{around.format('https://a.example')},{around.format('https://b.example')}",
        MODEL_CONTEXTS=f"{around.format('a')}={around.format('9000')},{around.format('b')}={around.format('9001')}",
    )
    assert settings.groq_models == ("a", "b")
    assert settings.backend_cors_origins == ("https://a.example", "https://b.example")
    assert settings.model_contexts == (("a", 9000), ("b", 9001))


def test_a_variable_of_nothing_but_spaces_counts_as_unset(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".env").write_text("PORT=9001\n")
    settings = load(monkeypatch, PORT=" \n", GROQ_API_KEY="\n", LOG_LEVEL=" ", STREAM_REDIS_URL="\t")
    assert (settings.port, settings.groq_api_key, settings.log_level) == (9001, None, "info")
    assert settings.stream_redis_url == MINIMAL["REDIS_URL"]


@pytest.mark.parametrize("name", ["GROQ_API_KEY", "TAVILY_API_KEY"])
@pytest.mark.parametrize("key", ["two lines\nof it", "gsk_x gsk_y", "gsk_ä", "gsk_\x1b"])
def test_a_key_that_no_header_can_hold_is_refused(name: str, key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SettingsInvalid, match=rf"^{name}: has characters that no key has$"):
        load(monkeypatch, **{name: key})


@pytest.mark.parametrize("name", ["GROQ_API_KEY", "TAVILY_API_KEY"])
@pytest.mark.parametrize("quoted", ['"{}"', "'{}'", ' "{}"\n'])
def test_quotation_marks_around_a_key_are_no_part_of_it(
    name: str, quoted: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = getattr(load(monkeypatch, **{name: quoted.format("gsk_x")}), name.lower())
    assert read.get_secret_value() == "gsk_x"


@pytest.mark.parametrize("name", ["GROQ_API_KEY", "TAVILY_API_KEY"])
@pytest.mark.parametrize("key", ['"gsk_x', "gsk_x'", "\"gsk_x'", "\"'gsk_x'\"", '""', '"', "gsk_`x"])
def test_a_key_with_other_quotation_marks_is_refused(name: str, key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SettingsInvalid, match=rf"^{name}: has characters that no key has$"):
        load(monkeypatch, **{name: key})


@pytest.mark.parametrize("name", ["GROQ_MODEL", "GROQ_MODELS", "GROQ_FALLBACK_MODEL", "MODEL_CONTEXTS"])
@pytest.mark.parametrize(
    "model", ["a\nb", "a\r\nb", "a\tb", "a\x1b[31m", "a\x7f", "a\u2028b", "a\u202eb", '"a"', "'a'"]
)
def test_a_model_whose_name_is_none_is_refused(name: str, model: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SettingsInvalid, match=rf"^{name}: must name .* without quotation marks and line ends$"):
        load(monkeypatch, **{name: f"{model}=9000" if name == "MODEL_CONTEXTS" else model})


@pytest.mark.parametrize("model", ["openai/gpt-oss-120b", "My Model (Q4_K_M).gguf", "llama3:8b@latest", "模型"])
def test_a_models_name_may_be_of_any_spelling(model: str, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = load(monkeypatch, GROQ_MODEL=model, GROQ_MODELS=model, GROQ_FALLBACK_MODEL=model)
    assert settings.known_models == (model, model)


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
        "09d25e094faa6ca2556c818166b7a9563b93f7099f6f0f4caa6cf63b88e8d3e7",  # test_weak_secrets.py has more
        "0123456789abcdef0123456789abcdef",
        "abcdefghijklmnopqrstuvwxyzabcdef",
    ],
)
def test_a_weak_or_well_known_signing_secret_is_refused(secret: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SettingsInvalid, match=r"^JWT_SECRET_KEY: .*openssl rand -hex 32$") as refused:
        load(monkeypatch, JWT_SECRET_KEY=secret)
    assert secret not in str(refused.value)


@pytest.mark.parametrize(("algorithm", "least"), [("HS256", 32), ("HS384", 48), ("HS512", 64)])
def test_a_signing_secret_is_as_long_as_its_algorithms_hash(
    algorithm: str, least: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = token_hex(least)[:least]
    assert load(monkeypatch, JWT_ALGORITHM=algorithm, JWT_SECRET_KEY=secret).jwt_secret_key is not None
    with pytest.raises(SettingsInvalid, match=rf"^JWT_SECRET_KEY: must have at least {least} bytes") as refused:
        load(monkeypatch, JWT_ALGORITHM=algorithm, JWT_SECRET_KEY=secret[1:])
    assert secret[1:] not in str(refused.value)


def test_previous_keys_are_as_strong_as_the_one_that_signs(monkeypatch: pytest.MonkeyPatch) -> None:
    kept = [token_hex(32) for _ in range(MAX_PREVIOUS_KEYS)]
    settings = load(monkeypatch, JWT_SECRET_KEY=STRONG, JWT_PREVIOUS_SECRET_KEYS=f" {kept[0]}, {','.join(kept[1:])},")
    assert [key.get_secret_value() for key in settings.jwt_previous_secret_keys] == kept
    refused = {
        f"{kept[0]},short": "must have at least 32 bytes",
        f"{kept[0]},{'0123' * 16}": "looks like a published key",
        ",".join([*kept, token_hex(32)]): "must be at most 4 keys",
        f"{kept[0]},{kept[0]}": "must not have a key that is there already",
        f"{kept[0]},{STRONG}": "must not have a key that is there already",
    }
    for value, reason in refused.items():
        with pytest.raises(SettingsInvalid, match=f"^JWT_PREVIOUS_SECRET_KEYS: {reason}") as error:
            load(monkeypatch, JWT_SECRET_KEY=STRONG, JWT_PREVIOUS_SECRET_KEYS=value)
        assert not any(secret in str(error.value) for secret in (STRONG, *kept))
    with pytest.raises(SettingsInvalid, match=r"^JWT_PREVIOUS_SECRET_KEYS: must have at least 64 bytes for HS512"):
        load(
            monkeypatch,
            JWT_ALGORITHM="HS512",
            JWT_SECRET_KEY=token_hex(32),
            JWT_PREVIOUS_SECRET_KEYS=f"{token_hex(32)},{token_hex(24)}",
        )


def test_passwords_that_everybody_tries_first_are_named_and_not_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    strong = token_hex(32)
    weak = load(monkeypatch, DATABASE_URL="postgresql://postgres:postgres@db/x", REDIS_URL=f"redis://:{strong}@r")
    assert weak.weak_passwords == ("DATABASE_URL",)
    weak = load(
        monkeypatch,
        DATABASE_URL=f"postgresql://u:{strong}@db/x",
        REDIS_URL="redis://:change%2Dme%2Dnow%2Dplease@r",
        STREAM_REDIS_URL=f"redis://:{strong}@r",
    )
    assert weak.weak_passwords == ("REDIS_URL", "CELERY_BROKER_URL")
    assert load(monkeypatch, DATABASE_URL="postgresql:///x", REDIS_URL="redis://r").weak_passwords == ()


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
        ("http://[0:0::1]:0080,HTTPS://a.example:8443", ("http://[::1]", "https://a.example:8443")),
        ("capacitor://localhost,ionic://localhost/", ("capacitor://localhost", "ionic://localhost")),
        (
            "tauri://localhost,http://tauri.localhost,https://Tauri.localhost/",
            ("tauri://localhost", "http://tauri.localhost", "https://tauri.localhost"),
        ),
        (
            "app://-,app://.,App://Obsidian.md,tauri://localhost:1420",
            ("app://-", "app://.", "app://obsidian.md", "tauri://localhost:1420"),
        ),
        ("ionic://,app:///", ("ionic://", "app://")),
        (
            "chrome-extension://abcdefghijklmnopabcdefghijklmnop,moz-extension://17bbc9d4-ad92-4d4f-b2cc-3f5ff0c8c5a0/",
            (
                "chrome-extension://abcdefghijklmnopabcdefghijklmnop",
                "moz-extension://17bbc9d4-ad92-4d4f-b2cc-3f5ff0c8c5a0",
            ),
        ),
        (
            "vscode-webview://0dk3v8a9,vscode-file://vscode-app",
            ("vscode-webview://0dk3v8a9", "vscode-file://vscode-app"),
        ),
        ("custom://localhost:80,custom://localhost:443", ("custom://localhost:80", "custom://localhost:443")),
        (",", ()),
    ],
)
def test_origins_are_a_comma_separated_list(
    listed: str, origins: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = load(monkeypatch, BACKEND_CORS_ORIGINS=listed)
    assert settings.backend_cors_origins == settings.listed_origins == origins


@pytest.mark.parametrize("unset", [{}, {"BACKEND_CORS_ORIGINS": ""}, {"BACKEND_CORS_ORIGINS": " "}])
def test_the_default_origins_are_not_listed_by_the_operator(
    unset: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = load(monkeypatch, **unset)
    assert "http://localhost:3000" in settings.backend_cors_origins
    assert settings.listed_origins == ()


@pytest.mark.parametrize(
    ("origin", "reason"),
    [
        ("*", "wildcard"),
        ("https://*.example.com", "wildcard"),
        ("chrome-extension://*", "wildcard"),
        ("https://a.example.com/app", "is no origin"),
        ("https://a.example.com//", "is no origin"),
        ("tauri://localhost/index.html", "is no origin"),
        ("https://a.example.com?x", "is no origin"),
        ("https://a.example.com#x", "is no origin"),
        ("https://me@a.example.com", "is no origin"),
        ("https://a.example.com:port", "is no origin"),
        ("https://a.example.com:65536", "port"),
        ("app://:80", "port"),
        ("https://a example.com", "is no origin"),
        ("https://bücher.example", "is no origin"),
        ("a.example.com", "is no origin"),
        ("localhost:3000", "is no origin"),
        ("tauri", "is no origin"),
        ("tauri:", "is no origin"),
        ("://localhost", "is no origin"),
        ("https://", "has no host"),
        ("http://[::1", "is no origin"),
        ("http://[1:2]", "no IPv6 address"),
        ("null", "names nobody"),
        ("file://", "for file: pages"),
        ("file:///index.html", "is no origin"),
        ("ftp://a.example.com", "for ftp: pages"),
        ("ws://a.example.com", "for ws: pages"),
        ("data:text/html", "is no origin"),
    ],
)
def test_an_origin_that_no_browser_would_send_is_refused_and_quoted(
    origin: str, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(SettingsInvalid, match=r"^BACKEND_CORS_ORIGINS: ") as refused:
        load(monkeypatch, BACKEND_CORS_ORIGINS=f"https://app.example.com,{origin}")
    assert repr(origin.replace("me@", "…@")) in refused.value.message
    assert reason in refused.value.message
    assert "app.example.com," not in refused.value.message


def test_a_password_in_an_origin_is_not_quoted(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SettingsInvalid, match=r"'https://…@a\.example\.com': is no origin") as refused:
        load(monkeypatch, BACKEND_CORS_ORIGINS=f"https://me:{PASSWORD}@a.example.com")
    assert PASSWORD not in refused.value.message


def test_the_quotation_of_an_origin_is_one_line_of_bounded_length(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SettingsInvalid) as refused:
        load(monkeypatch, BACKEND_CORS_ORIGINS=f"https://a.example\nhttps://{'b' * 10_000}")
    assert r"https://a.example\nhttps://b" in refused.value.message
    assert "\n" not in refused.value.message
    assert len(refused.value.message) < 400


def test_settings_do_not_show_their_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = load(
        monkeypatch,
        JWT_SECRET_KEY=STRONG,
        JWT_PREVIOUS_SECRET_KEYS=STRONG[::-1],
        GROQ_API_KEY=PASSWORD,
        TAVILY_API_KEY=PASSWORD,
        CELERY_BROKER_URL=f"redis://:{PASSWORD}@broker/0",
    )
    for shown in (repr(settings), str(settings)):
        assert STRONG not in shown
        assert STRONG[::-1] not in shown
        assert PASSWORD not in shown


@pytest.mark.parametrize(
    "variables",
    [
        {"DATABASE_URL": f"mysql://cortexai:{PASSWORD}@db/cortexai"},
        {"REDIS_URL": f"amqp://:{PASSWORD}@mq"},
        {"JWT_SECRET_KEY": PASSWORD},
        {"JWT_PREVIOUS_SECRET_KEYS": PASSWORD},
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


@pytest.mark.parametrize(("value", "effort"), [("low", "low"), ("medium", "medium"), (" high\n", "high"), ("", None)])
def test_a_reasoning_effort_is_one_of_three_or_the_models_own(
    value: str, effort: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert load(monkeypatch, MODEL_REASONING_EFFORT=value).model_reasoning_effort == effort


@pytest.mark.parametrize("value", ["none", "HIGH", "hihg", "3"])
def test_another_effort_is_refused_at_the_start(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SettingsInvalid, match=r"^MODEL_REASONING_EFFORT: Input should be 'low', 'medium' or 'high'$"):
        load(monkeypatch, MODEL_REASONING_EFFORT=value)


@pytest.mark.parametrize("name", ["GROQ_BASE_URL", "TAVILY_BASE_URL"])
@pytest.mark.parametrize(
    "address", ["model.example.com", "ftp://model", "http://", "http://a b", "http://model\nHost: x", "http://m?key=x"]
)
def test_what_is_no_address_of_http_is_refused_by_name(
    name: str, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(SettingsInvalid, match=rf"^{name}: "):
        load(monkeypatch, **{name: address})


@pytest.mark.parametrize("name", ["GROQ_BASE_URL", "TAVILY_BASE_URL"])
@pytest.mark.parametrize("account", [f"user:{PASSWORD}@", f"{PASSWORD}@", f":{PASSWORD}@", "@"])
def test_an_account_in_an_address_is_refused_and_not_quoted(
    name: str, account: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(SettingsInvalid, match=rf"^{name}: can't hold a user or a password") as refused:
        load(monkeypatch, **{name: f"http://{account}model.example.com"})
    assert PASSWORD not in refused.value.message


@pytest.mark.parametrize(
    "path", ["", "/", "/openai/v1", "/openai/v1/", "/v1", "/v1/", "/openai", "/v1/chat/completions"]
)
@pytest.mark.parametrize("address", ["https://api.groq.com", "http://[::1]:8080", "http://model/below"])
def test_what_the_client_adds_to_the_models_address_may_be_there_already(
    address: str, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert load(monkeypatch, GROQ_BASE_URL=f"{address}{path}").groq_base_url == address


@pytest.mark.parametrize("quoted", ["'{}'", "{}"])
def test_a_dollar_in_the_dotenv_file_is_what_compose_makes_of_it(
    quoted: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    password = "a$b$$c${d}" if quoted != "{}" else "a$$b$$$$c$${d}"
    (tmp_path / ".env").write_text(f"REDIS_URL={quoted.format(f'redis://:{password}@redis/0')}\n")
    monkeypatch.setenv("DATABASE_URL", MINIMAL["DATABASE_URL"])
    assert Settings.load().redis_url == "redis://:a$b$$c$%7Bd%7D@redis/0"


def test_a_dotenv_file_that_compose_would_refuse_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".env").write_text("PORT=1\nREDIS_URL='redis://:hunter2@h\n")
    with pytest.raises(SettingsInvalid, match=r"^\.env, line 2: has no second quotation mark$"):
        load(monkeypatch)


@pytest.mark.parametrize(
    ("given", "prefixes"),
    [
        ({}, ("",)),
        ({"REDIS_PREFIX": "a:"}, ("a:",)),
        ({"REDIS_PREFIX": "a:", "REDIS_PREFIX_BEFORE": "none"}, ("a:", "")),
        ({"REDIS_PREFIX": "a:", "REDIS_PREFIX_BEFORE": "b:"}, ("a:", "b:")),
        ({"REDIS_PREFIX_BEFORE": "b:"}, ("", "b:")),
        ({"REDIS_PREFIX": "a:", "REDIS_PREFIX_BEFORE": ""}, ("a:",)),
    ],
)
def test_the_prefixes_are_the_one_now_and_the_one_before(
    given: dict[str, str], prefixes: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert load(monkeypatch, **given).redis_prefixes == prefixes
    assert RedisSettings.load().redis_prefixes == prefixes


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"REDIS_PREFIX": "a b"}, "REDIS_PREFIX"),
        ({"REDIS_PREFIX": "{a}"}, "REDIS_PREFIX"),
        ({"REDIS_PREFIX": "a*"}, "REDIS_PREFIX"),
        ({"REDIS_PREFIX": "a" * 65}, "REDIS_PREFIX"),
        ({"REDIS_PREFIX": "none"}, "REDIS_PREFIX"),
        ({"REDIS_PREFIX_BEFORE": "b\nc"}, "REDIS_PREFIX_BEFORE"),
        ({"REDIS_PREFIX": "a:", "REDIS_PREFIX_BEFORE": "a:"}, "REDIS_PREFIX_BEFORE: is the same as REDIS_PREFIX"),
        ({"REDIS_PREFIX_BEFORE": "none"}, "REDIS_PREFIX_BEFORE: is the same as REDIS_PREFIX"),
    ],
)
def test_a_prefix_that_is_none_is_refused_by_name(
    given: dict[str, str], named: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(SettingsInvalid, match=f"^{named}"):
        load(monkeypatch, **given)


@pytest.mark.parametrize(
    ("fits", "contradicts", "named"),
    [
        (
            {"MESSAGE_MAX_CHARS": "1000", "MAX_BODY_BYTES": "13024"},
            {"MESSAGE_MAX_CHARS": "1001", "MAX_BODY_BYTES": "13024"},
            ("MESSAGE_MAX_CHARS", "MAX_BODY_BYTES"),
        ),
        ({"MESSAGE_MAX_CHARS": "80000"}, {"MESSAGE_MAX_CHARS": "200000"}, ("MESSAGE_MAX_CHARS", "MAX_BODY_BYTES")),
        (
            {"MODEL_READ_TIMEOUT_SECONDS": "600"},
            {"MODEL_READ_TIMEOUT_SECONDS": "601"},
            ("MODEL_READ_TIMEOUT_SECONDS", "GENERATION_TIMEOUT_SECONDS"),
        ),
        (
            {"SEARCH_TIMEOUT_SECONDS": "60", "GENERATION_TIMEOUT_SECONDS": "60"},
            {"SEARCH_TIMEOUT_SECONDS": "9", "GENERATION_TIMEOUT_SECONDS": "8", "MODEL_READ_TIMEOUT_SECONDS": "5"},
            ("SEARCH_TIMEOUT_SECONDS", "GENERATION_TIMEOUT_SECONDS"),
        ),
        (
            {"STREAM_TTL_SECONDS": "61"},
            {"STREAM_TTL_SECONDS": "60"},
            ("MODEL_READ_TIMEOUT_SECONDS", "STREAM_TTL_SECONDS"),
        ),
        (
            {"LEASE_SECONDS": "100", "STREAM_TTL_SECONDS": "101"},
            {"LEASE_SECONDS": "100", "STREAM_TTL_SECONDS": "100"},
            ("LEASE_SECONDS", "STREAM_TTL_SECONDS"),
        ),
        (
            {"SWEEP_INTERVAL_SECONDS": "15"},
            {"SWEEP_INTERVAL_SECONDS": "16"},
            ("SWEEP_INTERVAL_SECONDS", "LEASE_SECONDS"),
        ),
        (
            {"CHECKPOINT_INTERVAL_SECONDS": "3", "LEASE_SECONDS": "3"},
            {"CHECKPOINT_INTERVAL_SECONDS": "4", "LEASE_SECONDS": "3"},
            ("CHECKPOINT_INTERVAL_SECONDS", "LEASE_SECONDS"),
        ),
        ({"METRICS_PORT": "8001"}, {"METRICS_PORT": "8000"}, ("METRICS_PORT", "PORT")),
        (
            {"MODEL_CONTEXT_TOKENS": "5000", "SUMMARY_MAX_CHARS": "4000"},
            {"MODEL_CONTEXT_TOKENS": "5000", "SUMMARY_MAX_CHARS": "20000"},
            ("SUMMARY_MAX_CHARS", "MODEL_CONTEXT_TOKENS"),
        ),
        (
            {"MODEL_MAX_TOKENS": "4096", "MODEL_CONTEXT_TOKENS": "4608"},
            {"MODEL_MAX_TOKENS": "4096", "MODEL_CONTEXT_TOKENS": "4096"},
            ("MODEL_CONTEXT_TOKENS", "MODEL_MAX_TOKENS"),
        ),
        (
            {"GROQ_MODELS": "b", "MODEL_CONTEXTS": "b=4608"},
            {"GROQ_MODELS": "b", "MODEL_CONTEXTS": "b=4000"},
            ("MODEL_CONTEXTS", "MODEL_MAX_TOKENS"),
        ),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_settings_that_contradict_each_other_are_refused_and_both_are_named(
    fits: dict[str, str], contradicts: dict[str, str], named: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as around:
        load(around, **fits)
    with pytest.raises(SettingsInvalid, match=rf"^{named[0]}: .*\b{named[1]}\b"):
        load(monkeypatch, **contradicts)


def test_a_default_that_another_setting_makes_moot_is_no_contradiction(monkeypatch: pytest.MonkeyPatch) -> None:
    assert load(monkeypatch, GENERATION_TIMEOUT_SECONDS="5").generation_timeout_seconds == 5


URL_SETTINGS = ["DATABASE_URL", "REDIS_URL", "CELERY_BROKER_URL", "STREAM_REDIS_URL"]


@pytest.mark.parametrize("password", ["hun@ter2", "hun%ter2"])
@pytest.mark.parametrize("name", URL_SETTINGS)
def test_what_follows_an_at_sign_in_a_password_is_no_host(
    name: str, password: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    scheme = "postgresql" if name == "DATABASE_URL" else "redis"
    settings = load(monkeypatch, **{name: f"{scheme}://u:{password}@h.example/0"})
    assert getattr(settings, name.lower()).rpartition("@")[2] == "h.example/0"


@pytest.mark.parametrize("password", ["hun#ter2", "hun/ter2", "hun?ter2", "6379/ter2", "hun@ter2/x", "hun ter2"])
@pytest.mark.parametrize("name", URL_SETTINGS)
def test_no_part_of_a_password_is_in_a_message(name: str, password: str, monkeypatch: pytest.MonkeyPatch) -> None:
    scheme = "postgresql" if name == "DATABASE_URL" else "redis"
    with pytest.raises(SettingsInvalid, match=rf"^{name}: ") as refused:
        load(monkeypatch, **{name: f"{scheme}://u:{password}@h.example/0"})
    assert "ter2" not in refused.value.message
