"""The control API: what was asked, what to do next, and waiting for things to happen instead of sleeping."""

import asyncio
import json
from collections.abc import Mapping
from http import HTTPStatus
from typing import Final

from tests.doubles.groq.wire import response
from tests.doubles.tavily.answers import to_json
from tests.doubles.tavily.directives import DirectiveInvalid, parse
from tests.doubles.tavily.state import Script, State

MAX_WAIT_SECONDS: Final = 60.0


async def answer_control(state: State, path: str, query: Mapping[str, str], raw: bytes) -> bytes:
    """Return the whole HTTP response to a control request."""
    try:
        body = json.loads(raw) if raw else {}
        if path == "/control/requests":
            return await _requests(state, query)
        if path == "/control/reset":
            state.reset()
        elif path == "/control/script":
            state.scripts.append(Script(**{**body, "behaviour": parse(body.get("behaviour", ""))}))
        elif path == "/control/release":
            state.gates[str(body["gate"])].set()
        else:
            return response(HTTPStatus.NOT_FOUND, to_json({"error": f"no such path: {path}"}))
    except (DirectiveInvalid, ValueError, KeyError, TypeError) as error:
        return response(HTTPStatus.BAD_REQUEST, to_json({"error": repr(error)}))
    return response(HTTPStatus.OK, b"{}")


async def _requests(state: State, query: Mapping[str, str]) -> bytes:
    """Tell the searches whose query contains `containing`, once so many have `arrived`, `ended` and are `held`."""
    wanted = {name: int(query.get(name, "0")) for name in ("arrived", "ended", "held")}
    try:
        async with asyncio.timeout(min(float(query.get("within", "10")), MAX_WAIT_SECONDS)):
            while True:
                records = [record for record in state.records if query.get("containing", "") in record.query]
                seen = {
                    "arrived": len(records),
                    "ended": sum(record.ended_at is not None for record in records),
                    "held": sum(record.outcome == "held" for record in records),
                }
                if all(seen[name] >= number for name, number in wanted.items()):
                    return response(HTTPStatus.OK, to_json([record.as_json() for record in records]))
                await state.happened.wait()
    except TimeoutError:
        return response(HTTPStatus.REQUEST_TIMEOUT, to_json({"error": f"wanted {wanted}, seen {seen}"}))
