"""The spellings of a Redis URL, made one that redis-py and kombu read alike: they disagree about parameters."""

from typing import Final
from urllib.parse import quote

from shared.urls import Url, read_url, unknown_parameter

TLS: Final = frozenset({"ssl_cert_reqs", "ssl_ca_certs", "ssl_certfile", "ssl_keyfile", "ssl_check_hostname"})
"""The parameters that both clients obey, with rediss://."""
CERTIFICATES: Final = ("none", "optional", "required")
SWITCHES: Final = {"true": "true", "1": "true", "yes": "true", "false": "false", "0": "false", "no": "false"}
"""One client takes all but `false` for true."""


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
            kept.append(f"{name}={quote(_value(name, value), safe='-._~/:')}")
        else:
            raise unknown_parameter(name, "can't be set here; leave it out")
    if path.strip("/") and not path.removeprefix("/").isdecimal():
        raise ValueError("must end in the number of a database, such as /0, or in nothing")
    return str(Url(url.scheme, url.account, url.hosts, path, "&".join(kept)))


def _value(name: str, value: str) -> str:
    """A parameter's value as both clients read it. Celery's own spelling, as CERT_NONE, is read by kombu alone."""
    if name == "ssl_cert_reqs":
        value = value.lower().removeprefix("cert_")
        if value not in CERTIFICATES:
            raise ValueError(f"has an ssl_cert_reqs that is none: use one of {', '.join(CERTIFICATES)}")
    elif name == "ssl_check_hostname":
        if value.lower() not in SWITCHES:
            raise ValueError("has an ssl_check_hostname that is none: use true or false")
        value = SWITCHES[value.lower()]
    return value
