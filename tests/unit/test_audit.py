"""The audit of the lock file, against a stand-in for OSV."""

import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

SCRIPT = Path(__file__).parents[2] / "scripts" / "audit"
NOBODY_LISTENS = "http://127.0.0.1:9/"


def audit(url: str, *arguments: str) -> tuple[int, str]:
    # Without tries again: three of them take eight seconds.
    environment = os.environ | {"OSV_URL": url, "UV_HTTP_RETRIES": "0"}
    done = subprocess.run(
        [SCRIPT, *arguments], env=environment, capture_output=True, text=True, check=False, timeout=60
    )
    return done.returncode, done.stdout + done.stderr


@contextmanager
def osv(*vulnerable: str) -> Iterator[str]:
    """A database that knows a vulnerability of each of these packages."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["queries"]
            known = {"vulns": [{"id": "GHSA-0000", "modified": "2026-01-01T00:00:00Z"}]}
            self._answer({"results": [known if each["package"]["name"] in vulnerable else {} for each in asked]})

        def do_GET(self) -> None:
            self._answer({"id": "GHSA-0000", "modified": "2026-01-01T00:00:00Z", "summary": "Bad.", "affected": []})

        def _answer(self, content: dict[str, Any]) -> None:
            body = json.dumps(content).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


def test_a_vulnerable_package_is_a_failure_that_names_it() -> None:
    with osv("fastapi") as url:
        status, told = audit(url)
    assert status == 1
    assert "fastapi" in told
    assert "GHSA-0000" in told


def test_a_lock_without_known_vulnerabilities_passes() -> None:
    with osv() as url:
        status, told = audit(url)
    assert status == 0
    assert "NOT AUDITED" not in told


def test_where_the_database_is_out_of_reach_nothing_is_audited_and_a_line_says_so() -> None:
    status, told = audit(NOBODY_LISTENS)
    assert status == 0
    assert "NOT AUDITED" in told
    assert audit(NOBODY_LISTENS, "--strict")[0] == 2
