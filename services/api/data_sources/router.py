"""Data sources: databases that a user connects, looks at and asks. Passwords go in and never come out."""

import asyncio
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Response, status
from sqlalchemy import func

from services.api.bodies import JsonRoute
from services.api.data_sources import queries, sandboxes
from services.api.data_sources.places import is_elsewhere
from services.api.data_sources.schemas import (
    DataSourceChange,
    DataSourceView,
    NewDataSource,
    NewSandbox,
    QueryResultView,
    SchemaView,
    Statement,
    TestResult,
)
from services.api.data_sources.testing import test_source
from services.api.dependencies import AppResources, CurrentPrincipal
from services.api.fields import BigIntId
from services.api.own_paths import own_path
from services.api.resources import Resources
from shared.data_sources.access import SourceAccess
from shared.data_sources.encryption import Purpose
from shared.data_sources.hosts import check_host
from shared.data_sources.urls import read_source_url
from shared.database.engine import Connection
from shared.errors import DataSourceInUse, DataSourceKeyMissing, DataSourcesOff, DataSourceUrlInvalid
from shared.ids import DataSourceId, UserId
from shared.operations import audit
from shared.operations.asking import ask
from shared.operations.decisions import refuse_with_source
from shared.operations.moves import Moved
from shared.operations.rows import forget_images, has_pending, is_committing
from shared.operations.telling import tell_all
from shared.protocol.feed_events import data_source_changed
from shared.sources import rows, work
from shared.sources.rows import SourceRow

router = APIRouter(
    route_class=JsonRoute,
    prefix="/api/data-sources",
    tags=["data sources"],
    responses={404: {"description": "data_sources_off"}},
)

DELETE_TRIES: Final = 3
"""How often a data source is tried to be deleted while answers propose changes of it."""
_NOT_FOUND: Final[dict[int | str, dict[str, Any]]] = {404: {"description": "data_source_not_found, data_sources_off"}}
_UNREACHABLE: Final[dict[int | str, dict[str, Any]]] = {
    503: {"description": "database_unavailable, data_source_unreachable, data_source_key_missing, too_busy"}
}
_REFUSED: Final = "validation_failed, data_source_url_invalid, host_not_allowed"
_NAMED: Final[dict[int | str, dict[str, Any]]] = {409: {"description": "data_source_name_taken"}}
_IN_USE: Final[dict[int | str, dict[str, Any]]] = {409: {"description": "data_source_in_use"}}
_CHANGED: Final[dict[int | str, dict[str, Any]]] = {409: {"description": "data_source_name_taken, data_source_in_use"}}
_WORK: Final = (
    _NOT_FOUND
    | _UNREACHABLE
    | {422: {"description": "validation_failed, data_source_url_invalid, host_not_allowed, data_source_unsafe"}}
)


async def get_access(resources: AppResources, _principal: CurrentPrincipal) -> SourceAccess:
    """How this process gets to data sources.

    Raises:
        DataSourcesOff: the operator has given no keys.

    """
    if resources.data_sources is None:
        raise DataSourcesOff
    return resources.data_sources


Access = Annotated[SourceAccess, Depends(get_access)]


@router.get("")
async def list_data_sources(
    principal: CurrentPrincipal, resources: AppResources, access: Access
) -> list[DataSourceView]:
    """The user's data sources, by name."""
    async with resources.database.connect() as db:
        listed = await rows.list_sources(db, principal.user_id)
    return [_view(access, row) for row in listed]


@router.post(
    "",
    status_code=status.HTTP_201_CREATED,
    responses=_NAMED | _UNREACHABLE | {422: {"description": _REFUSED}, 429: {"description": "too_many_data_sources"}},
)
async def add_data_source(
    body: NewDataSource, principal: CurrentPrincipal, resources: AppResources, access: Access, response: Response
) -> DataSourceView:
    """Connect a database. Its addresses are checked; `POST …/{id}/test` connects to them."""
    urls = {"reader_url": body.reader_url, "writer_url": body.writer_url}
    values = {"name": body.name, "kind": "postgresql", "trusted_functions": body.trusted_functions}
    encrypted = await _encrypt(access, principal.user_id, urls)
    async with resources.database.begin() as db:
        await queries.lock_owner(db, principal.user_id)
        row = await queries.add_source(db, principal.user_id, values | encrypted)
        await audit.append(db, principal.user_id, _event("data_source.added", row, name=row.name, kind=row.kind))
    resources.streams.feed.tell(principal.user_id, data_source_changed(row.id))
    response.headers["Location"] = own_path(f"/api/data-sources/{row.id}")
    return _view(access, row)


@router.post(
    "/sandbox",
    status_code=status.HTTP_201_CREATED,
    responses=_NAMED
    | _UNREACHABLE
    | {200: {"description": "The sandbox that was there."}, 429: {"description": "too_many_data_sources"}},
)
async def make_sandbox(
    principal: CurrentPrincipal,
    resources: AppResources,
    access: Access,
    response: Response,
    body: NewSandbox | None = None,
) -> DataSourceView:
    """The user's sandbox: a database with sample tables to try everything on. Made unless there is one."""
    name = (body or NewSandbox()).name
    row, is_new = await sandboxes.open_sandbox(access, resources.database, principal.user_id, name)
    await work.find_schema(access, resources.database, row)
    async with resources.database.connect() as db:
        row = await rows.find_source(db, principal.user_id, row.id)
    if is_new:
        resources.streams.feed.tell(principal.user_id, data_source_changed(row.id))
    else:
        response.status_code = status.HTTP_200_OK
    response.headers["Location"] = own_path(f"/api/data-sources/{row.id}")
    return _view(access, row)


@router.get("/{source_id}", responses=_NOT_FOUND)
async def get_data_source(
    source_id: BigIntId, principal: CurrentPrincipal, resources: AppResources, access: Access
) -> DataSourceView:
    """One data source."""
    async with resources.database.connect() as db:
        row = await rows.find_source(db, principal.user_id, source_id)
    return _view(access, row)


@router.patch("/{source_id}", responses=_NOT_FOUND | _CHANGED | _UNREACHABLE | {422: {"description": _REFUSED}})
async def change_data_source(
    source_id: BigIntId, body: DataSourceChange, principal: CurrentPrincipal, resources: AppResources, access: Access
) -> DataSourceView:
    """Change a data source. With a new address, its status and its schema are unknown again.

    With another host, port or database, no proposal may wait, and what was committed before can't be undone any more.
    """
    given = {name: getattr(body, name) for name in body.model_fields_set}
    values = {name: given[name] for name in ("name", "trusted_functions") if given.get(name) is not None}
    urls: dict[str, str | None] = {name: given[name] for name in ("reader_url", "writer_url") if name in given}
    if urls.get("reader_url", "") is None:
        del urls["reader_url"]
    async with resources.database.connect() as db:
        found = await rows.find_source(db, principal.user_id, source_id)
    if urls and found.kind == "sandbox":
        field = next(iter(urls))
        raise DataSourceUrlInvalid(f"{field}: a sandbox's address can't be changed", field=field)
    if urls:
        values |= await _encrypt(access, principal.user_id, urls)
        values |= {"status": None, "checked_at": None}
    if "reader_url" in urls:
        values |= {"schema": None, "schema_read_at": None}
    async with resources.database.begin() as db:
        await queries.lock_owner(db, principal.user_id)
        if urls:
            await _leave(db, access, await rows.find_source(db, principal.user_id, source_id), urls)
        values["updated_at"] = func.now()
        row = await queries.change_source(db, principal.user_id, source_id, values)
        changed = _event("data_source.changed", row, name=row.name, fields=sorted(body.model_fields_set))
        await audit.append(db, principal.user_id, changed)
    resources.streams.feed.tell(principal.user_id, data_source_changed(row.id))
    return _view(access, row)


@router.delete("/{source_id}", status_code=status.HTTP_204_NO_CONTENT, responses=_NOT_FOUND | _IN_USE)
async def delete_data_source(
    source_id: BigIntId, principal: CurrentPrincipal, resources: AppResources, access: Access
) -> None:
    """Forget a data source and the operations on it. Nothing changes in its database; a sandbox is dropped.

    What was proposed and is not decided yet is refused.
    """
    mine, feed = principal.user_id, resources.streams.feed
    for _ in range(DELETE_TRIES):
        if (deleted := await _delete(resources, mine, DataSourceId(source_id), principal.credential)) is not None:
            break
    else:
        raise DataSourceInUse
    row, refused = deleted
    tell_all(resources.jobs, feed, refused)
    feed.tell(mine, data_source_changed(row.id))
    if row.kind == "sandbox":
        await work.drop_sandbox(access, row)


async def _delete(
    resources: Resources, user_id: UserId, source_id: DataSourceId, by: str
) -> tuple[SourceRow, list[Moved]] | None:
    """Delete a data source, and refuse what waits for it. None where that has to be tried again."""
    async with resources.database.begin() as db:
        await rows.find_source(db, user_id, source_id)  # a stranger learns nothing of its operations
        refused = await refuse_with_source(db, user_id, source_id, by)
        if refused is None:
            return None
        if await is_committing(db, source_id):  # nobody would be told how that ends
            raise DataSourceInUse
        row = await queries.delete_source(db, user_id, source_id)
        await audit.append(db, user_id, _event("data_source.deleted", row, name=row.name, kind=row.kind))
        return row, refused


@router.post("/{source_id}/test", responses=_WORK)
async def test_data_source(
    source_id: BigIntId, principal: CurrentPrincipal, resources: AppResources, access: Access
) -> TestResult:
    """Connect as both roles, and tell which rights they have beyond what they should."""
    row = await _find(resources, principal.user_id, source_id)
    return await test_source(access, resources.database, row)


@router.post("/{source_id}/refresh", responses=_WORK)
async def refresh_data_source(
    source_id: BigIntId, principal: CurrentPrincipal, resources: AppResources, access: Access
) -> SchemaView:
    """Read again which tables the data source has."""
    row = await _find(resources, principal.user_id, source_id)
    view = await asyncio.to_thread(SchemaView.of, *await work.refresh_schema(access, resources.database, row))
    resources.streams.feed.tell(principal.user_id, data_source_changed(row.id))
    return view


@router.get("/{source_id}/schema", responses=_WORK)
async def get_schema(
    source_id: BigIntId, principal: CurrentPrincipal, resources: AppResources, access: Access
) -> SchemaView:
    """The tables that the data source had when it was last read."""
    row = await _find(resources, principal.user_id, source_id)
    return await asyncio.to_thread(SchemaView.of, *await work.find_schema(access, resources.database, row))


@router.post(
    "/{source_id}/query",
    responses=_WORK
    | {
        422: {
            "description": "validation_failed, statement_refused, statement_failed, data_source_url_invalid, "
            "host_not_allowed, data_source_unsafe"
        }
    },
)
async def query_data_source(
    source_id: BigIntId, body: Statement, principal: CurrentPrincipal, resources: AppResources, access: Access
) -> QueryResultView:
    """Run one SELECT."""
    by, source = principal.credential, DataSourceId(source_id)
    return QueryResultView.of(await ask(access, resources.database, principal.user_id, source, body.sql, by=by))


def _event(action: audit.Action, row: SourceRow, **details: object) -> audit.Event:
    """What the audit log says of a data source: no address of it."""
    return audit.Event(action, audit.data_source(row.id), details)


async def _find(resources: AppResources, user_id: UserId, source_id: int) -> SourceRow:
    async with resources.database.connect() as db:
        return await rows.find_source(db, user_id, source_id)


async def _leave(db: Connection, access: SourceAccess, row: SourceRow, urls: dict[str, str | None]) -> None:
    """Prepare a data source for other addresses. Needs a transaction that has locked the owner.

    Raises:
        DataSourceInUse: a change is being committed; or one is proposed, and the addresses lead to another database.

    """
    if await is_committing(db, row.id):  # another server knows nothing of its transaction
        raise DataSourceInUse
    if not is_elsewhere(access, row, urls):
        return
    if await has_pending(db, row.id):  # what was shown was there, and would be done here
        raise DataSourceInUse
    await forget_images(db, row.id)  # an undo would put rows of there into here


async def _encrypt(access: SourceAccess, user_id: UserId, urls: dict[str, str | None]) -> dict[str, bytes | None]:
    """The addresses as they are stored, after they were checked."""
    encrypted: dict[str, bytes | None] = {}
    for name, text in urls.items():
        purpose: Purpose = "reader_url" if name == "reader_url" else "writer_url"
        if text is None:
            encrypted[name] = None
            continue
        url = read_source_url(text, name=name)
        await check_host(url, access.rules, name=name)
        encrypted[name] = access.keyring.encrypt(url.text, user_id, purpose)
    return encrypted


def _view(access: SourceAccess, row: SourceRow) -> DataSourceView:
    try:
        urls = access.shown(row.stored)
    except DataSourceKeyMissing:
        urls = None
    return DataSourceView.of(row, urls)
