"""A repeated request is compared by what its client sent, whatever the settings of the API that it reaches."""

from services.api.turns.idempotency import sent_key
from shared.generations.parameters import Parameters

SENT = {"asked": {"model": "double"}, "conversation": None, "input": "Hello"}


def test_another_temperature_of_the_settings_is_the_same_request() -> None:
    keys = {sent_key("key", SENT, Parameters(temperature=setting)) for setting in (0.3, 0.7)}
    assert len(keys) == 1


def test_another_temperature_of_the_client_is_another_request() -> None:
    first, second = (
        sent_key("key", {**SENT, "asked": {"temperature": asked}}, Parameters(temperature=asked))
        for asked in (0.3, 0.7)
    )
    assert first != second
