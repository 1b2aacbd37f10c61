"""Manners of models and endpoints, one after another in one chat. Every message is answered, or told what to do."""

import argparse
import json
import os
import random
import sys
import uuid
from collections import Counter
from dataclasses import dataclass
from typing import Any, Final, get_args

import aiohttp
import uvloop
from system import PASSWORD, SystemFailed, running_system

from shared.errors import ModelError
from tests.doubles.groq.directives import FAULTS, Seam
from tests.doubles.groq.manners import RESPONSES, STREAMS
from tests.doubles.process import start_groq_double

READ_TIMEOUT: Final = "1"
STATUSES: Final = (400, 401, 403, 404, 408, 413, 422, 424, 429, 498, 499, 500, 502, 503, 520, 529)
WITH_FALLBACK: Final = {"GROQ_MODEL": "openai/gpt-oss-120b", "GROQ_FALLBACK_MODEL": "small"}
SEAMS: Final[tuple[Seam, ...]] = get_args(Seam)


@dataclass
class Turn:
    """What became of one message."""

    directive: str
    ending: str = ""
    code: str = ""
    error: str = ""
    text: str = ""
    message_id: int = 0


def main() -> int:
    """Run; returns 1 when a message was neither answered nor failed with a remedy."""
    options = _options()
    os.environ.update({"MODEL_READ_TIMEOUT_SECONDS": READ_TIMEOUT, **WITH_FALLBACK})
    try:
        with start_groq_double() as groq_url, running_system(groq_url) as base_url:
            wrong = uvloop.run(_run(base_url, options))
    except SystemFailed as error:
        print(error, file=sys.stderr)
        return 2
    return 1 if wrong else 0


async def _run(base_url: str, options: argparse.Namespace) -> list[str]:
    rng = random.Random(options.seed)  # noqa: S311 - a schedule is no secret
    remedies = {kind.code for kind in _kinds(ModelError)}
    wrong, endings = list[str](), Counter[str]()
    async with aiohttp.ClientSession(base_url, raise_for_status=True) as http:
        account = {"email": "bench@example.com", "password": PASSWORD}
        await _json(http, "POST", "/api/auth/signup", account)
        token = (await _json(http, "POST", "/api/auth/login", account))["access_token"]
        http.headers["Authorization"] = f"Bearer {token}"
        chat = (await _json(http, "POST", "/api/chats", {}))["id"]
        for number in range(options.messages):
            turn = await _say(http, chat, f"{_for_others(rng)} {_manner(rng)}")
            endings[turn.code or turn.ending] += 1
            wrong += [f"{number}: {turn.directive}: {fault}" for fault in _faults(turn, remedies)]
            if turn.ending == "error":
                after = await _say(http, chat, "[[tokens=3]]")
                if (after.ending, after.text) != ("finish", "t1 t2 t3 "):
                    wrong.append(f"{number}: {turn.directive}: the next message was answered by {after}")
            saved = (await _json(http, "GET", f"/api/chats/{chat}"))["messages"]
            content = next(message["content"] for message in saved if message["id"] == turn.message_id)
            if content != turn.text:
                wrong.append(f"{number}: {turn.directive}: read {turn.text[-60:]!r}, saved {content[-60:]!r}")
    for ending, count in endings.most_common():
        print(f"{ending:32} {count}")
    for line in wrong:
        print(line)
    print(f"{options.messages} manners, {len(wrong)} wrong")
    return wrong


def _manner(rng: random.Random) -> str:
    """A directive: a manner or a fault, of one model or of all, once or always, before or after words and reasoning."""
    words = [f"tokens={rng.randint(1, 40)}", f"reasoning={rng.choice((0, 0, 3))}", f"seam={rng.choice(SEAMS)}"]
    kind = rng.random()
    if kind < 0.5:
        words.append(f"manner={rng.choice(sorted({*STREAMS, *RESPONSES}))}")
    elif kind < 0.7:
        words += [f"fault={rng.choice(STATUSES)}", f"retry_after={rng.choice((0, 0.1, 30))}"]
    else:
        words += [f"fault={rng.choice(sorted(FAULTS))}", f"after={rng.randint(0, 20)}"]
    words.append(f"once={rng.choice((0, 1, 1, 2))}")
    if rng.random() < 0.3:
        words.append("model=gpt-oss")
    return f"[[{' '.join(words)}]]"


def _for_others(rng: random.Random) -> str:
    """Directives for the title and the summaries that will quote the message."""
    manners = sorted({*STREAMS, *RESPONSES})
    title, summary = rng.choice(manners), rng.choice(manners)
    return f"[[title: manner={title}]] [[summary: manner={summary}]]" if rng.random() < 0.3 else ""


def _faults(turn: Turn, remedies: set[str]) -> list[str]:
    """What is wrong with how a message was answered."""
    if turn.ending == "finish":
        return [] if turn.text.strip() else ["finished with nothing"]
    if turn.ending == "error":
        return [] if turn.code in remedies and turn.error else [f"failed with {turn.code}: {turn.error}"]
    return [f"ended with {turn.ending or 'nothing'}"]


async def _say(http: aiohttp.ClientSession, chat: int, message: str) -> Turn:
    """Post a message, and read its answer to the end."""
    turn = Turn(message)
    # The directive stands at the end, where the double obeys it also behind a message that was not answered. Each message is
    # another conversation.
    body = {"content": f"{uuid.uuid4().hex} {message}"}
    async with http.post(f"/api/chats/{chat}/messages", json=body) as response:
        async for line in response.content:
            if not line.startswith(b"data: {"):
                continue
            part = json.loads(line[6:])
            match part["type"]:
                case "start":
                    turn.message_id = int(part["messageId"])
                case "text-delta":
                    turn.text += part["delta"]
                case "finish" | "abort":
                    turn.ending = part["type"]
                case "data-error":
                    turn.code = part["data"]["code"]
                case "error":
                    turn.ending, turn.error = "error", part["errorText"]
    return turn


def _kinds(error: type[ModelError]) -> list[type[ModelError]]:
    return [error, *(kind for child in error.__subclasses__() for kind in _kinds(child))]


async def _json(http: aiohttp.ClientSession, method: str, path: str, body: object = None) -> Any:  # noqa: ANN401
    async with http.request(method, path, json=body) as response:
        return await response.json()


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--messages", type=int, default=200, help="how many manners")
    parser.add_argument("--seed", type=int, default=1, help="of the manners")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
