"""What is proved, one step after another, on one stack. Each step leaves the stack running."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

import httpx

from tests.deployment import documented
from tests.deployment.outage import longest_outage
from tests.deployment.stack import FLOWER_USER, OURS, Stack
from tests.support.clients import numbered
from tests.support.readers import User

LOGGED_SECONDS: Final = 30.0
LOOK_EVERY: Final = 0.5
MAX_OUTAGE_SECONDS: Final = 15.0
"""More than a busy machine takes to replace the API, and less than a worker drains."""
WORKERS: Final = 3
OUR_FAULTS: Final = frozenset({"uncaught_error", "background_task_died", "background_task_failed"})
RELEASE: Final = "RELEASE = 'the next one'\n"

LIST_SERVICES: Final = """
from pathlib import Path
import services
print(*sorted(folder.name for folder in Path(services.__path__[0]).iterdir() if (folder / "__main__.py").exists()))
"""

KILL_THE_WORKER: Final = """
import os, signal
from pathlib import Path
for process in Path("/proc").glob("[0-9]*"):
    # Number 1 is the container's init, which starts the worker and ends with it.
    if process.name != "1" and b"services.worker" in (process / "cmdline").read_bytes().split(b"\\0"):
        os.kill(int(process.name), signal.SIGKILL)
"""


TRY_REDIS: Final = """
import os, redis
own = redis.Redis.from_url(os.environ["REDIS_URL"])
stranger = redis.Redis(host=own.connection_pool.connection_kwargs["host"])
def told(call):
    try:
        call()
    except redis.RedisError as error:
        return type(error).__name__
    return "taken"
print(told(stranger.ping), told(own.flushall), told(own.ping))
"""
TRY_DATABASE: Final = """
import os, psycopg
def told(statement):
    try:
        with psycopg.connect(os.environ["DATABASE_URL"]) as connection:
            connection.execute(statement)
    except psycopg.Error as error:
        return type(error).__name__
    return "taken"
print(told("CREATE TABLE x (id int)"), told("SELECT * FROM pg_authid"), told("SELECT 1"))
"""


async def images_hold_their_own_service(stack: Stack, user: User) -> None:
    """Each image has the code of its service, and not the other's."""
    assert await stack.inside("api", LIST_SERVICES) == "api"
    for service in ("worker", "maintenance", "beat", "flower"):
        assert await stack.inside(service, LIST_SERVICES) == "worker", service


async def a_message_is_answered(stack: Stack, user: User) -> None:
    """The whole way, from a message to its answer."""
    await user.ask(tokens=20)
    await user.all_is_well()


async def flower_asks_for_its_password(stack: Stack, user: User) -> None:
    """Flower shows the workers to those who know its password, and its health to everybody."""
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{stack.flower_port}") as http:
        assert (await http.get("/healthcheck")).status_code == httpx.codes.OK
        assert (await http.get("/workers")).status_code == httpx.codes.UNAUTHORIZED
        assert (await http.get("/workers", auth=(FLOWER_USER, "wrong"))).status_code == httpx.codes.UNAUTHORIZED
        assert (await http.get("/workers", auth=(FLOWER_USER, stack.flower_password))).status_code == httpx.codes.OK


async def containers_are_confined(stack: Stack, user: User) -> None:
    """No container runs as root, writes its root file system, or has a capability."""
    for service in (*OURS, "postgres", "redis"):
        for container in await stack.containers(service):
            host = container["HostConfig"]
            assert container["Config"]["User"].partition(":")[0] not in {"", "0", "root"}, service
            assert host["ReadonlyRootfs"], service
            assert (host["CapDrop"], host["CapAdd"] or []) == (["ALL"], []), service
            assert not host["Privileged"], service
            assert "no-new-privileges:true" in host["SecurityOpt"], service


async def the_servers_refuse_what_nobody_needs(stack: Stack, user: User) -> None:
    """Redis refuses whoever has no password. The API can't empty Redis, and can't change the schema."""
    assert await stack.inside("api", TRY_REDIS) == "AuthenticationError NoPermissionError taken"
    assert await stack.inside("api", TRY_DATABASE) == "InsufficientPrivilege InsufficientPrivilege taken"


async def a_killed_worker_costs_no_answer(stack: Stack, user: User) -> None:
    """Kill -9 in the middle of answers. Some readers stay, others keep hanging up and resume by Last-Event-ID."""
    readers = [await user.ask(tokens=100, rate=20, leave_after=leave_after) for leave_after in (None, None, 5, 9)]
    await asyncio.gather(*(reader.said(20) for reader in readers))
    await stack.inside("worker", KILL_THE_WORKER)
    await asyncio.gather(*(reader.attempted(2) for reader in readers))
    await user.all_is_well(readers)
    (worker,) = await stack.containers("worker")
    assert worker["RestartCount"] == 1, "the engine starts again what was killed"


async def a_redis_that_is_away_costs_no_answer(stack: Stack, user: User) -> None:
    """Redis stops in the middle of answers. While it is away, its name is not known either."""
    readers = await user.ask_many(3, tokens=200, rate=20)
    await asyncio.gather(*(reader.said(20) for reader in readers))
    await stack.compose("stop", "redis")
    await _logged(stack, "worker", "append_failed")
    await _logged(stack, "api", "hub_connection_lost")
    await stack.compose("start", "redis")
    await user.all_is_well(readers)


async def there_are_as_many_workers_as_are_set(stack: Stack, user: User) -> None:
    """`WORKER_REPLICAS` is the number of workers, at every `up`."""
    stack.set(WORKER_REPLICAS=str(WORKERS))
    for command in documented.commands("Scale"):
        await stack.shell(command)
    await _workers_are(stack, WORKERS)
    await user.all_is_well(await user.ask_many(6, tokens=20))


async def an_upgrade_costs_no_answer(stack: Stack, user: User) -> None:
    """The documented commands, with answers running, ship changed code and keep the number of workers."""
    for service in ("api", "worker"):
        package = stack.folder / "services" / service / "__init__.py"
        package.write_text(package.read_text(encoding="utf-8") + RELEASE, encoding="utf-8")
    readers = [await user.ask(tokens=900, rate=20) for _ in range(3)]
    await asyncio.gather(*(reader.said(10) for reader in readers))
    over = asyncio.Event()
    watching = asyncio.create_task(longest_outage(user, over))
    try:
        for command in documented.commands("Upgrade"):
            if not command.startswith("git "):
                await stack.shell(command)
    finally:
        over.set()
    outage = await watching
    print(f"    requests failed for {outage:.1f} s while the API was replaced")  # noqa: T201
    assert outage < MAX_OUTAGE_SECONDS
    for service in ("api", "worker"):
        program = f"import services.{service} as package; print(package.RELEASE)"
        assert await stack.inside(service, program) == "the next one", f"{service} runs the old code"
    await _workers_are(stack, WORKERS)
    await user.all_is_well(readers)


async def a_backup_brings_back_what_was_lost(stack: Stack, user: User) -> None:
    """The documented commands, with a chat deleted and another made after the backup."""
    kept = await user.ask(tokens=20)
    await user.all_is_well([kept])
    for command in documented.commands("Backup", 0):
        await stack.shell(command)
    late = await user.ask(tokens=20)
    await user.all_is_well([late])
    (await user.http.delete(f"/api/chats/{kept.chat_id}")).raise_for_status()
    for command in documented.commands("Backup", 1):
        await stack.shell(command)
    messages = (await user.send("GET", f"/api/chats/{kept.chat_id}")).json()["messages"]
    assert [message["content"] for message in messages][1:] == [numbered(20)]
    assert (await user.http.get(f"/api/chats/{late.chat_id}")).status_code == httpx.codes.NOT_FOUND
    await user.all_is_well([await user.ask(tokens=20)])


async def a_stop_costs_no_answer(stack: Stack, user: User) -> None:
    """Everything stops in good order in the middle of an answer, which goes on when everything runs again."""
    reader = await user.ask(tokens=500, rate=20)  # longer than a worker drains
    await reader.said(20)
    await stack.compose("stop")
    for service in OURS:
        for container in await stack.containers(service):
            assert container["State"]["ExitCode"] == 0, f"{service} ended with {container['State']['ExitCode']}"
    await every_line_is_json(stack, user)
    await stack.compose("up", "--detach", "--wait")
    await user.all_is_well([reader])


async def a_sandbox_is_asked_changed_and_dropped(stack: Stack, user: User) -> None:
    """A sandbox on the stack's PostgreSQL: the API asks and previews, a worker commits, and keys are rotated meanwhile."""
    source = (await user.send("POST", "/api/data-sources/sandbox")).json()
    path = f"/api/data-sources/{source['id']}"
    proposed = await user.send("POST", f"{path}/operations", json={"sql": "UPDATE products SET stock = 7 WHERE id = 1"})
    operation = proposed.json()
    await stack.compose("exec", "-T", "api", "cortexai", "rotate-keys")
    decision = {"digest": operation["digest"]}
    done = (await user.send("POST", f"/api/operations/{operation['id']}/approve", json=decision)).json()
    assert done["status"] == "committed", done
    asked = await user.send("POST", f"{path}/query", json={"sql": "SELECT stock FROM products WHERE id = 1"})
    assert asked.json()["rows"] == [[7]]
    assert "all good" in await stack.compose("exec", "-T", "api", "cortexai", "audit", "verify")
    await user.send("DELETE", path)


async def every_line_is_json(stack: Stack, user: User) -> None:
    """Every line that our containers have written is a JSON object that tells of no fault of ours."""
    for service in OURS:
        lines = await stack.logs(service)
        assert lines, f"{service} has written nothing"
        for line in lines:
            event = _is_json(line)
            assert "never retrieved" not in line, f"{service}: {line}"
            assert event["event"] not in OUR_FAULTS, f"{service}: {line}"


async def _workers_are(stack: Stack, count: int) -> None:
    workers = await stack.containers("worker")
    healthy = [worker for worker in workers if worker["State"].get("Health", {}).get("Status") == "healthy"]
    assert len(healthy) == len(workers) == count


async def _logged(stack: Stack, service: str, event: str) -> None:
    """Wait until a service has logged an event."""
    async with asyncio.timeout(LOGGED_SECONDS):
        while not any(f'"{event}"' in line for line in await stack.logs(service)):  # noqa: ASYNC110 - see below
            await asyncio.sleep(LOOK_EVERY)  # a container offers no event


def _is_json(line: str) -> dict[str, object]:
    try:
        event = json.loads(line)
    except ValueError:
        event = None
    assert isinstance(event, dict), f"this line is no JSON object: {line}"
    return event


STEPS: Final[Sequence[Callable[[Stack, User], Awaitable[None]]]] = (
    images_hold_their_own_service,
    a_message_is_answered,
    a_sandbox_is_asked_changed_and_dropped,
    flower_asks_for_its_password,
    containers_are_confined,
    the_servers_refuse_what_nobody_needs,
    a_killed_worker_costs_no_answer,
    a_redis_that_is_away_costs_no_answer,
    there_are_as_many_workers_as_are_set,
    every_line_is_json,
    an_upgrade_costs_no_answer,
    a_backup_brings_back_what_was_lost,
    a_stop_costs_no_answer,
)
