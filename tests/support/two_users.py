"""What a second user can try with the ids of the first, for each route that takes an id."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import chain, combinations
from typing import Any, Final

Ids = Mapping[str, Any]
"""The ids of somebody's things, or of nothing, by the names that stand in a try."""

NEVER: Final = "0198c0de-0000-7000-8000-000000000001"
MISSING: Final[Ids] = {
    "chat": 900_000_001,
    "trashed": 900_000_002,
    "message": 900_000_003,
    "reply": 900_000_004,
    "generation": NEVER,
    "operation": NEVER,
    "session": 900_000_009,
    "source": 900_000_005,
    "api_key": 900_000_009,
    "user": 900_000_010,
    "identity": 900_000_011,
    "invite": 900_000_012,
    "segment": 900_000_006,
    "fact": 900_000_007,
    "shared_fact": 900_000_008,
    "name": "a-name-of-nothing",
    "message_name": "a-message-of-nothing",
    "key": "a-key-of-nothing",
    "call": "a-call-of-nothing",
    "chat_text": "900000001",
    "reply_text": "900000004",
    "response": f"resp_{NEVER.replace('-', '')}",
    "conversation": "conv_900000001",
    "item": "added_900000001_900000002",
    "approval": f"mcpr_{NEVER.replace('-', '')}",
}


@dataclass(frozen=True)
class Try:
    """A request. `{chat}` in it stands for the id of a chat, and so on; alone in a value, for the value itself.

    `path` says which ids stand in the path, where not those of PATHS. `alike`: the owner is answered
    as with ids of nothing, since what is not there is made, or what is there waits for nothing.
    """

    json: Any = None
    params: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    path: Mapping[str, str] = field(default_factory=dict)
    alike: bool = False

    def request(self, route: str, ids: Ids) -> dict[str, Any]:
        """What httpx is to send."""
        method, _, path = route.partition(" ")
        for parameter in re.findall(r"\{(\w+)\}", path):
            path = path.replace(f"{{{parameter}}}", str(ids[self.path.get(parameter, PATHS[parameter])]))
        return {
            "method": method,
            "url": path,
            "json": filled(self.json, ids),
            "params": filled(self.params, ids),
            "headers": {name: str(value) for name, value in filled(self.headers, ids).items()},
        }

    def names(self, route: str) -> list[str]:
        """The ids that stand in the request."""
        asked = _Asked()
        self.request(route, asked)
        return sorted(asked.names)


class _Asked(dict[str, Any]):
    """Ids that note which of them were asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()

    def __getitem__(self, name: str) -> Any:  # noqa: ANN401
        self.names.add(name)
        return MISSING[name]


def filled(value: Any, ids: Ids) -> Any:  # noqa: ANN401
    """A value with the ids in it."""
    if isinstance(value, Mapping):
        return {name: filled(inner, ids) for name, inner in value.items()}
    if isinstance(value, list):
        return [filled(inner, ids) for inner in value]
    if not isinstance(value, str):
        return value
    for name in MISSING:
        if value == f"{{{name}}}":
            return ids[name]
        if f"{{{name}}}" in value:
            value = value.replace(f"{{{name}}}", str(ids[name]))
    return value


def mixtures(names: list[str]) -> Iterator[set[str]]:
    """Which of the ids in a request are not the user's own: each alone, and several together."""
    yield from map(set, chain.from_iterable(combinations(names, count) for count in range(1, len(names) + 1)))


PATHS: Final = {
    "chat_id": "chat",
    "message_id": "message",
    "generation_id": "generation",
    "operation_id": "operation",
    "session_id": "session",
    "source_id": "source",
    "key_id": "api_key",
    "user_id": "user",
    "identity_id": "identity",
    "invite_id": "invite",
    "chat_name": "name",
    "response_id": "response",
    "conversation_id": "conversation",
    "item_id": "item",
}
"""What the parameters of paths are the ids of."""
NOW: Final = {"Prefer": "respond-async"}
DIGEST: Final = "0" * 64


def _said(text: str = "Hello", name: str = "m1") -> dict[str, Any]:
    return {"id": name, "role": "user", "parts": [{"type": "text", "text": text}]}


APPROVED: Final = {
    "id": "{reply_text}",
    "role": "assistant",
    "parts": [
        {
            "type": "tool-db_propose_write",
            "state": "approval-responded",
            "toolCallId": "{call}",
            "approval": {"id": "{operation}", "approved": True},
        }
    ],
}

RESPONSE: Final = {"model": "double", "input": "Hello", "background": True}
ANSWERED: Final = {"type": "mcp_approval_response", "approval_request_id": "{approval}", "approve": True}

TRIES: Final[Mapping[str, tuple[Try, ...]]] = {
    "POST /api/auth/stream-ticket": (Try({"chat_id": "{chat}"}), Try({"generation_id": "{generation}"})),
    "PATCH /api/auth/keys/{key_id}": (Try({"name": "Mine now"}),),
    "DELETE /api/auth/keys/{key_id}": (Try(),),
    "DELETE /api/auth/identities/{identity_id}": (Try(),),
    "DELETE /api/auth/sessions/{session_id}": (Try(),),
    # Neither of the two is an admin.
    "GET /api/admin/acts": (
        Try(params={"subject_id": "{user}"}, alike=True),
        Try(params={"actor_id": "{user}"}, alike=True),
    ),
    "DELETE /api/admin/invites/{invite_id}": (Try(alike=True),),
    "GET /api/admin/users/{user_id}": (Try(alike=True),),
    "PATCH /api/admin/users/{user_id}": (Try({"disabled": True}, alike=True), Try({"daily_tokens": 0}, alike=True)),
    "DELETE /api/admin/users/{user_id}": (Try(alike=True),),
    "POST /api/admin/users/{user_id}/end-sessions": (Try(alike=True),),
    "GET /api/admin/users/{user_id}/usage": (Try(alike=True),),
    "GET /api/chats/{chat_id}": (Try(), Try(params={"include": "replaced"})),
    "PATCH /api/chats/{chat_id}": (Try({"title": "Mine now"}),),
    "DELETE /api/chats/{chat_id}": (Try(), Try(path={"chat_id": "trashed"}, alike=True)),
    "GET /api/chats/{chat_id}/memory": (Try(),),
    "PATCH /api/chats/{chat_id}/memory": (
        Try({"summary": "Mine now"}),
        Try({"segments": [{"id": "{segment}", "text": "Mine now"}]}),
        Try({"facts": [{"id": "{fact}", "text": "Mine now"}]}),
        Try({"facts": [{"id": "{fact}", "forgotten": True}]}),
    ),
    "DELETE /api/chats/{chat_id}/memory": (Try(),),
    "GET /api/chats/{chat_id}/messages": (Try(),),
    "POST /api/chats/{chat_id}/messages": (
        Try({"content": "Hello"}, headers=NOW),
        Try({"content": "Hello", "on_conflict": "interrupt"}, headers=NOW),
        Try({"content": "Hello", "on_conflict": "enqueue"}, headers={**NOW, "Idempotency-Key": "{key}"}),
    ),
    "DELETE /api/chats/{chat_id}/messages/{message_id}": (Try(), Try(path={"message_id": "reply"})),
    "PATCH /api/chats/{chat_id}/messages/{message_id}": (Try({"content": "Mine now"}, headers=NOW),),
    "POST /api/chats/{chat_id}/messages/{message_id}/choose": (Try(), Try(path={"message_id": "reply"})),
    "POST /api/chats/{chat_id}/messages/{message_id}/regenerate": (
        Try({}, headers=NOW, path={"message_id": "reply"}),
        Try({"on_conflict": "interrupt"}, headers=NOW),
    ),
    "POST /api/chats/{chat_id}/restore": (Try(path={"chat_id": "trashed"}),),
    "POST /api/chats/{chat_id}/stop": (Try(),),
    "GET /api/chats/{chat_id}/stream": (Try(), Try(headers={"Last-Event-ID": "{reply}:1-1"})),
    "POST /api/chats/{chat_id}/trash": (Try(path={"chat_id": "trashed"}),),
    "GET /api/generations/{generation_id}": (Try(),),
    "POST /api/generations/{generation_id}/cancel": (Try(),),
    "GET /api/generations/{generation_id}/stream": (Try(), Try(headers={"Last-Event-ID": "{reply}:1-1"})),
    "GET /api/data-sources/{source_id}": (Try(),),
    "PATCH /api/data-sources/{source_id}": (Try({"name": "Mine now"}),),
    "DELETE /api/data-sources/{source_id}": (Try(),),
    "POST /api/data-sources/{source_id}/operations": (Try({"sql": "UPDATE notes SET text = 'x' WHERE id = 1"}),),
    "POST /api/data-sources/{source_id}/query": (Try({"sql": "SELECT text FROM notes"}),),
    "POST /api/data-sources/{source_id}/refresh": (Try(),),
    "GET /api/data-sources/{source_id}/schema": (Try(),),
    "POST /api/data-sources/{source_id}/test": (Try(),),
    "GET /api/operations": (Try(params={"chat_id": "{chat}"}),),
    "GET /api/operations/{operation_id}": (Try(),),
    "POST /api/operations/{operation_id}/approve": (Try({"digest": DIGEST}, headers=NOW),),
    "POST /api/operations/{operation_id}/refuse": (Try(),),
    "POST /api/operations/{operation_id}/undo": (Try(),),
    "PATCH /api/memory": (
        Try({"facts": [{"id": "{shared_fact}", "text": "Mine now"}]}),
        Try({"facts": [{"id": "{shared_fact}", "forgotten": True}]}),
    ),
    "GET /api/chat/{chat_name}": (Try(), Try(path={"chat_name": "chat"})),
    "GET /api/chat/{chat_name}/stream": (Try(), Try(path={"chat_name": "chat"})),
    "POST /api/chat/{chat_name}/stop": (Try(), Try(path={"chat_name": "chat"})),
    "POST /api/chat": (
        Try({"id": "{name}", "messages": [_said()]}, alike=True),
        Try({"id": "{chat_text}", "messages": [_said(name="m2")]}, alike=True),
        Try(
            {"id": "{name}", "messages": [_said()], "trigger": "regenerate-message", "messageId": "{reply_text}"},
            alike=True,
        ),
        Try({"id": "{name}", "messages": [_said("Mine now")], "messageId": "{message_name}"}, alike=True),
        Try({"id": "{name}", "messages": [APPROVED]}, alike=True),
    ),
    "POST /v1/responses": (
        Try({**RESPONSE, "previous_response_id": "{response}"}),
        Try({**RESPONSE, "conversation": "{conversation}"}),
        Try(
            {**RESPONSE, "conversation": {"id": "{conversation}"}, "store": False, "background": False, "stream": True}
        ),
        Try({**RESPONSE, "input": [{"type": "item_reference", "id": "{item}"}]}),
        Try({**RESPONSE, "input": [{"type": "item_reference", "id": "msg_{reply}_0"}]}, alike=True),
        Try({**RESPONSE, "input": [ANSWERED]}, alike=True),
        Try({**RESPONSE, "input": [ANSWERED], "previous_response_id": "{response}"}, alike=True),
    ),
    "GET /v1/responses/{response_id}": (Try(), Try(params={"stream": "true"})),
    "POST /v1/responses/{response_id}/cancel": (Try(),),
    "DELETE /v1/responses/{response_id}": (Try(),),
    "GET /v1/responses/{response_id}/input_items": (Try(),),
    "GET /v1/conversations/{conversation_id}": (Try(),),
    "POST /v1/conversations/{conversation_id}": (Try({"metadata": {"word": "mine"}}),),
    "DELETE /v1/conversations/{conversation_id}": (Try(),),
    "GET /v1/conversations/{conversation_id}/items": (Try(), Try(params={"after": "msg_{reply}_0"})),
    "POST /v1/conversations/{conversation_id}/items": (Try({"items": [{"role": "user", "content": "Mine."}]}),),
    "GET /v1/conversations/{conversation_id}/items/{item_id}": (Try(),),
    "DELETE /v1/conversations/{conversation_id}/items/{item_id}": (Try(),),
}
"""By route. What is tried with the ids of another must be answered as with ids of nothing."""

NAMELESS: Final = frozenset(
    {
        "GET /",
        "GET /livez",
        "GET /readyz",
        "GET /api/admin/invites",
        "POST /api/admin/invites",
        "GET /api/admin/users",
        "GET /api/auth/options",
        "GET /api/auth/oidc/{provider}/login",
        "GET /api/auth/oidc/{provider}/callback",
        "POST /api/auth/oidc/{provider}/link",
        "POST /api/auth/oidc/{provider}/reauthenticate",
        "POST /api/auth/keys",
        "POST /api/auth/login",
        "POST /api/auth/logout",
        "POST /api/auth/logout-all",
        "POST /api/auth/refresh",
        "POST /api/auth/signup",
        "POST /api/auth/password",
        "POST /api/auth/password/forgot",
        "POST /api/auth/password/reset",
        "POST /api/auth/verify-email",
        "POST /api/auth/verify-email/send",
        "POST /api/auth/reauthenticate",
        "POST /api/auth/second-factor",
        "POST /api/auth/second-factor/confirm",
        "POST /api/auth/second-factor/recovery-codes",
        "DELETE /api/auth/second-factor",
        "DELETE /api/auth/me",
        "PATCH /api/auth/me",
        "POST /api/chats",
        "POST /api/data-sources",
        "POST /api/data-sources/sandbox",
        "DELETE /api/memory",
        "GET /v1/models",
        "GET /v1/models/{model}",
        "POST /v1/chat/completions",
        "POST /v1/conversations",
    }
)
"""Routes that take no id, and so nothing of another user's."""
LISTS: Final = (
    "GET /api/auth/identities",
    "GET /api/auth/keys",
    "GET /api/auth/me",
    "GET /api/auth/sessions",
    "GET /api/audit",
    "GET /api/chats",
    "GET /api/data-sources",
    "GET /api/events",
    "GET /api/memory",
    "GET /api/operations",
    "GET /api/search",
    "GET /api/trash",
    "GET /api/usage",
)
"""Routes that tell a user's things without being given an id."""
