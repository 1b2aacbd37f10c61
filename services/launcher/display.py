"""What `cortexai up` shows: progress, the table of addresses, an example, and the parts' warnings."""

import time
from typing import Final

from rich.console import Console
from rich.status import Status
from rich.table import Table
from rich.text import Text

from services.launcher.data_dir import DataDir
from services.launcher.supervisor import State
from services.launcher.system import FLOWER_USER, System

LOCAL_MODEL_NOTICE: Final = (
    "The local model is tiny and only there to see the system work: much of what it says is wrong. For a real one, set "
    "GROQ_API_KEY, or GROQ_BASE_URL and GROQ_MODEL for an endpoint of your own."
)
EXAMPLE: Final = """\
API={url}
curl -s $API/api/auth/signup -H 'Content-Type: application/json' -d '{{"email":"me@example.com","password":"a long password"}}'
TOKEN=$(curl -s $API/api/auth/login -H 'Content-Type: application/json' \\
  -d '{{"email":"me@example.com","password":"a long password"}}' | sed -E 's/.*"access_token": ?"([^"]+)".*/\\1/')
CHAT=$(curl -s -X POST $API/api/chats -H "Authorization: Bearer $TOKEN" -H 'Content-Type: application/json' -d '{{}}' \\
  | sed -E 's/.*"id": ?"?([0-9]+).*/\\1/')
curl -N $API/api/chats/$CHAT/messages -H "Authorization: Bearer $TOKEN" -H 'Content-Type: application/json' \\
  -d '{{"content":"Tell me about the sea."}}'
"""


class Display:
    """Shows on a terminal what happens now in one line; elsewhere, prints a line for each event."""

    def __init__(self, console: Console, names: tuple[str, ...]) -> None:
        self._console = console
        self._pending = dict.fromkeys(names)
        self._born = time.monotonic()
        self._starting = True
        self._gone = False
        self._status: Status | None = console.status("Starting …") if console.is_terminal else None
        if self._status is not None:
            self._status.start()

    def notice(self, part: str, state: State) -> None:
        """A part has another state now."""
        if not self._starting:
            if state == "ready":
                self.show(part, "is ready again")
            return
        if state == "ready":
            self._pending.pop(part, None)
            self._print(f"{part}: ready after {time.monotonic() - self._born:.1f} s")
        if self._status is not None:
            self._status.update(f"Starting {', '.join(self._pending)} …")

    def show(self, part: str, line: str) -> None:
        """A line of a part that a person should see."""
        self._print(Text.assemble((f"{part}: ", "bold yellow"), line))

    def started(self, system: System, data: DataDir) -> None:
        """Everything is ready: the addresses, and what to do with them."""
        self.settle()
        table = Table(title=f"CortexAI is ready after {time.monotonic() - self._born:.1f} s", show_header=False)
        table.add_column()
        table.add_column(overflow="fold")
        if system.settings.web_page:
            table.add_row("Page", f"{system.url}/  (open it in a browser)")
        table.add_row("API", system.url)
        table.add_row("Documentation", f"{system.url}/docs")
        table.add_row("Flower", system.flower_url)
        table.add_row("", f"user {FLOWER_USER}, password {data.secrets.flower_password}")
        table.add_row("Model", "local, only to see the system work" if system.running.model_port else "Groq")
        table.add_row("Data", str(data.path))
        table.add_row("Logs", str(data.logs))
        self._print(table)
        if system.running.model_port:
            self._print(LOCAL_MODEL_NOTICE)
        self._print("Try it:\n")
        # As it is: no wrapping and no colours, so that it can be copied.
        self._print(Text(EXAMPLE.format(url=system.url), no_wrap=True, overflow="ignore"))
        self._print("Press Ctrl-C to stop.")

    def stopping(self) -> None:
        """It was told to stop."""
        self.settle()
        self._print("Stopping …")

    def settle(self) -> None:
        """The start is over: no more progress."""
        self._starting = False
        if self._status is not None:
            self._status.stop()
            self._status = None

    def _print(self, what: str | Text | Table) -> None:
        if self._gone:
            return
        try:
            self._console.print(what, markup=False, highlight=False, soft_wrap=not isinstance(what, Table))
        except OSError:
            # Whoever read the output is gone; the system runs on.
            self._gone = True
