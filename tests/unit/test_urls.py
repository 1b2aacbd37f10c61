"""URLs with passwords: every spelling that is meant is taken, everything else is refused, and no message quotes a password."""

from urllib.parse import unquote

import kombu.utils.url
import psycopg
import pytest
import redis
from psycopg import pq
from redis.connection import parse_url
from sqlalchemy import make_url
from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg

from shared.database_urls import LIBPQ, to_libpq, to_sqlalchemy
from shared.redis_urls import one_spelling

PASSWORDS = [
    "p@ss",
    "p@@s:s",
    "100%",
    "p%40ss",
    "a:b",
    "a[b]",
    "a\\b",
    "p+s",
    "a&b=c;d",
    "ü",
    "~!$'()*,",
    "%",
    "p^|`{}<>",
]
SPLITTING = ["a/b", "a#b", "a?b", "a@b/c", "a#b@c", "1234/x", "1#2", "a b", "a\nb"]


def meant(password: str) -> str:
    """What a password in a URL stands for."""
    return password.replace("%40", "@")


def drivers_arguments(url: str) -> dict[str, object]:
    """What psycopg gets from SQLAlchemy."""
    _, arguments = PGDialect_psycopg().create_connect_args(make_url(url))  # type: ignore[no-untyped-call]
    return dict(arguments)


@pytest.mark.parametrize("password", PASSWORDS)
def test_a_password_is_taken_as_meant_and_alike_by_both_clients_of_redis(password: str) -> None:
    url = one_spelling(f"redis://user:{password}@h:6380/2")
    found = parse_url(url)  # type: ignore[no-untyped-call]
    assert (found["username"], found["password"], found["host"], found["port"], found["db"]) == (
        "user",
        meant(password),
        "h",
        6380,
        2,
    )
    assert one_spelling(url) == url


@pytest.mark.parametrize("password", [password for password in PASSWORDS if "%" not in password or "%40" in password])
def test_a_password_is_taken_as_meant_and_alike_by_all_clients_of_postgresql(password: str) -> None:
    url = to_sqlalchemy(f"postgres://user:{password}@h:5433/name")
    known = {"user": "user", "password": meant(password), "host": "h", "dbname": "name"}
    assert drivers_arguments(url) == {**known, "port": 5433}
    assert psycopg.conninfo.conninfo_to_dict(to_libpq(url)) == {**known, "port": "5433"}
    assert to_sqlalchemy(url) == url


@pytest.mark.parametrize("password", SPLITTING)
def test_a_password_that_would_be_taken_for_a_host_is_refused_and_not_quoted(password: str) -> None:
    for read, url in ((one_spelling, f"redis://:{password}@h/0"), (to_sqlalchemy, f"postgresql://u:{password}@h/d")):
        with pytest.raises(ValueError, match="in a password, write @ as %40") as refused:
            read(url)
        told = str(refused.value).partition(";")[0].partition(":")[0]
        assert not any(part in told for part in ("1234", "a/", "a#", "b@"))


@pytest.mark.parametrize(
    ("given", "read"),
    [
        ("h/d?pgbouncer=true", "h/d"),
        ("h/d?pgbouncer=true&sslmode=require&statement_cache_size=0", "h/d?sslmode=require"),
        ("h/d?schema=public", "h/d"),
        ("h/d?schema=chat", "h/d?options=-csearch_path%3D%22chat%22"),
        ("h/d?options=-cgeqo%3Doff&schema=chat", "h/d?options=-cgeqo%3Doff%20-csearch_path%3D%22chat%22"),
        ("h/d?ssl=true", "h/d?sslmode=require"),
        ("h/d?ssl=1&sslmode=require", "h/d?sslmode=require"),
        ("h/d?ssl=false", "h/d?sslmode=disable"),
        ("h/d?sslmode=no-verify", "h/d?sslmode=require"),
        ("h/d?ssl=verify-full", "h/d?sslmode=verify-full"),
        ("h/d?connect_timeout=30", "h/d?connect_timeout=30"),
        ("a,b/d", "/d?host=a,b&port=5432,5432"),
        ("a:1,[::1]:2/d?target_session_attrs=any", "/d?target_session_attrs=any&host=a,::1&port=1,2"),
        ("/d?host=/run/postgresql", "/d?host=/run/postgresql"),
        ("[::1]:5433/d", "[::1]:5433/d"),
    ],
)
def test_what_other_clients_write_into_a_url_is_dropped_or_translated(given: str, read: str) -> None:
    url = to_sqlalchemy(f"postgresql://{given}")
    assert url == f"postgresql+psycopg://{read}"
    # SQLAlchemy's pool and libpq, which migrates, read the same.
    by_libpq = psycopg.conninfo.conninfo_to_dict(to_libpq(url))
    assert {name: str(value) for name, value in drivers_arguments(url).items()} == by_libpq


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ("h/d?connection_limit=5", "connection_limit, which nobody reads here: set DATABASE_POOL_SIZE"),
        ("h/d?pool_timeout=5", "pool_timeout"),
        ("h/d?sslaccept=strict", "'sslaccept'"),
        ("h/d?ssl=maybe", "sslmode"),
        ("h/d?ssl=true&sslmode=disable", "two values of the parameter sslmode"),
        ("h/d?schema=a,b", "schema"),
        ("h:port/d", "port"),
        ("h:70000/d", "port"),
        ("h/d#x", "#"),
    ],
)
def test_what_nobody_would_obey_is_refused_by_name(given: str, named: str) -> None:
    with pytest.raises(ValueError, match=named):
        to_sqlalchemy(f"postgresql://{given}")


def test_the_list_of_parameters_is_that_of_postgresqls_client() -> None:
    assert {option.keyword.decode() for option in pq.Conninfo.get_defaults()} <= LIBPQ


@pytest.mark.parametrize(
    ("given", "read"),
    [
        ("redis://h", "redis://h"),
        ("redis://h/", "redis://h/"),
        ("redis://h?db=3", "redis://h/3"),
        ("rediss://h:6380/1?ssl_cert_reqs=none", "rediss://h:6380/1?ssl_cert_reqs=none"),
        ("rediss://h?ssl_cert_reqs=CERT_NONE", "rediss://h?ssl_cert_reqs=none"),
        ("rediss://h?ssl_cert_reqs=CERT_OPTIONAL", "rediss://h?ssl_cert_reqs=optional"),
        ("rediss://h?ssl_cert_reqs=Required", "rediss://h?ssl_cert_reqs=required"),
        ("rediss://h?ssl_check_hostname=no", "rediss://h?ssl_check_hostname=false"),
        ("rediss://h?ssl_check_hostname=True", "rediss://h?ssl_check_hostname=true"),
        ("redis://:p@[::1]:6379/0", "redis://:p@[::1]:6379/0"),
    ],
)
def test_a_redis_url_is_read_as_both_clients_read_it(given: str, read: str) -> None:
    assert one_spelling(given) == read


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ("redis://h/0?client_name=x", "'client_name'"),
        ("redis://h/0?ssl_cert_reqs=none", "'ssl_cert_reqs'"),
        ("rediss://h/0?ssl_cert_reqs=maybe", "ssl_cert_reqs .*none, optional, required"),
        ("rediss://h/0?ssl_cert_reqs=", "ssl_cert_reqs"),
        ("rediss://h/0?ssl_check_hostname=maybe", "ssl_check_hostname .*true or false"),
        ("redis://a,b/0", "several servers"),
        ("redis://h/zero", "number of a database"),
        ("redis://h:port/0", "port"),
    ],
)
def test_a_redis_url_that_one_of_the_clients_would_not_obey_is_refused(given: str, named: str) -> None:
    with pytest.raises(ValueError, match=named):
        one_spelling(given)


@pytest.mark.parametrize("value", ["CERT_NONE", "cert_required", "optional"])
def test_both_clients_of_redis_can_be_made_of_a_url_with_certificates(value: str) -> None:
    url = one_spelling(f"rediss://h/0?ssl_cert_reqs={value}&ssl_check_hostname=0")
    redis.from_url(url).connection_pool.make_connection()
    assert kombu.utils.url.parse_url(url)["ssl"]["ssl_check_hostname"] is False


@pytest.mark.parametrize("name", ["ter2!", "p%C3%A4ss", "a-b", "p%40ss", "x" * 31, "hun%20ter2"])
def test_what_could_be_a_part_of_a_password_is_not_quoted_as_a_parameters_name(name: str) -> None:
    for read, url in ((one_spelling, f"redis://h/0?{name}=1"), (to_sqlalchemy, f"postgresql://h/d?{name}=1")):
        with pytest.raises(ValueError, match=r"^has a parameter that ") as refused:
            read(url)
        assert unquote(name) not in str(refused.value)
