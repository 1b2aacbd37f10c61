"""What the double remembers: the searches it was asked for, the scripts it was given, and its gates."""

import asyncio
import time
from collections import Counter, defaultdict, deque
from dataclasses import asdict, dataclass, field
from typing import Any, Final, Literal

from tests.doubles.tavily.directives import Behaviour, behaviour_in

MAX_RECORDS: Final = 1000

Outcome = Literal["open", "held", "finished", "refused", "broken", "abandoned"]


@dataclass(slots=True)
class Record:
    """One search.

    `outcome`: open, held (at a gate, or hung), and then once for all: finished, refused (an error status), broken (a
    fault ended it) or abandoned (the client left). `connection` numbers connections from 1. Times are time.time().
    """

    number: int
    connection: int
    arrived_at: float
    headers: dict[str, str]
    body: Any
    query: str = ""
    outcome: Outcome = "open"
    sent_bytes: int = 0
    ended_at: float | None = None

    def as_json(self) -> dict[str, Any]:
        """Return what the control API tells."""
        return asdict(self)


@dataclass(slots=True)
class Script:
    """A behaviour for the next `times` searches; with a marker only for those whose query contains it."""

    behaviour: Behaviour
    times: int = 1
    marker: str = ""


@dataclass(slots=True)
class State:
    """Everything that `POST /control/reset` forgets."""

    records: deque[Record] = field(default_factory=lambda: deque(maxlen=MAX_RECORDS))
    scripts: list[Script] = field(default_factory=list)
    gates: defaultdict[str, asyncio.Event] = field(default_factory=lambda: defaultdict(asyncio.Event))
    tries: Counter[str] = field(default_factory=Counter)
    arrivals: int = 0
    connections: int = 0
    happened: asyncio.Event = field(default_factory=asyncio.Event)

    def arrive(self, connection: int, headers: dict[str, str], body: object, query: str) -> Record:
        """Write down a request."""
        self.arrivals += 1
        record = Record(self.arrivals, connection, time.time(), headers, body, query)
        self.records.append(record)
        self.changed()
        return record

    def end(self, record: Record, outcome: Outcome) -> None:
        """Write down how a request ended, the first time."""
        if record.ended_at is None:
            record.outcome, record.ended_at = outcome, time.time()
            self.changed()

    def hold(self, record: Record) -> None:
        """Write down that a request waits."""
        record.outcome = "held"
        self.changed()

    def choose(self, query: str) -> Behaviour:
        """Return how to answer: the first script for this query, else the directive in it.

        Raises:
            DirectiveInvalid: the directive is not one that the double knows.

        """
        for script in self.scripts:
            if script.marker in query:
                script.times -= 1
                if script.times <= 0:
                    self.scripts.remove(script)
                return script.behaviour
        return behaviour_in(query)

    def is_spared(self, behaviour: Behaviour, query: str) -> bool:
        """Count a search whose fault applies `once` (or n times); True when that is used up."""
        self.tries[query] += 1
        return 0 < behaviour.once < self.tries[query]

    def reset(self) -> None:
        """Forget everything; requests that are being answered go on."""
        self.records.clear()
        self.scripts.clear()
        self.gates.clear()
        self.tries.clear()
        self.arrivals = 0

    def changed(self) -> None:
        """Wake those who wait for something to happen."""
        self.happened.set()
        self.happened = asyncio.Event()
