"""Settings of mail: whole, or refused in one line that names the setting and not its value."""

from typing import Any

import pytest

from shared.errors import SettingsInvalid
from shared.settings import AccountSettings
from shared.smtp_urls import SmtpServer, read_smtp_url

WHOLE = {"mail_from": "no-reply@example.com", "public_url": "https://chat.example.com"}
SERVER = "smtps://mailer:hunter2@smtp.example.com"


def load(**values: Any) -> AccountSettings:  # noqa: ANN401 - settings
    return AccountSettings.load(_env_file=None, **values)


@pytest.mark.parametrize(
    ("url", "server"),
    [
        ("smtps://h", SmtpServer("h", 465, "implicit")),
        ("smtps://u:p%40%2F@h:2465", SmtpServer("h", 2465, "implicit", "u", "p@/")),
        ("smtp://u:p@h", SmtpServer("h", 587, "starttls", "u", "p")),
        ("smtp://h?tls=none", SmtpServer("h", 25, "none")),
        ("smtp://[::1]:1025?tls=none", SmtpServer("::1", 1025, "none")),
    ],
)
def test_a_mail_server_is_named_with_the_tls_that_it_speaks(url: str, server: SmtpServer) -> None:
    assert read_smtp_url(url) == server


@pytest.mark.parametrize(
    "url",
    [
        "http://h",
        "smtp://",
        "smtp://h/path",
        "smtp://a,b",
        "smtp://hunter2@h",
        "smtp://u:hunter2@h?tls=none",
        "smtps://h?tls=none",
        "smtp://h?tls=maybe",
        "smtp://h?hunter2=1",
        "smtps://u:hunter2 x@h",
    ],
)
def test_what_is_no_mail_server_is_refused_without_being_told(url: str) -> None:
    with pytest.raises(SettingsInvalid, match=r"^SMTP_URL: ") as caught:
        load(**WHOLE, smtp_url=url)
    assert "=1" not in str(caught.value)
    assert "x@h" not in str(caught.value)


@pytest.mark.parametrize(
    ("values", "missing"),
    [
        ({"mail_from": "no-reply@example.com"}, "PUBLIC_URL"),
        ({"smtp_url": SERVER}, "MAIL_FROM"),
        ({"smtp_url": SERVER, "public_url": "https://chat.example.com"}, "MAIL_FROM"),
    ],
)
def test_half_of_mail_is_refused_and_what_is_missing_named(values: dict[str, str], missing: str) -> None:
    with pytest.raises(SettingsInvalid, match=rf"^{missing}: is not set"):
        load(**values)


def test_only_who_sends_mail_needs_the_server() -> None:
    """An API holds no password of the mail server's."""
    settings = load(**WHOLE)
    with pytest.raises(SettingsInvalid, match=r"^SMTP_URL: is not set"):
        _ = settings.smtp_server
    assert load().smtp_server is None
    assert load(**WHOLE, smtp_url=SERVER).smtp_server == SmtpServer(
        "smtp.example.com", 465, "implicit", "mailer", "hunter2"
    )
    assert "hunter2" not in repr(load(**WHOLE, smtp_url=SERVER))


@pytest.mark.parametrize("sender", ["x", "a@", "a@b\r\nBcc: c@d", "A <a@b.de>, c@d.e", "\u00e4@b.de"])
def test_what_can_send_no_mail_is_refused(sender: str) -> None:
    with pytest.raises(SettingsInvalid, match=r"^MAIL_FROM: must be a sender"):
        load(mail_from=sender, public_url="https://chat.example.com")


@pytest.mark.parametrize(
    "url", ["chat.example.com", "ftp://x", "https://u:p@x", "https://x?y=1", "https://", "https://x/../y"]
)
def test_what_is_no_address_of_a_page_is_refused(url: str) -> None:
    with pytest.raises(SettingsInvalid, match=r"^PUBLIC_URL: "):
        load(public_url=url)


@pytest.mark.parametrize("url", ["https://x.example.com/ai", "https://x.example.com/ai/"])
def test_the_address_of_the_page_may_have_a_path(url: str) -> None:
    assert load(public_url=url).public_url == "https://x.example.com/ai"
