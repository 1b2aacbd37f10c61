"""The connections, keys and limits of a process that serves. Made by app.py; routes get it as a dependency."""

from dataclasses import dataclass
from datetime import timedelta

from services.api.auth.access_tokens import AccessTokens
from services.api.auth.account_lookup import AccountLookup
from services.api.auth.fair_queue import FairQueue
from services.api.auth.key_lookup import KeyLookup
from services.api.auth.local_counts import Rate
from services.api.auth.login_tries import LoginTries
from services.api.auth.mail_limit import MailLimit
from services.api.auth.oidc.logins import OidcLogins
from services.api.auth.passwords import Passwords
from services.api.auth.session_cookies import SessionCookies
from services.api.auth.session_lookup import SessionLookup
from services.api.auth.signup_limit import SignupLimit
from services.api.auth.stored_costs import StoredCosts
from services.api.auth.stream_tickets import StreamTickets
from services.api.left_tasks import LeftTasks
from services.api.limits import Limits
from services.api.queue_positions import QueuePositions
from services.api.stream_slots import StreamSlots
from shared.data_sources.access import SourceAccess
from shared.data_sources.encryption import Keyring
from shared.database.engine import Database
from shared.jobs.sender import JobSender
from shared.operations.changes import Changes
from shared.settings import SignupMode
from shared.streams.redis import Streams
from shared.telemetry.metrics import Metrics


@dataclass(frozen=True, slots=True)
class Resources:
    """What routes take from. A function below a route gets the few things that it uses, never all of them.

    `message_rate` and `ticket_rate` bound what a user asks for a minute.
    `refreshes` bounds how many refresh tokens are exchanged at a time; `refresh_grace` is for how long a used one is answered.
    `data_sources` and `keyring` are None where the operator has given no keys.
    `left_tasks` goes on with what a request has begun whose client has left.
    `code_tries` counts wrong codes of second factors, as `tries` counts wrong passwords; `code_turns` has codes looked at one by
    one. `reauthenticate_after` is how long somebody who has proved the password need not prove it again. `mail_limit` bounds the
    mails that are asked for; `has_mail`: they are really sent. `password_login`: passwords are taken. `oidc` has the providers
    by which people log in. `signup_mode`: who may make an account. `public_url` is the page's address, without a slash at its
    end; None where the operator has not told.
    """

    limits: Limits
    database: Database
    streams: Streams
    jobs: JobSender
    queue_positions: QueuePositions
    passwords: Passwords
    costs: StoredCosts
    tries: LoginTries
    signups: SignupLimit
    message_rate: Rate
    ticket_rate: Rate
    tokens: AccessTokens
    tickets: StreamTickets
    accounts: AccountLookup
    cookies: SessionCookies
    sessions: SessionLookup
    refreshes: FairQueue
    refresh_grace: timedelta
    keys: KeyLookup
    stream_slots: StreamSlots
    metrics: Metrics
    changes: Changes
    data_sources: SourceAccess | None
    keyring: Keyring | None
    code_tries: LoginTries
    code_turns: FairQueue
    left_tasks: LeftTasks
    reauthenticate_after: timedelta
    password_login: bool
    oidc: OidcLogins
    mail_limit: MailLimit
    has_mail: bool
    signup_mode: SignupMode
    invite_lifetime: timedelta
    public_url: str | None
