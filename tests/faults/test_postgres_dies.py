"""PostgreSQL crashes, or can't be reached."""

from tests.doubles.proxy import proxy_to
from tests.faults.readers import User
from tests.system import System


async def test_a_worker_without_its_database_stops_before_its_lease_ends_and_works_again_when_it_is_back(
    system: System, user: User
) -> None:
    async with proxy_to(system.env["DATABASE_URL"]) as proxy:
        cut_off = await system.start_worker(DATABASE_URL=proxy.url)
        reader = await user.ask(tokens=120, rate=20)
        await reader.said(10)
        successor = await system.start_worker()
        proxy.freeze()
        await system.logged(cut_off, "lease_not_renewed")
        # By its own clock, which starts before the database's: nobody has taken the generation over yet.
        assert system.ask("SELECT attempt, status, lease_expires_at > now() FROM generations") == [(1, "running", True)]
        await reader.attempted(2)
        await user.all_is_well()
        proxy.heal()
        assert await system.stop(successor) == 0
        await user.ask(tokens=5)
        await user.all_is_well()
