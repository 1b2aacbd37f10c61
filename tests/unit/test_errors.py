"""The error tree: its drawing, its codes, its messages."""

import re
from collections.abc import Iterator

import pytest

from shared import errors
from shared.errors import CortexAIError


def tree(kind: type[CortexAIError] = CortexAIError) -> Iterator[type[CortexAIError]]:
    """A class and all below it."""
    yield kind
    for child in kind.__subclasses__():
        yield from tree(child)


CLASSES = [kind for kind in tree() if kind.__module__ == errors.__name__]


def drawn() -> dict[str, str | None]:
    """The module docstring's drawing: each name with its parent's."""
    parents: dict[str, str | None] = {}
    path: list[str] = []
    for line in (errors.__doc__ or "").splitlines():
        found = re.match(r"^((?:[│ ] {3})*(?:[├└]── )?)([A-Z]\w+)(?: {2,}.*)?$", line)
        if found:
            depth = len(found[1]) // 4
            parents[found[2]] = path[depth - 1] if depth else None
            path[depth:] = [found[2]]
    return parents


def test_the_drawing_at_the_top_of_the_file_is_the_tree() -> None:
    assert drawn() == {kind.__name__: None if kind is CortexAIError else kind.__mro__[1].__name__ for kind in CLASSES}


def test_no_two_errors_share_a_code() -> None:
    codes = [kind.code for kind in CLASSES]
    assert sorted(codes) == sorted(set(codes))


@pytest.mark.parametrize("kind", CLASSES)
def test_an_error_has_a_code_of_its_own_in_snake_case(kind: type[CortexAIError]) -> None:
    assert "code" in vars(kind)
    assert re.fullmatch(r"[a-z]+(_[a-z]+)*", kind.code)


@pytest.mark.parametrize("kind", CLASSES)
def test_an_errors_message_is_its_docstring_on_one_line(kind: type[CortexAIError]) -> None:
    assert "__doc__" in vars(kind)
    message = kind.default_message()
    assert message.endswith(".")
    assert message == " ".join(message.split())


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.0, "1 second"), (1.2, "2 seconds"), (60.0, "60 seconds"), (432.0, "8 minutes"), (86_400.0, "24 hours")],
)
def test_a_rate_limit_says_when_to_try_again(seconds: float, words: str) -> None:
    assert str(errors.ModelRateLimited(retry_after=seconds)).endswith(f"; try again in {words}.")


def test_an_error_says_its_default_message_unless_told_another() -> None:
    assert str(errors.ChatNotFound()) == "There is no such chat."
    assert str(errors.ChatNotFound("Gone.")) == errors.ChatNotFound("Gone.").message == "Gone."


def test_an_error_about_a_field_names_it() -> None:
    too_long = errors.ContentTooLong(32_000)
    assert too_long.field == "content"
    assert "32000" in str(too_long)


# These are the public contract: a change of one breaks clients.
@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("ChatNotFound", "chat_not_found"),
        ("ContentTooLong", "content_too_long"),
        ("CookieNeedsHttps", "cookie_needs_https"),
        ("CredentialsInvalid", "credentials_invalid"),
        ("CursorInvalid", "cursor_invalid"),
        ("DatabaseUnavailable", "database_unavailable"),
        ("CredentialNotAllowed", "credential_not_allowed"),
        ("EmailTaken", "email_taken"),
        ("GenerationInProgress", "generation_in_progress"),
        ("GenerationNotFound", "generation_not_found"),
        ("MemoryTooLarge", "memory_too_large"),
        ("OriginNotAllowed", "origin_not_allowed"),
        ("PayloadTooLarge", "payload_too_large"),
        ("RefreshTokenInvalid", "refresh_token_invalid"),
        ("SessionInvalid", "session_invalid"),
        ("SessionNotFound", "session_not_found"),
        ("StreamsUnavailable", "streams_unavailable"),
        ("TicketInvalid", "ticket_invalid"),
        ("TicketMismatch", "ticket_mismatch"),
        ("TokenInvalid", "token_invalid"),
        ("TooBusy", "too_busy"),
        ("Unauthenticated", "unauthenticated"),
    ],
)
def test_the_codes_that_clients_read_stay_as_they_are(name: str, code: str) -> None:
    assert {kind.__name__: kind.code for kind in CLASSES}[name] == code
