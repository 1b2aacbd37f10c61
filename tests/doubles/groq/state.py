"""What the double remembers: the requests it got, the scripts it was given, and who waits at which gate."""

import asyncio
import time
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Final, Literal

from tests.doubles.groq.conversation import Conversation
from tests.doubles.groq.directives import DEFAULTS, Behaviour, Purpose, directive_in, parse
from tests.doubles.groq.summary import summary_of

MAX_RECORDS: Final = 1000
MAX_SCRIPTS: Final = 1000
MAX_CONVERSATIONS: Final = 10_000

Outcome = Literal["open", "held", "finished", "refused", "broken", "abandoned"]


@dataclass(slots=True)
class Record:
    """One request to the chat endpoint.

    `outcome`: open, held (at a gate, stalled or hung), and then once for all: finished, refused (an error status),
    broken (a fault ended it) or abandoned (the client left). Times are in seconds, `*_at` of time.time().
    """

    number: int
    arrived_at: float
    arrived_monotonic: float
    headers: dict[str, str]
    body: Any
    user_text: str = ""
    outcome: Outcome = "open"
    tokens_sent: int = 0
    ended_at: float | None = None

    def as_json(self) -> dict[str, Any]:
        """Return what the control API tells."""
        return asdict(self)


@dataclass(slots=True)
class Script:
    """A behaviour for the next `times` requests; with a marker only for those whose user text contains it.

    With `anywhere` the marker is looked for in all messages. `purpose` limits the script to what a request is made for.
    `reply` is said instead of tokens; `arguments` are a tool call's, or a list for several calls. `events` are the whole
    stream, event by event: a text is sent as it is, anything else as JSON.
    """

    behaviour: Behaviour
    times: int = 1
    marker: str = ""
    anywhere: bool = False
    reply: str | None = None
    arguments: dict[str, Any] | list[dict[str, Any]] | None = None
    purpose: Purpose | None = None
    events: list[Any] | None = None

    def is_for(self, conversation: Conversation) -> bool:
        """Tell whether this script is for that request."""
        if self.purpose not in (None, conversation.purpose):
            return False
        return self.marker in (conversation.all_text if self.anywhere else conversation.last_user_text)


@dataclass(slots=True)
class State:
    """Everything that `POST /control/reset` forgets."""

    records: deque[Record] = field(default_factory=lambda: deque(maxlen=MAX_RECORDS))
    scripts: list[Script] = field(default_factory=list)
    released: set[str] = field(default_factory=set)
    held: dict[str | None, list[Callable[[], None]]] = field(default_factory=dict)
    tries: Counter[int] = field(default_factory=Counter)
    arrivals: int = 0
    watchers: list[asyncio.Future[None]] = field(default_factory=list)

    def arrive(self, headers: dict[str, str], body: object, user_text: str) -> Record:
        """Write down a request."""
        self.arrivals += 1
        record = Record(self.arrivals, time.time(), time.monotonic(), headers, body, user_text)
        self.records.append(record)
        self.changed()
        return record

    def end(self, record: Record, outcome: Outcome) -> None:
        """Write down how a request ended, the first time."""
        if record.ended_at is None:
            record.outcome, record.ended_at = outcome, time.time()
            self.changed()

    def choose(self, conversation: Conversation) -> Script:
        """Return how to answer: the first script for this request, else the directive in its last user message.

        Raises:
            DirectiveInvalid: the directive is not one that the double knows.

        """
        for script in self.scripts:
            if script.is_for(conversation):
                script.times -= 1
                if script.times <= 0:
                    self.scripts.remove(script)
                return _with_summary(script, conversation)
        directive = directive_in(conversation.last_user_text, conversation.purpose)
        return _with_summary(Script(DEFAULTS if directive is None else parse(directive)), conversation)

    def is_spared(self, behaviour: Behaviour, conversation: Conversation) -> bool:
        """Count a request of a conversation whose fault applies `once` (or n times); True when that is used up."""
        if not behaviour.once:
            return False
        if len(self.tries) > MAX_CONVERSATIONS:
            self.tries.clear()
        self.tries[conversation.key] += 1
        return self.tries[conversation.key] > behaviour.once

    def hold(self, record: Record, gate: str | None, go_on: Callable[[], None]) -> None:
        """Let a request wait at a gate; a gate that was released stays open."""
        if gate in self.released:
            go_on()
            return

        def leave() -> None:
            if record.outcome == "held":
                record.outcome = "open"
            go_on()

        record.outcome = "held"
        self.held.setdefault(gate, []).append(leave)
        self.changed()

    def release(self, gate: str) -> None:
        """Open a gate for those who wait and those who come."""
        self.released.add(gate)
        for go_on in self.held.pop(gate, []):
            go_on()
        self.changed()

    def reset(self) -> None:
        """Forget everything; requests that are being answered go on, and those held stay so until their client leaves."""
        self.records.clear()
        self.scripts.clear()
        self.released.clear()
        self.held.clear()
        self.tries.clear()
        self.arrivals = 0

    def changed(self) -> None:
        """Wake those who wait for something to happen."""
        for watcher in self.watchers:
            if not watcher.done():
                watcher.set_result(None)
        self.watchers.clear()

    async def change(self) -> None:
        """Wait for the next thing to happen."""
        watcher = asyncio.get_running_loop().create_future()
        self.watchers.append(watcher)
        await watcher


def _with_summary(script: Script, conversation: Conversation) -> Script:
    """Return the script with a dutiful summary where one is asked for and nothing else is to be said."""
    says_more = script.reply is not None or script.events is not None or script.behaviour.tokens != DEFAULTS.tokens
    if conversation.purpose != "summary" or says_more:
        return script
    return replace(script, reply=summary_of(conversation.last_user_text))
