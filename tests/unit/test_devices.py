"""What a person is told of a client."""

import pytest

from services.api.accounts.devices import device_of

CHROME = "Mozilla/5.0 ({}) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 {}Safari/537.36"
IPHONE = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) {}"


@pytest.mark.parametrize(
    ("user_agent", "device"),
    [
        ("Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0", "Firefox on Linux"),
        (CHROME.format("Windows NT 10.0; Win64; x64", ""), "Chrome on Windows"),
        (CHROME.format("Linux; Android 10; K", "Mobile "), "Chrome on Android"),
        (CHROME.format("X11; CrOS x86_64 14541.0.0", ""), "Chrome on ChromeOS"),
        (CHROME.format("Windows NT 10.0; Win64; x64", "") + " Edg/142.0.0.0", "Edge on Windows"),
        (CHROME.format("Macintosh; Intel Mac OS X 10_15_7", "") + " OPR/120.0.0.0", "Opera on Mac"),
        (IPHONE.format("Version/18.5 Mobile/15E148 Safari/604.1"), "Safari on iPhone"),
        (IPHONE.format("CriOS/142.0 Mobile/15E148 Safari/604.1"), "Chrome on iPhone"),
        ("Mozilla/5.0 (compatible; something)", "Mozilla/5.0 (compatible; something)"),
        ("python-httpx/0.28.1", "python-httpx/0.28.1"),
        ("curl on Windows", "curl on Windows"),
        ("", None),
        (None, None),
    ],
)
def test_a_browser_is_told_by_its_name_and_its_system(user_agent: str | None, device: str | None) -> None:
    assert device_of(user_agent) == device
