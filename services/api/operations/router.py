"""Operations: propose, look at, approve, refuse, undo."""

from typing import Annotated, Any, Final
from uuid import UUID

from fastapi import APIRouter, Query, Request, Response, status

from services.api import cursors
from services.api.bodies import JsonRoute
from services.api.dependencies import AppResources, CurrentPrincipal
from services.api.fields import BigIntId, Digits, Uuid
from services.api.operations.schemas import Approval, ListedOperation, NewOperation, Operation, Status
from services.api.operations.waiting import await_end, seconds_to_wait
from services.api.own_paths import own_path
from services.api.pages import link_next
from shared.ids import MAX_BIGINT, ChatId, DataSourceId, OperationId
from shared.operations.decisions import approve, refuse
from shared.operations.proposing import propose_undo, propose_write
from shared.operations.rows import find_operation, list_operations
from shared.operations.telling import tell

router = APIRouter(route_class=JsonRoute, tags=["operations"])

_NOT_FOUND: Final[dict[int | str, dict[str, Any]]] = {404: {"description": "operation_not_found"}}
_PROPOSED: Final[dict[int | str, dict[str, Any]]] = {
    409: {"description": "data_source_in_use"},
    429: {"description": "too_many_operations"},
    503: {"description": "database_unavailable, data_source_unreachable, too_busy"},
}
_UNPROPOSABLE = "validation_failed, statement_refused, statement_failed, change_too_large, host_not_allowed"

Limit = Annotated[int, Query(ge=1, le=100, description="Page size."), Digits]


@router.get("/api/operations", responses={422: {"description": "validation_failed, cursor_invalid"}})
async def list_all(
    request: Request,
    response: Response,
    principal: CurrentPrincipal,
    resources: AppResources,
    status: Status | None = None,
    chat_id: Annotated[int | None, Query(ge=1, le=MAX_BIGINT), Digits] = None,
    cursor: Annotated[str | None, Query(max_length=200)] = None,
    limit: Limit = 50,
) -> list[ListedOperation]:
    """The user's operations, the newest first, without previews and results. The next page is in `Link` (RFC 8288)."""
    before = cursors.read(cursor, UUID) if cursor else None
    async with resources.database.connect() as db:
        rows = await list_operations(
            db,
            principal.user_id,
            before=before,
            limit=limit + 1,
            status=status,
            chat_id=ChatId(chat_id) if chat_id else None,
        )
    page = rows[:limit]
    if len(rows) > limit:
        link_next(request, response, cursor=cursors.write(page[-1].created_at, page[-1].id))
    return [ListedOperation.of(row) for row in page]


@router.get("/api/operations/{operation_id}", responses=_NOT_FOUND)
async def get_one(operation_id: Uuid, principal: CurrentPrincipal, resources: AppResources) -> Operation:
    """An operation with its preview and its result."""
    async with resources.database.connect() as db:
        return Operation.of(await find_operation(db, principal.user_id, OperationId(operation_id)))


@router.post(
    "/api/operations/{operation_id}/approve",
    responses=_NOT_FOUND
    | {
        202: {"model": Operation, "description": "The effect is not there yet."},
        409: {"description": "operation_not_pending, preview_mismatch"},
    },
)
async def approve_one(
    request: Request,
    response: Response,
    operation_id: Uuid,
    body: Approval,
    principal: CurrentPrincipal,
    resources: AppResources,
) -> Operation:
    """Have exactly what the preview shows done, or nothing.

    Waits up to 10 seconds for the end: the answer's `status` says whether the change was `committed`. With `Prefer: wait=` a
    client waits a shorter time, with `Prefer: respond-async` not at all.
    """
    mine, operation_id = principal.user_id, OperationId(operation_id)
    async with resources.database.begin() as db:
        moved = await approve(db, mine, operation_id, body.digest, principal.credential)
    tell(resources.jobs, resources.streams.feed, moved)
    operation, seconds = moved.operation, seconds_to_wait(request.headers)
    if seconds and not operation.is_over:
        operation = await await_end(resources.database, resources.streams.feed_reader, mine, operation_id, seconds)
    if not operation.is_over:
        response.status_code = status.HTTP_202_ACCEPTED
    return Operation.of(operation)


@router.post(
    "/api/operations/{operation_id}/refuse", responses=_NOT_FOUND | {409: {"description": "operation_not_pending"}}
)
async def refuse_one(operation_id: Uuid, principal: CurrentPrincipal, resources: AppResources) -> Operation:
    """Have a proposal not done."""
    async with resources.database.begin() as db:
        moved = await refuse(db, principal.user_id, OperationId(operation_id), principal.credential)
    tell(resources.jobs, resources.streams.feed, moved)
    return Operation.of(moved.operation)


@router.post(
    "/api/operations/{operation_id}/undo",
    status_code=status.HTTP_201_CREATED,
    responses=_PROPOSED
    | {
        200: {"model": Operation, "description": "Its undo is proposed already."},
        404: {"description": "operation_not_found, data_sources_off"},
        422: {"description": f"{_UNPROPOSABLE}, not_undoable"},
    },
)
async def undo_one(
    response: Response, operation_id: Uuid, principal: CurrentPrincipal, resources: AppResources
) -> Operation:
    """Propose to undo a committed change: an operation of its own, with a preview, to be approved as any other.

    Rows that somebody has changed since are shown as conflicts, and stay as they are.
    """
    moved = await propose_undo(
        resources.database, resources.changes, resources.limits.proposals, principal.user_id, OperationId(operation_id)
    )
    tell(resources.jobs, resources.streams.feed, moved)
    if not moved.has_moved:
        response.status_code = status.HTTP_200_OK
    response.headers["Location"] = own_path(f"/api/operations/{moved.operation.id}")
    return Operation.of(moved.operation)


@router.post(
    "/api/data-sources/{source_id}/operations",
    status_code=status.HTTP_201_CREATED,
    responses=_PROPOSED
    | {
        404: {"description": "data_source_not_found, data_sources_off"},
        422: {"description": _UNPROPOSABLE},
    },
)
async def propose_one(
    response: Response,
    source_id: BigIntId,
    body: NewOperation,
    principal: CurrentPrincipal,
    resources: AppResources,
) -> Operation:
    """Propose a change of a data source, without a model. Nothing is changed before it is approved."""
    moved = await propose_write(
        resources.database,
        resources.changes,
        resources.limits.proposals,
        principal.user_id,
        DataSourceId(source_id),
        body.sql,
        body.summary,
    )
    tell(resources.jobs, resources.streams.feed, moved)
    response.headers["Location"] = own_path(f"/api/operations/{moved.operation.id}")
    return Operation.of(moved.operation)
