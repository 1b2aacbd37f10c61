"""Addresses of data sources, and the hosts where they may be."""

from ipaddress import ip_address

import pytest

from shared.data_sources.hosts import HostRules, check_host, is_public
from shared.data_sources.urls import read_source_url
from shared.errors import DataSourceUnreachable, DataSourceUrlInvalid, HostNotAllowed


def test_an_address_is_read_and_written_in_one_spelling() -> None:
    url = read_source_url(" postgres://us%40er:p%2Fw%3A@DB.example.com/my%20shop?sslmode=verify-full&schema=app ")
    assert (url.host, url.port, url.database, url.user, url.password) == (
        "db.example.com",
        5432,
        "my shop",
        "us@er",
        "p/w:",
    )
    assert (url.ssl_mode, url.schema) == ("verify-full", "app")
    assert read_source_url(url.text) == url
    assert "p/w" not in repr(url)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "mysql://u:p@db.example.com/d",
        "postgresql://u:p@db.example.com",
        "postgresql://u:p@db.example.com/",
        "postgresql://u@db.example.com/d",
        "postgresql://u:@db.example.com/d",
        "postgresql://:p@db.example.com/d",
        "postgresql://db.example.com/d",
        "postgresql://u:p@/d",
        "postgresql://u:p@/d?host=/tmp",
        "postgresql://u:p@%2Ftmp/d",
        "postgresql://u:p@.s.PGSQL/d?host=%2Ftmp",
        "postgresql://u:p@a.example.com,b.example.com/d",
        "postgresql://u:p@a.example.com/d?host=b.example.com",
        "postgresql://u:p@a.example.com/d?hostaddr=127.0.0.1",
        "postgresql://u:p@a.example.com/d?port=22",
        "postgresql://u:p@a.example.com/d?service=other",
        "postgresql://u:p@a.example.com/d?passfile=/etc/passwd",
        "postgresql://u:p@a.example.com/d?sslkey=/etc/shadow",
        "postgresql://u:p@a.example.com/d?sslrootcert=/etc/shadow",
        "postgresql://u:p@a.example.com/d?options=-csession_replication_role=replica",
        "postgresql://u:p@a.example.com/d?dbname=other",
        "postgresql://u:p@a.example.com/d?user=other",
        "postgresql://u:p@a.example.com/d?sslmode=",
        "postgresql://u:p@a.example.com/d?sslmode=nearly",
        "postgresql://u:p@a.example.com/d?sslmode=require&ssl=disable",
        "postgresql://u:p@a.example.com/d?schema=a,b",
        "postgresql://u:p@a.example.com:0/d",
        "postgresql://u:p@a.example.com:70000/d",
        "postgresql://u:p@a.example.com/d%00",
        "postgresql://u:p@a.example.com/d%0ahost=b",
        "postgresql://u:p@a.example.com/d?sslmode=require%",
        "postgresql://u:p@[fe80::1%25eth0]/d",
        f"postgresql://u:p@a.example.com/{'d' * 64}",
        f"postgresql://u:{'p' * 2000}@a.example.com/d",
    ],
)
def test_what_is_no_such_address_is_refused_without_quoting(text: str) -> None:
    with pytest.raises(DataSourceUrlInvalid) as refused:
        read_source_url(text, name="reader_url")
    assert refused.value.field == "reader_url"
    assert refused.value.message.startswith("reader_url: ")
    assert "example" not in refused.value.message.replace("as in postgresql://user:password@host/database", "")


@pytest.mark.parametrize(
    "ip",
    [
        "127.0.0.1",
        "127.9.9.9",
        "0.0.0.0",  # noqa: S104
        "10.1.2.3",
        "172.16.0.1",
        "192.168.1.1",
        "169.254.169.254",
        "100.64.0.1",
        "100.100.100.200",
        "168.63.129.16",
        "192.0.0.192",
        "198.18.0.1",
        "224.0.0.1",
        "240.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "::ffff:127.0.0.1",
        "::ffff:10.0.0.1",
        "::ffff:169.254.169.254",
        "::127.0.0.1",
        "64:ff9b::a9fe:a9fe",
        "64:ff9b:1::1",
        "2002:7f00:1::",
        "2001:0:1::1",
        "fc00::1",
        "fd00:ec2::254",
        "fe80::1",
        "fe80::1%eth0",
        "fec0::1",
        "ff02::1",
        "2001:db8::1",
    ],
)
async def test_addresses_that_are_not_the_internets_are_refused(ip: str) -> None:
    assert not is_public(ip_address(ip))
    if "%" in ip:
        return
    host = f"[{ip}]" if ":" in ip else ip
    with pytest.raises(HostNotAllowed) as refused:
        await check_host(read_source_url(f"postgresql://u:p@{host}/d"), HostRules(), name="url")
    assert ip not in refused.value.message


@pytest.mark.parametrize("ip", ["1.1.1.1", "8.8.8.8", "2606:4700:4700::1111", "::ffff:1.1.1.1", "64:ff9b::101:101"])
def test_addresses_of_the_internet_are_public(ip: str) -> None:
    assert is_public(ip_address(ip))


@pytest.mark.parametrize("host", ["localhost", "127.1", "2130706433", "0x7f.1", "017700000001", "localhost."])
async def test_a_host_that_leads_to_this_machine_is_refused_in_any_spelling(host: str) -> None:
    url = read_source_url(f"postgresql://u:p@{host}/d")
    with pytest.raises((HostNotAllowed, DataSourceUnreachable)):
        await check_host(url, HostRules())


async def test_a_host_is_pinned_to_the_addresses_that_were_checked() -> None:
    address = await check_host(read_source_url("postgresql://u:p@1.1.1.1/d"), HostRules())
    assert (address.host, address.ips) == ("1.1.1.1", ("1.1.1.1",))


@pytest.mark.parametrize("listed", ["127.0.0.1", "127.0.0.0/8", "localhost", "*.localhost"])
async def test_the_operator_may_list_names_addresses_and_networks(listed: str) -> None:
    host = {"*.localhost": "db.localhost", "localhost": "localhost"}.get(listed, "127.0.0.1")
    rules = HostRules.read([listed], own=[("127.0.0.1", 5432)])
    try:
        address = await check_host(read_source_url(f"postgresql://u:p@{host}/d"), rules)
    except DataSourceUnreachable:
        assert host == "db.localhost"  # the resolver of this machine knows no such names
    else:
        assert set(address.ips) <= {"127.0.0.1", "::1"}


async def test_a_listed_name_stands_for_no_other_name() -> None:
    rules = HostRules.read(["*.example.com", "db.internal"])
    assert rules.lists_name("a.b.example.com")
    assert rules.lists_name("DB.internal.")
    assert not rules.lists_name("example.com")
    assert not rules.lists_name("badexample.com")
    assert not rules.lists_name("x.db.internal")


async def test_our_own_server_is_refused_at_its_port() -> None:
    rules = HostRules(own=(("1.1.1.1", 5432),))
    with pytest.raises(HostNotAllowed):
        await check_host(read_source_url("postgresql://u:p@1.1.1.1/d"), rules)
    assert (await check_host(read_source_url("postgresql://u:p@1.1.1.1:5433/d"), rules)).port == 5433


@pytest.mark.parametrize(
    ("given", "used"), [("", "require"), ("sslmode=require", "require"), ("sslmode=verify-full", "verify-full")]
)
async def test_tls_is_asked_for_outside_this_machine(given: str, used: str) -> None:
    address = await check_host(read_source_url(f"postgresql://u:p@1.1.1.1/d?{given}"), HostRules())
    assert address.ssl_mode == used


@pytest.mark.parametrize("mode", ["disable", "allow", "prefer"])
async def test_less_than_tls_is_refused_outside_this_machine(mode: str) -> None:
    url = read_source_url(f"postgresql://u:p@10.0.0.1/d?sslmode={mode}")
    with pytest.raises(DataSourceUrlInvalid, match="sslmode"):
        await check_host(url, HostRules.read(["10.0.0.0/8"]))


@pytest.mark.parametrize("entry", ["http://a", "a b", "10.0.0.0/33", "*", ""])
def test_a_list_of_hosts_with_something_else_is_refused(entry: str) -> None:
    with pytest.raises(ValueError, match="host names"):
        HostRules.read([entry])
