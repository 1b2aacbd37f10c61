"""Which proxy leads where, in all the forms that the environment has."""

import os

import pytest

from shared.proxies import Way, find_way

PROXY = "http://proxy.example:3128"
GROQ = "https://api.groq.com"


@pytest.fixture(autouse=True)
def _no_proxy_around(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)


def find(monkeypatch: pytest.MonkeyPatch, url: str = GROQ, **variables: str) -> Way:
    """The way to an address where these variables are set."""
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    return find_way(url)


def test_where_no_proxy_is_named_the_way_is_straight(monkeypatch: pytest.MonkeyPatch) -> None:
    assert find(monkeypatch) == Way(None)


@pytest.mark.parametrize("name", ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"])
@pytest.mark.parametrize(
    "value", [PROXY, f"{PROXY}/", f" {PROXY}\n", "proxy.example:3128", "http://me:p%40ss@[::1]:3128"]
)
def test_a_named_proxy_is_taken(name: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    told = value.strip()
    assert find(monkeypatch, **{name: value}) == Way(told if "://" in told else PROXY)


def test_the_variable_of_the_scheme_goes_before_the_one_for_all(monkeypatch: pytest.MonkeyPatch) -> None:
    variables = {"HTTPS_PROXY": PROXY, "HTTP_PROXY": "http://other:1", "ALL_PROXY": "http://another:1"}
    assert find(monkeypatch, **variables) == Way(PROXY)
    assert find(monkeypatch, "http://api.example") == Way("http://other:1")


@pytest.mark.parametrize(
    "value",
    [
        "socks5://127.0.0.1:1080",
        "socks5h://127.0.0.1:1080",
        "socks4://proxy",
        "ftp://proxy",
        "https://proxy",
        "http://",
        "http://[::1",
        "http://proxy:port",
        "http://proxy:99999",
        "http://proxy:0",
        "http://pro xy",
        "http://me:12/ss@proxy:3128",
        "http://me:12#ss@proxy:3128",
        "http://me:12?ss@proxy:3128",
    ],
)
def test_a_proxy_that_can_not_be_used_is_passed_over_and_named(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert find(monkeypatch, ALL_PROXY=value) == Way(None, ("ALL_PROXY",))
    assert find(monkeypatch, HTTPS_PROXY=PROXY) == Way(PROXY)
    assert find(monkeypatch, HTTPS_PROXY=value) == Way(None, ("HTTPS_PROXY", "ALL_PROXY"))
    assert find(monkeypatch, ALL_PROXY=PROXY) == Way(PROXY, ("HTTPS_PROXY",))


@pytest.mark.parametrize("url", ["http://[::1", "http://h:port", "http://h:99999", "", "h"])
def test_to_what_is_no_address_there_is_no_way_but_the_straight_one(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert find(monkeypatch, url, HTTP_PROXY=PROXY, HTTPS_PROXY=PROXY).proxy is None


def test_a_client_that_can_use_more_kinds_of_proxy_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALL_PROXY", "https://proxy")
    assert find_way(GROQ, {"http", "https"}) == Way("https://proxy")


@pytest.mark.parametrize(
    ("url", "listed"),
    [
        (GROQ, "*"),
        (GROQ, "localhost, *"),
        (GROQ, "api.groq.com"),
        (GROQ, " API.Groq.com "),
        (GROQ, "groq.com"),
        (GROQ, ".groq.com"),
        (GROQ, "*.groq.com"),
        ("http://model:9000", "model:9000"),
        ("http://localhost:1", "localhost"),
        ("http://127.0.0.1:1", "127.0.0.0/8"),
        ("http://10.1.2.3", "192.168.0.0/16,10.0.0.0/8"),
        ("http://[::1]:1", "::1"),
        ("http://[::1]:1", "[::1]"),
        ("http://[::1]:1", "[::1]:1"),
        ("http://[::1]:1", "::1/128"),
        ("http://[::1]", "0:0::1/128"),
        ("http://[fd12::3]", "localhost,fd00::/8"),
        ("http://[fd12::3]", "[fd00::]/8"),
    ],
)
def test_what_is_listed_is_reached_straight(url: str, listed: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert find(monkeypatch, url, ALL_PROXY="socks5://h", HTTPS_PROXY=PROXY, HTTP_PROXY=PROXY, NO_PROXY=listed) == Way(
        None
    )


@pytest.mark.parametrize(
    ("url", "listed"),
    [
        (GROQ, ""),
        (GROQ, ","),
        (GROQ, "groq.co,notgroq.com,.api.groq.com.example"),
        (GROQ, "::1/128,[::1],fd00::/8,10.0.0.0/8,[,],[]/,///,*.orb.local"),
        ("http://[::2]", "::1/128,[::1],::1"),
        ("http://10.1.2.3", "::/0,10.1.2.4"),
        ("http://mygroq.com", "groq.com"),
    ],
)
def test_what_is_not_listed_is_reached_by_the_proxy(url: str, listed: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert find(monkeypatch, url, HTTPS_PROXY=PROXY, HTTP_PROXY=PROXY, NO_PROXY=listed) == Way(PROXY)


@pytest.mark.parametrize(("password", "escaped"), [("p@ss", "p%40ss"), ("100%", "100%25"), ("p%40ss", "p%40ss")])
def test_a_password_is_handed_on_escaped(password: str, escaped: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert find(monkeypatch, ALL_PROXY=f"http://me:{password}@proxy:3128") == Way(f"http://me:{escaped}@proxy:3128")
