"""The mails that wait: each is sent, at least once and ordinarily once, or given up in the end."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from services.launcher.embedded.valkey import EmbeddedValkey
from services.worker.mail.outbox import AT_ONCE, FIRST_PAUSE, MAX_ATTEMPTS
from shared.settings import Settings
from tests.conftest import settings_for
from tests.doubles.smtp import MailServer, run_mail_server
from tests.support.mails import NOBODY, PAGE
from tests.support.turns import Noted, execute, logged, open_worker_for

EMAIL = "ada@example.com"


class Post:
    """The part of a worker that sends, and a user with mails that wait."""

    def __init__(self, settings: Settings, database_url: str, noted: Noted) -> None:
        self.settings = settings
        self.database_url = database_url
        self.noted = noted
        (self.user_id,) = self.ask(
            "INSERT INTO users (email, password_hash) VALUES (%s, '$bcrypt-sha256$v=2') RETURNING id", EMAIL
        )[0]

    def ask(self, statement: str, *values: object) -> list[tuple[object, ...]]:
        return execute(self.database_url, statement, *values)

    def add(self, kind: str = "password_changed") -> int:
        """Have a mail wait."""
        insert = "INSERT INTO account_mails (kind, user_id, address) VALUES (%s, %s, %s) RETURNING id"
        return int(str(self.ask(insert, kind, self.user_id, EMAIL)[0][0]))

    def age(self, minutes: int) -> None:
        """Have everything be so old."""
        times = ", ".join(f"{name} = {name} - make_interval(mins => %(m)s)" for name in ("due_at", "queued_at"))
        execute(self.database_url, f"UPDATE account_mails SET {times}".replace("%(m)s", str(minutes)))  # noqa: S608

    @property
    def rows(self) -> list[tuple[object, ...]]:
        """The number of tries at each mail, and in how many seconds the next one is due."""
        return self.ask("SELECT attempt::int, round(extract(epoch FROM due_at - now()))::int FROM account_mails")


@pytest.fixture
async def server() -> AsyncIterator[MailServer]:
    async with run_mail_server() as running:
        yield running


@pytest.fixture
def post(database_url: str, valkey: EmbeddedValkey, server: MailServer, noted: Noted) -> Post:
    settings = settings_for(
        database_url,
        valkey.url,
        NOBODY,
        mail_from="no-reply@example.com",
        public_url=PAGE,
        smtp_url=server.url,
        smtp_timeout_seconds=5,
    )
    return Post(settings, database_url, noted)


async def test_a_mail_that_was_sent_leaves_nothing_behind(post: Post, server: MailServer) -> None:
    async with open_worker_for(post.settings, post.noted) as worker:
        await worker.outbox.send(post.add())
    await server.mail(EMAIL)
    assert post.rows == []


async def test_a_job_that_comes_twice_sends_one_mail(post: Post, server: MailServer) -> None:
    """At one worker as at two."""
    async with open_worker_for(post.settings, post.noted) as one, open_worker_for(post.settings, post.noted) as two:
        mail_id = post.add()
        await asyncio.gather(*(worker.outbox.send(mail_id) for worker in (one, two, one, two)))
        await one.outbox.send(mail_id)
    assert (len(server.taken), server.asked) == (1, 1)


async def test_a_mail_whose_job_was_lost_is_found_by_the_sweep_once(post: Post) -> None:
    async with open_worker_for(post.settings, post.noted) as worker:
        mail_id = post.add()
        await worker.outbox.sweep()
        assert post.noted.mails == []  # its job may be under way
        post.age(1)
        for _ in range(3):
            await worker.outbox.sweep()
    assert post.noted.mails == [mail_id]


async def test_a_mail_that_was_put_off_is_tried_again_later_and_later(post: Post, server: MailServer) -> None:
    server.refusals = ["451 not now", "450 not now"]
    async with open_worker_for(post.settings, post.noted) as worker:
        mail_id = post.add()
        await worker.outbox.send(mail_id)
        assert post.rows == [(1, pytest.approx(FIRST_PAUSE.total_seconds(), abs=2))]
        await worker.outbox.send(mail_id)  # too soon
        assert server.asked == 1
        post.age(1)
        await worker.outbox.send(mail_id)
        assert post.rows == [(2, pytest.approx(2 * FIRST_PAUSE.total_seconds(), abs=2))]
        post.age(1)
        await worker.outbox.send(mail_id)
    assert (len(server.taken), post.rows) == (1, [])


async def test_a_mail_that_is_refused_for_ever_is_given_up(post: Post, server: MailServer) -> None:
    server.refusals = ["550 nobody here"]
    async with open_worker_for(post.settings, post.noted) as worker:
        await worker.outbox.send(post.add())
    assert (post.rows, server.taken) == ([], [])


@pytest.mark.parametrize("spent", ["attempt = %s", "created_at = now() - make_interval(hours => %s)"])
async def test_a_mail_that_can_not_be_sent_is_given_up_in_the_end(post: Post, server: MailServer, spent: str) -> None:
    async with open_worker_for(post.settings, post.noted) as worker:
        mail_id = post.add()
        post.ask(f"UPDATE account_mails SET {spent}", 25 if "hours" in spent else MAX_ATTEMPTS)  # noqa: S608 - ours
        await worker.outbox.send(mail_id)
    assert (post.rows, server.asked) == ([], 0)


async def test_mails_that_nobody_could_send_for_a_day_are_deleted_by_the_sweep(post: Post) -> None:
    async with open_worker_for(post.settings, post.noted) as worker:
        post.add()
        post.ask("UPDATE account_mails SET created_at = now() - interval '25 hours'")
        post.add()
        await worker.outbox.sweep()
    assert len(post.rows) == 1


async def test_a_server_that_hangs_holds_so_many_mails_and_no_more(post: Post, server: MailServer) -> None:
    server.may_take.clear()
    async with open_worker_for(post.settings, post.noted) as worker:
        mails = [post.add() for _ in range(AT_ONCE + 3)]
        async with asyncio.TaskGroup() as tasks:
            sending = [tasks.create_task(worker.outbox.send(mail_id)) for mail_id in mails]
            await server.recipients(AT_ONCE)
            await asyncio.wait(sending[AT_ONCE:])  # these did not wait for the server
            assert not any(task.done() for task in sending[:AT_ONCE])
            server.may_take.set()
    assert (len(server.taken), len(post.rows)) == (AT_ONCE, 3)


@pytest.mark.parametrize(("concurrency", "max_sending"), [(1, 1), (8, 4), (16, 8), (128, AT_ONCE)])
async def test_a_server_that_hangs_leaves_half_of_the_threads_free(
    post: Post, concurrency: int, max_sending: int
) -> None:
    settings = post.settings.model_copy(update={"worker_concurrency": concurrency})
    async with open_worker_for(settings, post.noted) as worker:
        assert worker.outbox.max_sending == max_sending


async def test_a_server_that_hangs_is_left_in_time_and_the_mail_tried_again(post: Post, server: MailServer) -> None:
    server.may_take.clear()
    settings = post.settings.model_copy(update={"smtp_timeout_seconds": 0.3})
    async with open_worker_for(settings, post.noted) as worker:
        mail_id = post.add()
        await worker.outbox.send(mail_id)
        assert [attempt for attempt, _ in post.rows] == [1]
        server.may_take.set()
        post.age(1)
        await worker.outbox.send(mail_id)
    assert post.rows == []


async def test_without_mail_the_log_says_that_one_would_go_and_nothing_more(
    post: Post, caplog: pytest.LogCaptureFixture
) -> None:
    off = post.settings.model_copy(update={"mail_from": None, "smtp_url": None})
    async with open_worker_for(off, post.noted) as worker:
        await worker.outbox.send(post.add("verify_email"))
    (line,) = logged(caplog, "mail_not_sent")
    assert (line["kind"], line["user_id"]) == ("verify_email", post.user_id)
    assert not any(secret in caplog.text for secret in (EMAIL, PAGE, "token="))
    assert (post.rows, post.ask("SELECT 1 FROM account_links")) == ([], [])


async def test_the_database_has_no_link_at_any_time(post: Post, server: MailServer) -> None:
    """Neither while the mail waits, nor while it is sent, nor after."""
    dump = "SELECT m::text FROM account_mails m UNION ALL SELECT l::text FROM account_links l"
    server.may_take.clear()
    async with open_worker_for(post.settings, post.noted) as worker:
        mail_id = post.add("verify_email")
        dumps = [post.ask(dump)]
        sending = asyncio.create_task(worker.outbox.send(mail_id))
        await server.recipients(1)
        dumps.append(post.ask(dump))
        server.may_take.set()
        await sending
        dumps.append(post.ask(dump))
    token = (await server.mail(EMAIL)).token
    assert len(token) == 43
    assert not any(token in str(each) for each in dumps)
    assert len(post.ask("SELECT 1 FROM account_links WHERE token_hash = sha256(%s)", token.encode())) == 1
