"""What mails say: short, plain, and nothing of anybody's but the link."""

from datetime import UTC, datetime
from typing import get_args

import pytest

from services.worker.mail.port import Mail
from services.worker.mail.words import in_words, words_of
from shared.accounts.links import LinkPurpose
from shared.accounts.mails import WITH_LINK, MailKind, Notice
from shared.database.tables import MAIL_KINDS

LINK = f"https://chat.example.com/#/verify?token={'x' * 43}"
KINDS: tuple[MailKind, ...] = (*get_args(LinkPurpose), *get_args(Notice))


def test_the_table_knows_the_kinds_that_there_are() -> None:
    assert KINDS == MAIL_KINDS


@pytest.mark.parametrize("kind", KINDS)
def test_a_mail_has_its_link_or_its_time_and_no_address(kind: MailKind) -> None:
    link = LINK if kind in WITH_LINK else None
    at = datetime(2026, 5, 4, 10, 0, tzinfo=UTC)
    subject, text = words_of(Mail(7, kind, 1, "ada@example.com", link, 1800, at))
    assert text.count(LINK) == (kind in WITH_LINK)
    assert ("30 minutes" in text) == (kind in WITH_LINK)
    assert ("2026-05-04 at 10:00 UTC" in text) == (kind not in WITH_LINK)
    assert (subject + text).isascii()
    assert "None" not in text
    assert "ada@example.com" not in subject + text
    assert max(map(len, text.splitlines())) <= 130


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (60, "1 minute"),
        (1800, "30 minutes"),
        (3600, "1 hour"),
        (86_400, "24 hours"),
        (7 * 86_400, "7 days"),
        (1, "1 minute"),
    ],
)
def test_a_time_is_told_as_people_say_it(seconds: int, words: str) -> None:
    assert in_words(seconds) == words
