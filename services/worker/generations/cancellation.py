"""How a cancel reaches the model call.

A request ends the generation's row and sends a signal (services/api/generations/cancellation.py). This task gets the signal
and stops the attempt: the lease cancels the attempt's task, the cancellation closes the stream of the model call, and with
the stream its connection. When a signal is lost, the next heartbeat finds that the lease is gone, with the same effect.
"""

from services.worker.generations.leases import Leases
from shared.streams.cancel_signals import CancelSignals


async def obey_cancel_signals(signals: CancelSignals, leases: Leases) -> None:
    """Stop this worker's attempts at generations that requests have ended, for ever."""
    async for generation_id in signals.listen():
        leases.end(generation_id)
