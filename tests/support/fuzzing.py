"""Requests made from the OpenAPI document, and mutated ones, and what is wrong with their answers.

Schemathesis makes requests that the document allows and such as it forbids. The latter take long to find, so most bad ones are
mutations of good ones (`tests.support.mutated_requests`).
"""

import random
import secrets
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final, cast
from uuid import uuid4

import requests
import schemathesis
from hypothesis import HealthCheck, Phase, Verbosity, given, settings
from hypothesis import seed as seeded
from hypothesis.errors import HypothesisException
from schemathesis import Case, GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.core.failures import FailureGroup
from schemathesis.core.result import Ok
from schemathesis.schemas import APIOperation
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from urllib3.exceptions import NewConnectionError

from tests.support.mutated_requests import mutated

Operation = APIOperation[Any, Any, Any, Any]
AnyCase = Case[Any]

PASSWORD: Final = "correct horse battery staple"
CHECKS: Final = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
OF_THE_CONNECTION: Final = frozenset({408, 414, 431, 501, 505})
"""No route has these: they are said of what is no whole request yet (docs/protocol.md, *Errors*)."""
OF_OTHERS: Final = frozenset({"data_source_unreachable"})
"""Codes of 503 that say nothing about this API: a made-up address of a database leads nowhere."""
ENDS_THE_LOGIN: Final = frozenset(
    {
        *(("DELETE", "/api/auth/me"), ("POST", "/api/auth/logout"), ("POST", "/api/auth/logout-all")),
        ("DELETE", "/api/auth/sessions/{session_id}"),  # a made-up id may be its own
    }
)
OF_ADMINS: Final = "/api/admin/"
BODIES: Final[dict[tuple[str, str], dict[str, Any]]] = {
    ("PATCH", "/api/admin/users/{user_id}"): {"disabled": True, "daily_tokens": 1_000},
    ("POST", "/v1/conversations/{conversation_id}/items"): {
        "items": [{"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Hello"}]}]
    },
}
"""Good bodies where the document says too little for one to be hit upon."""
SHOWN: Final = 600
WITHIN: Final = 30
"""Seconds. A request that is answered later, or stops for so long in its answer, counts as not answered."""
MAX_UNSENT: Final = 0.05
"""Of the requests that were answered. A few headers and addresses are such that the client sends them to nobody."""


@dataclass
class Findings:
    """What was sent, and what was wrong: for each kind of fault, one request that shows it.

    `unsent` are those that never reached the API: the client refused them, or could not connect.
    """

    statuses: Counter[int] = field(default_factory=Counter)
    unsent: int = 0
    faults: dict[str, str] = field(default_factory=dict)

    @property
    def cases(self) -> int:
        """How many requests were answered."""
        return self.statuses.total()

    def add(self, other: "Findings") -> None:
        """Take over what another run has found."""
        self.statuses += other.statuses
        self.unsent += other.unsent
        self.faults |= other.faults


class Account:
    """A user with something in each list, so that requests find what they ask for."""

    def __init__(self, base_url: str) -> None:
        self.http = requests.Session()
        self.http.trust_env = False
        self.base_url = base_url
        self.headers: dict[str, str] = {}
        self.credentials = {"email": f"{uuid4().hex}@example.com", "password": PASSWORD}
        self._ask("POST", "/api/auth/signup", json=self.credentials)
        token = self._ask("POST", "/api/auth/login", json=self.credentials)["access_token"]
        self.headers["Authorization"] = f"Bearer {token}"
        self._ask("PATCH", "/api/memory", json={"facts": [{"text": "I like tea.", "kind": "preference"}]})

    def places(self, path: str) -> dict[str, object]:
        """Values for the parameters of a path, each of something new."""
        made: dict[str, object] = {}
        if "{chat_" in path or "{generation_id}" in path:
            made |= self._chat()
        if "{source_id}" in path or "{operation_id}" in path:
            made |= self._data_source(with_operation="{operation_id}" in path)
        if "{key_id}" in path:
            made["key_id"] = self._api_key()
        if "{session_id}" in path:
            made |= self._session()
        if "{user_id}" in path:
            made["user_id"] = Account(self.base_url).id
        if "{invite_id}" in path:
            made["invite_id"] = self._invite()
        if "{model}" in path:
            made["model"] = self._model()
        if "{response_id}" in path or "{conversation_id}" in path:
            made |= self._response()
        return {name: value for name, value in made.items() if f"{{{name}}}" in path}

    @property
    def id(self) -> int:
        """The user's id."""
        return int(self._ask("GET", "/api/auth/me")["id"])

    def _session(self) -> dict[str, object]:
        self._ask("POST", "/api/auth/login", json=self.credentials)
        return {"session_id": self._ask("GET", "/api/auth/sessions")[0]["id"]}  # the newest

    def _chat(self) -> dict[str, object]:
        chat = self._ask("POST", "/api/chats", json={"title": "Fuzzed"})["id"]
        later = {"Prefer": "respond-async"}
        turn = self._ask("POST", f"/api/chats/{chat}/messages", json={"content": "Hello"}, headers=later)
        self._ask("POST", f"/api/chats/{chat}/stop")
        message, generation = turn["message"]["id"], turn["generation"]["id"]
        return {"chat_id": chat, "chat_name": str(chat), "message_id": message, "generation_id": generation}

    def _model(self) -> str:
        return str(self._ask("GET", "/v1/models")["data"][0]["id"])

    def _response(self) -> dict[str, object]:
        """A response that nobody waits for, in a conversation that has another item: one of the two is `item_id`."""
        conversation = self._ask("POST", "/v1/conversations", json={})["id"]
        asked = {"model": self._model(), "input": "Hello", "conversation": conversation, "background": True}
        response = self._ask("POST", "/v1/responses", json=asked)["id"]
        items = f"/v1/conversations/{conversation}/items"
        self._ask("POST", items, json={"items": [{"type": "message", "role": "user", "content": "Hello again"}]})
        item = secrets.choice(self._ask("GET", items)["data"])["id"]
        return {"response_id": response, "conversation_id": conversation, "item_id": item}

    def _api_key(self) -> int:
        """A key in place of all that there were, since a user may have so many only."""
        for key in self._ask("GET", "/api/auth/keys"):
            self._ask("DELETE", f"/api/auth/keys/{key['id']}")
        made: int = self._ask("POST", "/api/auth/keys", json={"name": "Fuzzed", "scopes": ["read"]})["id"]
        return made

    def _invite(self) -> int:
        """An invite in place of the newest that there were, since there may be so many only."""
        for invite in self._ask("GET", "/api/admin/invites"):
            self._ask("DELETE", f"/api/admin/invites/{invite['id']}")
        made: int = self._ask("POST", "/api/admin/invites")["id"]
        return made

    def _data_source(self, *, with_operation: bool) -> dict[str, object]:
        source = self._ask("POST", "/api/data-sources/sandbox")["id"]
        if not with_operation:
            return {"source_id": source}
        change = {"sql": "UPDATE products SET stock = stock + 1 WHERE id = 1", "summary": "One more."}
        operation = self._ask("POST", f"/api/data-sources/{source}/operations", json=change)["id"]
        return {"source_id": source, "operation_id": operation}

    def _ask(self, method: str, path: str, **sent: Any) -> Any:  # noqa: ANN401 - the answer's JSON
        headers = self.headers | sent.pop("headers", {})
        response = self.http.request(method, self.base_url + path, headers=headers, timeout=20, **sent)
        response.raise_for_status()
        return response.json() if response.content else None


@dataclass(frozen=True)
class Amounts:
    """How many requests are made of each operation: allowed ones, forbidden ones, and mutations of each allowed one."""

    allowed: int
    forbidden: int
    mutations: int


def fuzz(base_url: str, *, seed: int, amounts: Amounts, make_admin: Callable[[str], object]) -> Findings:
    """Ask each operation so often. The same seed makes the same requests, but for the ids in them.

    Those of admins are asked last: they may hit upon any user. `make_admin` makes one of an address's user.
    """
    findings = fuzz_as_user(base_url, seed=seed, amounts=amounts)
    findings.add(fuzz_as_admins(base_url, seed=seed, amounts=amounts, make_admin=make_admin))
    return findings


def fuzz_as_user(base_url: str, *, seed: int, amounts: Amounts) -> Findings:
    """Ask each operation that is not for admins, as a new user."""
    account = Account(base_url)

    def asking(operation: Operation) -> Account:
        ends_login = (operation.method.upper(), operation.path) in ENDS_THE_LOGIN
        return Account(base_url) if ends_login else account

    return _fuzz(base_url, seed, amounts, asking, of_admins=False)


def fuzz_as_admins(base_url: str, *, seed: int, amounts: Amounts, make_admin: Callable[[str], object]) -> Findings:
    """Ask each operation of admins, as a new admin. Nothing else may be asked meanwhile, since any user may be deleted."""

    def asking(_operation: Operation) -> Account:
        account = Account(base_url)
        make_admin(account.credentials["email"])
        return account

    return _fuzz(base_url, seed, amounts, asking, of_admins=True)


def _fuzz(
    base_url: str, seed: int, amounts: Amounts, asking: Callable[[Operation], Account], *, of_admins: bool
) -> Findings:
    """Ask the operations of admins, or all others, as the account that `asking` gives for each."""
    findings, rng = Findings(), random.Random(seed)  # noqa: S311 - no secret
    for operation in _operations(base_url):
        if operation.path.startswith(OF_ADMINS) != of_admins:
            continue
        ask = _Asker(base_url, asking(operation), findings, rng, amounts.mutations)
        places = ask.account.places(operation.path)
        for fixed in (places, None) if places else (None,):
            _run(operation, GenerationMode.POSITIVE, fixed, ask.with_mutations, seed=seed, examples=amounts.allowed)
            _run(operation, GenerationMode.NEGATIVE, fixed, ask, seed=seed, examples=amounts.forbidden)
        body = BODIES.get((operation.method.upper(), operation.path))
        if body is not None:
            ask.with_mutations(operation.Case(path_parameters=places, body=body, media_type="application/json"))
    if findings.unsent > MAX_UNSENT * findings.cases:
        findings.faults["unsent"] = f"{findings.unsent} requests never reached the API; {findings.cases} were answered"
    return findings


def _operations(base_url: str) -> Iterator[Operation]:
    with requests.Session() as http:
        http.trust_env = False
        document = http.get(f"{base_url}/openapi.json", timeout=WITHIN).json()
    for result in schemathesis.openapi.from_dict(document).get_all_operations():
        yield cast("Ok[Operation]", result).ok()


def _run(
    operation: Operation,
    mode: GenerationMode,
    fixed: dict[str, object] | None,
    ask: Callable[[AnyCase], None],
    *,
    seed: int,
    examples: int,
) -> None:
    """Make so many requests of one kind. An operation that takes nothing can't be asked in a wrong way."""
    if examples == 0:
        return
    quick = settings(
        max_examples=examples,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
        verbosity=Verbosity.quiet,
    )
    try:
        cases = operation.as_strategy(mode, path_parameters=fixed)
        seeded(seed)(quick(given(case=cases)(lambda case: ask(case))))()  # noqa: PLW0108 - hypothesis asks for a function
    except HypothesisException:
        if mode is GenerationMode.POSITIVE:
            raise


class _Asker:
    """Sends requests and their mutations, and looks at the answers."""

    def __init__(self, base_url: str, account: Account, findings: Findings, rng: random.Random, mutations: int) -> None:
        self.base_url, self.account, self.findings, self.rng = base_url, account, findings, rng
        self.mutations = mutations

    def __call__(self, case: AnyCase) -> None:
        """Send a request."""
        self._send(case, self._written(case))

    def with_mutations(self, case: AnyCase) -> None:
        """Send a request, and mutations of it."""
        sent = self._written(case)
        self._send(case, sent)
        for _ in range(self.mutations):
            self._send(case, mutated(sent, self.rng, in_path=bool(case.path_parameters)))

    def _written(self, case: AnyCase) -> dict[str, Any]:
        sent = case.as_transport_kwargs(base_url=self.base_url)
        return {**sent, "headers": {**sent["headers"], **self.account.headers}}

    def _send(self, case: AnyCase, sent: dict[str, Any]) -> None:
        try:
            response = self.account.http.request(**sent, timeout=WITHIN, stream=True, allow_redirects=False)
            if not _is_stream(response):
                _ = response.content  # a body that breaks off, or never ends, is no answer
        except (requests.RequestException, UnicodeError, ValueError) as error:
            if _was_sent(error):
                kind = f"{case.method} {case.operation.path}: no answer"
                self.findings.faults.setdefault(kind, f"{error!r} {sent!r}"[:SHOWN])
            else:
                self.findings.unsent += 1
            return
        with response:
            self._look_at(case, response)

    def _look_at(self, case: AnyCase, response: requests.Response) -> None:
        self.findings.statuses[response.status_code] += 1
        if _is_stream(response):
            response.raw.close()  # it may never end
            response._content = b""
        if response.status_code in OF_THE_CONNECTION:
            return
        if response.status_code == 503 and response.json().get("code") in OF_OTHERS:
            return
        try:
            case.validate_response(response, checks=CHECKS)
        except FailureGroup as group:
            for failure in group.exceptions:
                kind = f"{case.method} {case.operation.path}: {response.status_code} {type(failure).__name__}"
                told = f"{response.request.url} {response.request.headers} {response.request.body!r} → {response.text}"
                self.findings.faults.setdefault(kind, f"{failure} {told}"[:SHOWN])


def _is_stream(response: requests.Response) -> bool:
    return response.headers.get("Content-Type", "").startswith("text/event-stream")


def _was_sent(error: Exception) -> bool:
    """Whether a request without a whole answer had reached the API: it was connected, and the client did not refuse it."""
    match error:
        case requests.ConnectTimeout():
            return False
        case requests.ConnectionError():  # also while an answer's body is read
            return not isinstance(getattr(next(iter(error.args), None), "reason", None), NewConnectionError)
        case requests.ReadTimeout():
            return True
        case requests.exceptions.ChunkedEncodingError() | requests.exceptions.ContentDecodingError():
            return True
        case _:
            return False
