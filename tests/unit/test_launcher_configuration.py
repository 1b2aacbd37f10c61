from base64 import urlsafe_b64encode
from dataclasses import replace

import pytest

from services.launcher.configuration import LOCAL_DEFAULTS, Addresses, Given, additions, resolve
from shared.errors import SettingsInvalid

KEY = "0f1e2d3c4b5a69788796a5b4c3d2e1f00f1e2d3c4b5a6978"
EMBEDDED = Addresses("postgresql://127.0.0.1:1/cortexai", "redis://127.0.0.1:2/0", "http://127.0.0.1:3")
NOTHING = Addresses(None, None, None)
SOURCE_KEY = urlsafe_b64encode(bytes(range(32))).decode()


def given(monkeypatch: pytest.MonkeyPatch, **values: str) -> Given:
    for name, value in values.items():
        monkeypatch.setenv(name, value)
    return Given(_env_file=None)


def test_with_nothing_given_everything_is_embedded(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = resolve(
        additions(given(monkeypatch), EMBEDDED, jwt_secret_key=KEY, data_source_key=SOURCE_KEY, port=None)
    )
    assert settings.database_url == "postgresql+psycopg://127.0.0.1:1/cortexai"
    assert settings.stream_redis_url == settings.celery_broker_url == "redis://127.0.0.1:2/0"
    assert settings.groq_base_url == "http://127.0.0.1:3"
    assert settings.model_max_tokens < settings.model_context_tokens <= 2048


def test_set_to_nothing_counts_as_unset(monkeypatch: pytest.MonkeyPatch) -> None:
    found = given(monkeypatch, DATABASE_URL="", REDIS_URL="", GROQ_API_KEY="", GROQ_BASE_URL="", PORT="")
    assert (found.database_url, found.redis_url, found.port) == (None, None, None)
    assert found.needs_model


def test_what_surrounds_a_value_is_no_part_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    found = given(
        monkeypatch, DATABASE_URL=" postgresql://h/d\n", REDIS_URL="\n", GROQ_API_KEY="gsk_x\n", PORT="8001\r\n"
    )
    assert (found.database_url, found.redis_url, found.port) == ("postgresql://h/d", None, "8001")
    assert found.groq_api_key is not None
    assert found.groq_api_key.get_secret_value() == "gsk_x"


def test_what_was_given_is_not_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    found = given(
        monkeypatch,
        DATABASE_URL="postgresql://elsewhere/db",
        REDIS_URL="redis://elsewhere",
        GROQ_API_KEY="gsk",
        JWT_SECRET_KEY=KEY[::-1],
    )
    added = additions(found, NOTHING, jwt_secret_key=KEY, data_source_key=SOURCE_KEY, port=None)
    assert not {"DATABASE_URL", "REDIS_URL", "GROQ_API_KEY", "GROQ_BASE_URL", "GROQ_MODEL", "JWT_SECRET_KEY"} & set(
        added
    )


@pytest.mark.parametrize("name", sorted(LOCAL_DEFAULTS))
def test_what_only_suits_the_local_system_gives_way(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert name in additions(given(monkeypatch), EMBEDDED, jwt_secret_key=KEY, data_source_key=SOURCE_KEY, port=None)
    assert name not in additions(
        given(monkeypatch, **{name: "1"}), EMBEDDED, jwt_secret_key=KEY, data_source_key=SOURCE_KEY, port=None
    )


def test_what_the_local_model_is_does_not_give_way(monkeypatch: pytest.MonkeyPatch) -> None:
    found = given(monkeypatch, GROQ_MODEL="another", MODEL_CONTEXT_TOKENS="131072", MODEL_MAX_TOKENS="8192")
    settings = resolve(additions(found, EMBEDDED, jwt_secret_key=KEY, data_source_key=SOURCE_KEY, port=None))
    assert settings.groq_model != "another"
    assert settings.model_max_tokens < settings.model_context_tokens <= 2048


def test_an_endpoint_that_needs_no_key_gets_one_that_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    found = given(monkeypatch, GROQ_BASE_URL="http://127.0.0.1:9")
    assert not found.needs_model
    assert (
        additions(found, NOTHING, jwt_secret_key=KEY, data_source_key=SOURCE_KEY, port=None)["GROQ_API_KEY"] == "local"
    )


def test_the_parts_talk_to_each_other_without_a_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("no_proxy", raising=False)
    added = additions(
        given(monkeypatch, NO_PROXY="intranet"), EMBEDDED, jwt_secret_key=KEY, data_source_key=SOURCE_KEY, port=8000
    )
    assert added["NO_PROXY"] == "intranet,127.0.0.1,localhost"


def test_a_broker_of_its_own_stays_the_broker(monkeypatch: pytest.MonkeyPatch) -> None:
    found = given(monkeypatch, CELERY_BROKER_URL="redis://broker:6379/0")
    settings = resolve(additions(found, EMBEDDED, jwt_secret_key=KEY, data_source_key=SOURCE_KEY, port=None))
    assert settings.celery_broker_url == "redis://broker:6379/0"
    assert settings.stream_redis_url == "redis://127.0.0.1:2/0"


def test_data_sources_are_on_and_sandboxes_where_the_database_is_embedded(monkeypatch: pytest.MonkeyPatch) -> None:
    embedded = replace(EMBEDDED, sandbox_database_url="postgresql://u:p@127.0.0.1:1/sandbox")
    settings = resolve(
        additions(given(monkeypatch), embedded, jwt_secret_key=KEY, data_source_key=SOURCE_KEY, port=None)
    )
    assert [key.get_secret_value() for key in settings.data_source_keys] == [SOURCE_KEY]
    assert settings.sandbox_database_url == "postgresql+psycopg://u:p@127.0.0.1:1/sandbox"
    found = given(monkeypatch, DATA_SOURCE_KEYS="another", SANDBOX_DATABASE_URL="postgresql://u:p@elsewhere/sandbox")
    added = additions(found, embedded, jwt_secret_key=KEY, data_source_key=SOURCE_KEY, port=None)
    assert not {"DATA_SOURCE_KEYS", "SANDBOX_DATABASE_URL"} & set(added)


def test_a_weak_key_is_refused_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    found = given(monkeypatch, JWT_SECRET_KEY="secret")
    with pytest.raises(SettingsInvalid, match=r"^JWT_SECRET_KEY: ") as refused:
        resolve(additions(found, EMBEDDED, jwt_secret_key=KEY, data_source_key=SOURCE_KEY, port=None))
    assert "secret" not in refused.value.message.split(":", 1)[1]
