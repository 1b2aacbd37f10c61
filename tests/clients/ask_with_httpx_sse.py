"""Asks with docs/clients/httpx_sse_client.py, and prints the parts: the API's URL, a token, a chat, and a message are told.

Without a message, it stops what the chat is generating. REFRESH_TOKEN may have the refresh token.
"""

import json
import os
import sys
from pathlib import Path

import httpx

sys.path.append(str(Path(__file__).parents[2] / "docs" / "clients"))

from httpx_sse_client import ask, stop  # type: ignore[import-not-found]

url, token, chat, *content = sys.argv[1:]
with httpx.Client(base_url=url, headers={"Authorization": f"Bearer {token}"}) as http:
    if content:
        refresh_token = os.environ.get("REFRESH_TOKEN")
        for part in ask(http, int(chat), content[0], tokens=refresh_token and {"refresh_token": refresh_token}):
            sys.stdout.write(json.dumps(part) + "\n")
            sys.stdout.flush()
    else:
        stop(http, int(chat))
