"""What requests may ask for here. The values are settings; the composition root reads them."""

from dataclasses import dataclass

from shared.operations.proposals import Bounds


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits of requests, and choices that requests have.

    `message_chars` and `summary_chars` are in characters. `facts` is how many facts a user may write or pin, in each chat and
    for all chats. `kept_messages` is how many messages past the watermark are left as they are. `live_generations` is the
    number of open generations of one user, `queue_depth` the number of queued generations of all users, `daily_tokens` the
    tokens of one user a day (UTC) who has no quota of their own, None for no limit. `offered_models` has at least one model,
    the default one first. `model_tools`: models may call tools; `own_tools` are the names of this service's that workers
    offer. `completion_seconds` is how long an answer is waited for that is not streamed. `temperature` is what the model is
    asked with where a request names none. `trash_days` is how long a chat stays in the trash. `proposals` are the bounds of
    operations that wait for a decision.
    """

    message_chars: int
    offered_models: tuple[str, ...]
    live_generations: int
    queue_depth: int
    daily_tokens: int | None
    summary_chars: int
    facts: int
    kept_messages: int
    trash_days: int
    proposals: Bounds
    model_tools: bool = True
    own_tools: tuple[str, ...] = ()
    completion_seconds: float = 600
    temperature: float = 0.7
