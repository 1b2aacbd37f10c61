"""The spellings of a Redis URL, made one that redis-py and kombu read alike: they disagree about parameters."""

from typing import Final
from urllib.parse import quote

from shared.urls import Url, read_url

TLS: Final = frozenset({"ssl_cert_reqs", "ssl_ca_certs", "ssl_certfile", "ssl_keyfile", "ssl_check_hostname"})
"""The parameters that both clients obey, with rediss://."""
MAX_QUOTED_CHARS: Final = 40


def one_spelling(text: str) -> str:
    """The URL as both clients read it.

    Raises:
        ValueError: it is none, or has a parameter that one of them would not obey. The message quotes a parameter's name
            at most.

    """
    url = read_url(text, ("redis", "rediss"))
    if len(url.hosts) > 1:
        raise ValueError("names several servers, and one is used: name one, or the address in front of them")
    path, kept = url.path, []
    for name, value in url.parameters:
        if name == "db":
            path = f"/{value}"
        elif name in TLS and url.scheme == "rediss":
            kept.append(f"{name}={quote(value, safe='-._~/:')}")
        else:
            raise ValueError(f"has the parameter {name[:MAX_QUOTED_CHARS]!r}, which can't be set here; leave it out")
    if path.strip("/") and not path.removeprefix("/").isdecimal():
        raise ValueError("must end in the number of a database, such as /0, or in nothing")
    return str(Url(url.scheme, url.account, url.hosts, path, "&".join(kept)))
