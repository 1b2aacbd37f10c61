"""What `cortexai doctor` says of what accounts need outside: the mail server, and the providers by which people log in.

Only the standard library asks: a container of one service has not the packages of the others.
"""

import http.client
import json
import smtplib
import socket
import ssl
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from typing import Any, Final, TypeVar

from services.launcher.checks import ANSWER_SECONDS, Finding, opener, shown
from shared.errors import SettingsInvalid
from shared.oidc_providers import MAX_DOCUMENT_BYTES, OidcProvider, document_of
from shared.settings import Settings
from shared.smtp_urls import SmtpServer

WITHIN: Final = 10.0
"""Seconds for all of one check, however slowly the other side talks. For each answer it is `checks.ANSWER_SECONDS`."""
ENDPOINTS: Final = ("authorization_endpoint", "token_endpoint", "jwks_uri")

FAILURES: Final = (OSError, http.client.HTTPException, ValueError, RecursionError)
"""How asking fails. What smtplib raises is an OSError."""

Found = TypeVar("Found")


def mail(settings: Settings, *, is_sent_here: bool = True) -> Finding:
    """The mail server answers, and takes the login. No mail is sent.

    Only who sends mail has the server's password. Where no worker can run, and no server is named, another container has it.
    """
    if settings.mail_from is not None and settings.smtp_url is None and not is_sent_here:
        remedy = "ask the doctor where a worker runs, too"
        return Finding("mail", "note", "on, and sent by workers: SMTP_URL is theirs alone", remedy)
    try:
        server = settings.smtp_server
    except SettingsInvalid as error:
        return Finding("mail", "wrong", error.message)
    if server is None:
        return Finding("mail", "note", "off", "set MAIL_FROM, SMTP_URL and PUBLIC_URL to turn it on")
    where = f"{server.host}:{server.port}"
    try:
        _in_time(lambda: _log_in(server))
    except (OSError, ValueError) as error:
        detail, remedy = _why_not(server, error)
        return Finding("mail", "wrong", f"{where} {detail}", remedy)
    login = "and takes the login" if server.user is not None else "without a login"
    return Finding("mail", "ok", f"{where} answers, {login}")


def _why_not(server: SmtpServer, error: Exception) -> tuple[str, str]:
    """What a mail server does that can't be used, and what to do. Nothing is quoted that the server has sent."""
    match error:
        case smtplib.SMTPAuthenticationError():
            return f"refuses the login ({error.smtp_code})", "check SMTP_URL"
        case smtplib.SMTPNotSupportedError():
            missing = "a login" if server.tls == "implicit" else "STARTTLS or a login"
            return f"does not offer {missing}", "check the scheme and the port of SMTP_URL"
        case smtplib.SMTPResponseException():
            return f"answers {error.smtp_code}", "check SMTP_URL"
        case ssl.SSLError():
            reason = getattr(error, "verify_message", "") or error.reason
            return f"has no TLS that can be believed: {reason}", "check SMTP_URL; a private CA goes into SSL_CERT_FILE"
    reason = error.strerror if isinstance(error, OSError) and error.strerror else type(error).__name__
    return f"can't be reached: {reason}", "check SMTP_URL and the network"


def providers(settings: Settings) -> Iterator[Finding]:
    """The discovery document of each provider can be read, and is its own."""
    for provider in settings.oidc_providers:
        yield _provider(provider)


def _log_in(server: SmtpServer) -> None:
    name = socket.gethostname()  # the default asks the network's name server
    tls = None if server.tls == "none" else ssl.create_default_context()
    smtp: smtplib.SMTP
    if server.tls == "implicit":
        smtp = smtplib.SMTP_SSL(server.host, server.port, name, timeout=ANSWER_SECONDS, context=tls)
    else:
        smtp = smtplib.SMTP(server.host, server.port, name, timeout=ANSWER_SECONDS)
    with smtp:
        smtp.ehlo_or_helo_if_needed()
        if server.tls == "starttls":
            smtp.starttls(context=tls)
        if server.user is not None and server.password is not None:
            smtp.login(server.user, server.password)


def _provider(provider: OidcProvider) -> Finding:
    subject, where = f"provider {provider.id}", shown(provider.issuer)
    remedy = "check its issuer in OIDC_PROVIDERS, and the network"
    try:
        document = _in_time(lambda: _read(provider.issuer))
    except urllib.error.HTTPError as error:
        with error:
            detail = f"{where} answers {error.code}"
            if error.code // 100 == 3:  # noqa: PLR2004
                detail += ", a redirect, which the API does not follow"
            return Finding(subject, "wrong", detail, remedy)
    except (OSError, http.client.HTTPException) as error:
        # An error about HTTP would quote what the provider sent.
        reason = getattr(error, "reason", "") or getattr(error, "strerror", "") or type(error).__name__
        return Finding(subject, "wrong", f"{where} can't be reached: {reason}", remedy)
    except (ValueError, RecursionError):
        return Finding(subject, "wrong", f"{where} has no discovery document", remedy)
    if document.get("issuer") != provider.issuer:
        remedy = "write the issuer in OIDC_PROVIDERS as the document has it, letter by letter"
        return Finding(subject, "wrong", f"the document at {where} is of another issuer", remedy)
    if missing := [name for name in ENDPOINTS if not isinstance(document.get(name), str)]:
        return Finding(subject, "wrong", f"the document at {where} lacks {', '.join(missing)}", remedy)
    return Finding(subject, "ok", f"its discovery document is at {where}")


def _read(issuer: str) -> dict[str, Any]:
    """The document. Raises ValueError where the answer is no JSON object, or larger than the API would read."""
    request = urllib.request.Request(  # noqa: S310 - an issuer is http or https
        document_of(issuer), headers={"Accept": "application/json", "User-Agent": "cortexai"}
    )
    with opener(issuer).open(request, timeout=ANSWER_SECONDS) as answer:
        text = answer.read(MAX_DOCUMENT_BYTES + 1)
    found = json.loads(text) if len(text) <= MAX_DOCUMENT_BYTES else None
    if not isinstance(found, dict):
        raise ValueError("no JSON object")  # noqa: TRY004 - as json.loads says of what is no JSON
    return found


def _in_time(look: Callable[[], Found]) -> Found:
    """What `look` returns or raises, within WITHIN seconds.

    Its thread is left behind where that is too long: what talks a byte at a time keeps all timeouts of a socket from coming.

    Raises:
        TimeoutError: it took too long.

    """
    told: Future[Found] = Future()

    def run() -> None:
        try:
            told.set_result(look())
        except FAILURES as error:
            told.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    return told.result(WITHIN)
