"""The door's error form: one plain sentence. The SDK shows the body of a refused request to the user as it is."""

from typing import Final

from starlette.responses import Response

from services.api.problems.failure import Failure

CODE_HEADER: Final = "X-Error-Code"
"""Has the failure's code, for whoever looks at the response."""
CONTENT: Final = {"text/plain": {"schema": {"type": "string"}}}


def respond(failure: Failure) -> Response:
    """The failure's detail as a sentence. A detail that begins with its field says what the field must be."""
    text = failure.detail.strip()
    if failure.field and text.startswith(f"{failure.field}: must "):
        text = f"{failure.field} {text.removeprefix(f'{failure.field}: ')}"
    text = text[:1].upper() + text[1:]
    if not text.endswith((".", "!", "?")):
        text += "."
    headers = {**failure.headers, CODE_HEADER: failure.code}
    # A refused member may have a name that no text can have: half a surrogate pair is shown by its number.
    shown = text.encode(errors="backslashreplace")
    return Response(shown, int(failure.status), headers, media_type="text/plain; charset=utf-8")
