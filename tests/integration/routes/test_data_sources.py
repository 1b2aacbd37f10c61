"""The routes of data sources, as a client sees them."""

import asyncio
from collections.abc import AsyncIterator, Callable

import httpx
import psycopg
import pytest
from cryptography.fernet import Fernet

from services.launcher.embedded.postgres import EmbeddedPostgres
from services.launcher.embedded.valkey import EmbeddedValkey
from tests.conftest import settings_for
from tests.integration.conftest import serve
from tests.support.clients import NO_TLS, Client
from tests.support.data_sources import PASSWORD, Source, make_source
from tests.support.turns import execute

KEY = Fernet.generate_key().decode()
SHOP = "SELECT status, count(*) FROM orders GROUP BY status ORDER BY status"


@pytest.fixture(scope="module")
def source(postgres: EmbeddedPostgres) -> Source:
    return make_source(postgres)


@pytest.fixture(scope="module")
def own_database(make_database: Callable[[], str]) -> str:
    return make_database()


@pytest.fixture(scope="module")
async def url(own_database: str, postgres: EmbeddedPostgres, valkey: EmbeddedValkey) -> AsyncIterator[str]:
    settings = settings_for(
        own_database,
        valkey.url,
        "http://127.0.0.1:1",
        data_source_keys=KEY,
        data_source_hosts="127.0.0.1",
        sandbox_database_url=postgres.url_of("sandbox"),
    )
    async with serve(settings) as served:
        yield served


@pytest.fixture
async def join(url: str) -> AsyncIterator[Callable[[], Client]]:
    opened: list[httpx.AsyncClient] = []

    def make() -> Client:
        opened.append(httpx.AsyncClient(base_url=url, timeout=20, verify=NO_TLS))
        return Client(opened[-1])

    yield make
    for http in opened:
        await http.aclose()


@pytest.fixture
async def ada(join: Callable[[], Client]) -> Client:
    made = join()
    await made.sign_up()
    return made


async def add(client: Client, source: Source, name: str = "Notes", **others: object) -> int:
    body = {"name": name, "reader_url": source.reader_url, "writer_url": source.writer_url, **others}
    answer = await client.http.post("/api/data-sources", json=body)
    assert answer.status_code == 201, answer.text
    assert PASSWORD not in answer.text
    return int(answer.json()["id"])


def problem(answer: httpx.Response) -> tuple[int, str, str | None]:
    body = answer.json()
    assert answer.headers["content-type"] == "application/problem+json"
    return answer.status_code, body["code"], body.get("field")


async def test_a_database_is_connected_looked_at_asked_and_forgotten(
    ada: Client, source: Source, own_database: str
) -> None:
    source_id = await add(ada, source)
    path = f"/api/data-sources/{source_id}"
    tested = (await ada.http.post(f"{path}/test")).json()
    assert {right["code"] for right in tested["reader"]["excess_rights"]} >= {"dangerous_functions", "temp_file_limit"}
    assert "CREATE ROLE cortexai_reader" in tested["statements"]
    schema = (await ada.http.get(f"{path}/schema")).json()
    assert [(table["schema"], table["name"]) for table in schema["tables"]] == [("public", "notes")]
    asked = await ada.http.post(f"{path}/query", json={"sql": "SELECT id, text FROM notes ORDER BY id LIMIT 2"})
    assert asked.json()["rows"] == [[1, "note 1"], [2, "note 2"]]
    assert asked.json()["columns"] == [{"name": "id", "type": "bigint"}, {"name": "text", "type": "text"}]
    listed = await ada.http.get("/api/data-sources")
    assert [(one["name"], one["status"], one["can_write"]) for one in listed.json()] == [("Notes", "ok", True)]
    for answer in (listed, await ada.http.get(path)):
        assert PASSWORD not in answer.text
    with psycopg.connect(own_database) as connection:
        rows = connection.execute("SELECT row_to_json(d)::text FROM data_sources AS d").fetchall()
        assert PASSWORD not in str(rows)
        assert source.reader_url not in str(rows)
    assert (await ada.http.delete(path)).status_code == 204
    assert problem(await ada.http.get(path)) == (404, "data_source_not_found", None)


async def test_nobody_sees_anothers_data_sources(ada: Client, join: Callable[[], Client], source: Source) -> None:
    source_id = await add(ada, source)
    eve = join()
    await eve.sign_up()
    assert (await eve.http.get("/api/data-sources")).json() == []
    path = f"/api/data-sources/{source_id}"
    for method, place, body in (
        ("GET", path, None),
        ("PATCH", path, {"name": "Mine"}),
        ("DELETE", path, None),
        ("POST", f"{path}/test", None),
        ("POST", f"{path}/refresh", None),
        ("GET", f"{path}/schema", None),
        ("POST", f"{path}/query", {"sql": "SELECT 1"}),
    ):
        answer = await eve.http.request(method, place, json=body)
        assert problem(answer) == (404, "data_source_not_found", None), place
    assert (await ada.http.get(path)).json()["name"] == "Notes"


async def test_names_are_unique_and_changes_are_checked(ada: Client, source: Source) -> None:
    first, _ = await add(ada, source), await add(ada, source, "Other")
    path = f"/api/data-sources/{first}"
    taken = {"name": "NOTES", "reader_url": source.reader_url}
    assert problem(await ada.http.post("/api/data-sources", json=taken)) == (409, "data_source_name_taken", "name")
    assert problem(await ada.http.patch(path, json={"name": "other"})) == (409, "data_source_name_taken", "name")
    assert (await ada.http.patch(path, json={"name": "notes"})).json()["name"] == "notes"
    await ada.http.post(f"{path}/refresh")
    changed = (await ada.http.patch(path, json={"writer_url": None, "trusted_functions": ["public.touch"]})).json()
    assert (changed["can_write"], changed["trusted_functions"]) == (False, ["public.touch"])
    assert changed["schema_read_at"] is not None
    moved = (await ada.http.patch(path, json={"reader_url": source.writer_url})).json()
    assert (moved["status"], moved["schema_read_at"]) == (None, None)
    assert moved["reader"]["user"].endswith("_writer")
    wrong = await ada.http.patch(path, json={"reader_url": "postgresql://u:p@169.254.169.254/d"})
    assert problem(wrong) == (422, "host_not_allowed", "reader_url")
    assert (await ada.http.get(path)).json()["reader"] == moved["reader"]


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("mysql://u:p@h/d", "data_source_url_invalid"),
        ("postgresql://u:p@h/d?hostaddr=1.1.1.1", "data_source_url_invalid"),
        ("postgresql://u:p@10.0.0.1/d", "host_not_allowed"),
        ("postgresql://u:p@169.254.169.254/d", "host_not_allowed"),
        ("postgresql://u:p@[::1]/d", "host_not_allowed"),
        ("postgresql://u:p@[::ffff:10.0.0.1]/d", "host_not_allowed"),
        ("postgresql://u:p@1.1.1.1/d?sslmode=disable", "data_source_url_invalid"),
    ],
)
async def test_addresses_that_may_not_be_are_refused(ada: Client, text: str, code: str) -> None:
    refused = await ada.http.post("/api/data-sources", json={"name": "X", "reader_url": text})
    assert problem(refused) == (422, code, "reader_url")
    assert (await ada.http.get("/api/data-sources")).json() == []


async def test_a_user_has_a_bounded_number_of_them(ada: Client, source: Source) -> None:
    for number in range(20):
        await add(ada, source, f"Source {number}")
    more = await ada.http.post("/api/data-sources", json={"name": "More", "reader_url": source.reader_url})
    assert problem(more) == (429, "too_many_data_sources", None)


async def test_what_a_data_source_refuses_is_told_plainly(ada: Client, source: Source) -> None:
    wrong = source.reader_url.replace(PASSWORD, "wrong")
    source_id = await add(ada, source, reader_url=wrong)
    path = f"/api/data-sources/{source_id}"
    answer = await ada.http.post(f"{path}/test")
    assert problem(answer) == (503, "data_source_unreachable", None)
    assert "127.0.0.1" not in answer.text
    assert (await ada.http.get(path)).json()["status"] == "data_source_unreachable"
    owner = await add(ada, source, "Owner", reader_url=source.owner_url)
    assert problem(await ada.http.post(f"/api/data-sources/{owner}/test")) == (422, "data_source_unsafe", None)


@pytest.mark.parametrize(
    ("sql", "code"),
    [
        ("DELETE FROM notes", "statement_refused"),
        ("SELECT 1; DROP TABLE notes", "statement_refused"),
        ("SELECT pg_sleep(10)", "statement_refused"),
        ("SELECT * FROM nothing", "statement_refused"),
        ("SELECT text::int FROM notes", "statement_failed"),
    ],
)
async def test_statements_are_refused_by_the_wall_or_by_the_server(
    ada: Client, source: Source, sql: str, code: str
) -> None:
    source_id = await add(ada, source)
    answer = await ada.http.post(f"/api/data-sources/{source_id}/query", json={"sql": sql})
    assert problem(answer) == (422, code, "sql")


async def test_each_test_that_succeeds_renews_when_it_was(ada: Client, source: Source) -> None:
    path = f"/api/data-sources/{await add(ada, source)}"
    seen = []
    for _ in range(2):
        (await ada.http.post(f"{path}/test")).raise_for_status()
        seen.append((await ada.http.get(path)).json()["checked_at"])
    assert seen[0] < seen[1]


async def test_a_proposal_believes_no_schema_of_long_ago(ada: Client, source: Source, own_database: str) -> None:
    source_id = await add(ada, source)
    path = f"/api/data-sources/{source_id}"
    (await ada.http.post(f"{path}/refresh")).raise_for_status()
    writer = source.writer_url.split("://")[1].split(":")[0]
    with source.owner() as owner:
        owner.execute("CREATE TABLE later (id int PRIMARY KEY)")
        owner.execute(f"GRANT ALL ON later TO {writer}".encode())
    insert = {"sql": "INSERT INTO later VALUES (1)"}
    assert problem(await ada.http.post(f"{path}/operations", json=insert))[1] == "statement_refused"
    execute(
        own_database,
        "UPDATE data_sources SET schema_read_at = now() - interval '6 minutes' WHERE id = %s",
        source_id,
    )
    assert (await ada.http.post(f"{path}/operations", json=insert)).status_code == 201


async def test_a_sandbox_whose_id_was_given_before_is_made_anew(ada: Client, own_database: str) -> None:
    first = (await ada.http.post("/api/data-sources/sandbox")).raise_for_status().json()
    # As in a database that was restored from a backup: the server of the sandboxes has what came after.
    execute(own_database, "DELETE FROM data_sources WHERE id = %s", first["id"])
    execute(own_database, f"ALTER TABLE data_sources ALTER id RESTART WITH {first['id']}")
    again = (await ada.http.post("/api/data-sources/sandbox")).raise_for_status().json()
    assert (again["id"], again["status"]) == (first["id"], "ok")
    asked = await ada.http.post(f"/api/data-sources/{again['id']}/query", json={"sql": SHOP})
    assert asked.status_code == 200


async def test_a_sandbox_that_is_asked_for_twice_at_once_is_one_and_answers(ada: Client) -> None:
    answers = await asyncio.gather(*(ada.http.post("/api/data-sources/sandbox") for _ in range(3)))
    assert sorted(answer.status_code for answer in answers) == [200, 200, 201]
    (sandbox_id,) = {answer.json()["id"] for answer in answers}
    asked = await ada.http.post(f"/api/data-sources/{sandbox_id}/query", json={"sql": "SELECT count(*) FROM orders"})
    assert asked.json()["rows"] == [[200]]


async def test_the_sandbox_is_made_once_asked_and_dropped(ada: Client, postgres: EmbeddedPostgres) -> None:
    made = await ada.http.post("/api/data-sources/sandbox")
    assert made.status_code == 201, made.text
    sandbox = made.json()
    assert (sandbox["name"], sandbox["kind"], sandbox["status"], sandbox["can_write"]) == (
        "Sandbox",
        "sandbox",
        "ok",
        True,
    )
    assert sandbox["reader"]["host"] is None
    entries = (await ada.http.get("/api/audit")).raise_for_status().json()
    assert [(entry["action"], entry["details"]["kind"]) for entry in entries] == [("data_source.added", "sandbox")]
    again = await ada.http.post("/api/data-sources/sandbox", json={"name": "Another"})
    assert (again.status_code, again.json()["id"]) == (200, sandbox["id"])
    path = f"/api/data-sources/{sandbox['id']}"
    tested = (await ada.http.post(f"{path}/test")).json()
    assert (tested["reader"]["excess_rights"], tested["writer"]["excess_rights"], tested["statements"]) == (
        [],
        [],
        None,
    )
    rows = (await ada.http.post(f"{path}/query", json={"sql": SHOP})).json()["rows"]
    assert sum(count for _, count in rows) == 200
    refused = await ada.http.patch(path, json={"reader_url": "postgresql://u:p@1.1.1.1/d"})
    assert problem(refused) == (422, "data_source_url_invalid", "reader_url")
    schema = sandbox["reader"]["user"].removesuffix("_reader")
    with psycopg.connect(postgres.url_of("sandbox"), autocommit=True) as admin:
        look = "SELECT count(*) FROM pg_namespace WHERE nspname = %s"
        assert admin.execute(look, [schema]).fetchone() == (1,)
        assert (await ada.http.delete(path)).status_code == 204
        assert admin.execute(look, [schema]).fetchone() == (0,)


async def test_without_keys_there_are_no_data_sources(anyone: httpx.AsyncClient) -> None:
    client = Client(anyone)
    await client.sign_up()
    assert problem(await client.http.get("/api/data-sources")) == (404, "data_sources_off", None)
    made = await client.http.post("/api/data-sources/sandbox")
    assert problem(made) == (404, "data_sources_off", None)
