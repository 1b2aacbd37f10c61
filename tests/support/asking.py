"""A tool that asks a person: its calls propose an operation and wait for the decision."""

from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any
from uuid import UUID

from pydantic import BaseModel
from sqlalchemy import func, select, update
from sqlalchemy.dialects.postgresql import insert

from services.worker.generations.attempt import Attempts
from services.worker.tools.port import AwaitsApproval, ChatContext, ChatTool, Tool
from services.worker.tools.toolset import Toolset
from shared.database.engine import Database
from shared.database.tables import Operation
from shared.generations.approval import lock, resume
from shared.generations.turn_order import QueuedGeneration
from shared.ids import GenerationId, OperationId, new_operation_id

NAME = "ask_person"


class Wish(BaseModel):
    """What is asked for."""

    what: str = ""


@dataclass
class Asking:
    """The tool, what it has proposed, and the decisions. With `decided_with`, each is decided before the call returns.

    With `fails_with`, the call fails when it has proposed.
    """

    database: Database
    decided_with: str | None = None
    fails_with: Exception | None = None
    proposed: list[OperationId] = field(default_factory=list)
    wishes: list[str] = field(default_factory=list)

    def attempts(self, attempts: Attempts) -> Attempts:
        """Attempts whose models have this tool, and no other."""
        tools = Toolset(chat_tools=[ChatTool(self._in_chat)])
        return replace(attempts, answer_loop=replace(attempts.answer_loop, tools=tools))

    def _in_chat(self, chat: ChatContext) -> Tool[Any]:
        async def call(wish: Wish, call_id: str) -> AwaitsApproval:
            operation_id = await self._propose(chat, wish, call_id)
            if self.decided_with is not None:
                await self.decide(self.decided_with)
            if self.fails_with is not None:
                raise self.fails_with
            return AwaitsApproval(str(operation_id))

        return Tool(NAME, "Ask the person.", Wish, call, 5.0)

    async def _propose(self, chat: ChatContext, wish: Wish, call_id: str) -> OperationId:
        values = {
            "id": new_operation_id(),
            "user_id": chat.user_id,
            "chat_id": chat.chat_id,
            "generation_id": chat.generation_id,
            "call_id": call_id,
            "kind": "write",
            "status": "proposed",
            "summary": wish.what,
            "preview": {},
            "digest": "d",
            "expires_at": func.now() + timedelta(hours=1),
        }
        async with self.database.begin() as db:
            await db.execute(insert(Operation).values(values).on_conflict_do_nothing())
            named = select(Operation.id).where(
                Operation.generation_id == chat.generation_id, Operation.call_id == call_id
            )
            operation_id = OperationId((await db.execute(named)).scalar_one())
        if operation_id not in self.proposed:
            self.proposed.append(operation_id)
            self.wishes.append(wish.what)
        return operation_id

    async def decide(
        self, status: str, operation_id: OperationId | UUID | None = None, **result: object
    ) -> QueuedGeneration | None:
        """Decide on an operation, the newest unless another is named. Returns the generation that goes on."""
        operation_id = operation_id or self.proposed[-1]
        async with self.database.begin() as db:
            of = select(Operation.generation_id).where(Operation.id == operation_id)
            generation_id = (await db.execute(of)).scalar_one()
            assert generation_id is not None
            await lock(db, GenerationId(generation_id))
            decided = update(Operation).where(Operation.id == operation_id)
            await db.execute(decided.values(status=status, result=result or None, finished_at=func.now()))
            return await resume(db, GenerationId(generation_id))
