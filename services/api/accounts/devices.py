"""What a client calls itself, in words that a person knows.

Browsers say no more than this any more, so a few marks do; a library of all devices ever made would be asked for nothing else.
Source: RFC 9110, section 10.1.5; https://www.chromium.org/updates/ua-reduction/
"""

from typing import Final

BROWSERS: Final = (
    ("Edg", "Edge"),
    ("OPR/", "Opera"),
    ("SamsungBrowser/", "Samsung Internet"),
    ("Firefox/", "Firefox"),
    ("FxiOS/", "Firefox"),
    ("CriOS/", "Chrome"),
    ("Chrome/", "Chrome"),
    ("Safari/", "Safari"),
)
"""Marks and names. The first one found counts: most browsers also say that they are an older one."""
SYSTEMS: Final = (
    ("Android", "Android"),
    ("iPhone", "iPhone"),
    ("iPad", "iPad"),
    ("Windows", "Windows"),
    ("CrOS", "ChromeOS"),
    ("Macintosh", "Mac"),
    ("Linux", "Linux"),
)
AS_BROWSERS_DO: Final = "Mozilla/"
"""How all browsers begin."""


def device_of(user_agent: str | None) -> str | None:
    """For example `Firefox on Linux`. What is no browser's is told as it is; None where nothing was said."""
    if not user_agent or not user_agent.startswith(AS_BROWSERS_DO):
        return user_agent or None
    found = (_named(user_agent, BROWSERS), _named(user_agent, SYSTEMS))
    return " on ".join(name for name in found if name) or user_agent


def _named(user_agent: str, names: tuple[tuple[str, str], ...]) -> str | None:
    return next((name for mark, name in names if mark in user_agent), None)
