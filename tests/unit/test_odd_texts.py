"""Whatever a client sends as a text: it is read in one way, or refused in a way that can be told."""

from hypothesis import given, settings

from services.api.fields import Body
from tests.support.odd_texts import READERS, TEXTS, read_by_all


@settings(max_examples=60)
@given(TEXTS)
def test_every_text_is_read_or_refused(text: str) -> None:
    read_by_all(text)


def test_a_text_that_nobody_can_store_is_refused() -> None:
    for text in ("\ud800", "\0"):
        read_by_all(text)


def test_each_text_of_a_body_has_a_reader() -> None:
    assert len(READERS) > 60
    assert {
        "NewChat.title",
        "NewMessage.content",
        "Signup.password",
        "event id",
        "NewDataSource.reader_url",
    } <= READERS.keys()
    assert Body.model_config["extra"] == "forbid"
