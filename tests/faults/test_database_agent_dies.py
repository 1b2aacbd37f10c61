"""A worker and an API are killed between a proposal and its outcome. `bench/agent.py` does so hundreds of times."""

from tests.support.interrupted import Episode, Stage

EPISODES = [
    Episode("committed", "proposing", "worker"),
    Episode("committed", "deciding", "api", is_severed=True),
    Episode("committed", "ending", "worker", is_severed=True),
    Episode("stale", "telling", "worker"),
]


async def test_a_change_is_made_once_and_told_in_one_stream_whoever_dies_when(stage: Stage) -> None:
    played = {episode: await stage.play(episode) for episode in EPISODES}
    assert played == dict.fromkeys(EPISODES, "once")
    assert stage.kills == len(EPISODES)
