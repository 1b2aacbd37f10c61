"""The spellings of a PostgreSQL URL that are in use, made one that SQLAlchemy, psycopg and libpq read alike."""

import re
from typing import Final
from urllib.parse import quote

from shared.urls import Url, has_broken_escape, read_url, unknown_parameter

SCHEME: Final = "postgresql+psycopg"
LIBPQ: Final = frozenset(
    """
    service user password passfile channel_binding connect_timeout dbname host hostaddr port
    client_encoding options application_name fallback_application_name keepalives keepalives_idle
    keepalives_interval keepalives_count tcp_user_timeout sslmode sslnegotiation sslcompression sslcert
    sslkey sslcertmode sslpassword sslrootcert sslcrl sslcrldir sslsni requirepeer require_auth
    min_protocol_version max_protocol_version ssl_min_protocol_version ssl_max_protocol_version
    gssencmode krbsrvname gsslib gssdelegation replication target_session_attrs load_balance_hosts
    scram_client_key scram_server_key oauth_issuer oauth_client_id oauth_client_secret oauth_scope
    sslkeylogfile
    """.split()  # noqa: SIM905 - a list of 50 would be one word a line
)
"""The parameters that PostgreSQL's own client knows. Source: `psycopg.pq.Conninfo.get_defaults()`."""
HOLD_ANYWAY: Final = frozenset(
    {
        "pgbouncer",
        "prepareThreshold",
        "prepare_threshold",
        "statement_cache_size",
        "prepared_statement_cache_size",
        "prepared_statements",
    }
)
"""Parameters of other clients that say what holds here anyway: no statement is prepared by name."""
PASSED_OVER: Final = HOLD_ANYWAY | {"application_name", "fallback_application_name", "connect_timeout"}
"""Parameters that are common in addresses of data sources, and that this product decides by itself."""
POOLS: Final = frozenset({"connection_limit", "pool_size", "pool_timeout", "max_overflow", "max_pool_size"})
SSL_MODES: Final = frozenset({"disable", "allow", "prefer", "require", "verify-ca", "verify-full"})
SSL: Final = {"true": "require", "1": "require", "false": "disable", "0": "disable", "no-verify": "require"}
SCHEMA: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def to_sqlalchemy(text: str) -> str:
    """The URL for SQLAlchemy. `to_libpq` makes one for psycopg and libpq of it.

    Raises:
        ValueError: it is none, or has a parameter that nobody would obey. The message quotes a parameter's name at most.

    """
    if not text.startswith("postgres") or "://" not in text:
        raise ValueError("must start with postgresql://")
    scheme, _, rest = text.partition("://")
    if scheme.partition("+")[0] not in {"postgres", "postgresql"}:
        raise ValueError("must start with postgresql://")
    url = read_url(f"{SCHEME}://{rest}", {SCHEME})
    if has_broken_escape(rest):
        return f"{SCHEME}://{rest}"  # libpq refuses it, and says so to nobody but us
    parameters, hosts = _translated(url.parameters), list(url.hosts)
    if len(hosts) > 1:
        parameters |= {
            "host": ",".join(host.strip("[]") for host, _ in hosts),
            "port": ",".join(str(port or 5432) for _, port in hosts),
        }
        hosts = [("", None)]
    query = "&".join(f"{name}={quote(value, safe='-._~/,:')}" for name, value in parameters.items())
    return str(Url(SCHEME, url.account, tuple(hosts), url.path or ("/" if len(url.hosts) > 1 else ""), query))


def to_libpq(url: str) -> str:
    """The URL without SQLAlchemy's name of the driver."""
    return url.replace(f"{SCHEME}://", "postgresql://", 1)


def _translated(given: list[tuple[str, str]]) -> dict[str, str]:
    parameters: dict[str, str] = {}
    schema = ""
    for name, value in given:
        if name in HOLD_ANYWAY:
            continue
        if name in POOLS:
            raise ValueError(f"has the parameter {name}, which nobody reads here: set DATABASE_POOL_SIZE instead")
        if name in {"schema", "currentSchema"}:
            schema = value
            continue
        if name in {"ssl", "sslmode"}:
            name, value = "sslmode", _ssl_mode(value)  # noqa: PLW2901 - the same thing in another spelling
        if name not in LIBPQ:
            raise unknown_parameter(name, "PostgreSQL's client does not know")
        if parameters.setdefault(name, value) != value:
            raise ValueError(f"has two values of the parameter {name}")
    if schema and schema != "public":
        if not SCHEMA.fullmatch(schema):
            raise ValueError("has the parameter schema with a name that is none: use letters, digits and _")
        parameters["options"] = f'{parameters.get("options", "")} -csearch_path="{schema}"'.strip()
    return parameters


def _ssl_mode(value: str) -> str:
    mode = SSL.get(value.lower(), value)
    if mode not in SSL_MODES:
        raise ValueError(f"has an sslmode that is none: use one of {', '.join(sorted(SSL_MODES))}")
    return mode
