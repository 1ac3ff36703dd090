"""An org.bluez.Agent1 for tests, in the fewest words: bleak registers none, so a test that pairs brings its own."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from dbus_fast import BusType, Message, MessageType
from dbus_fast.aio import MessageBus


@dataclass(slots=True, kw_only=True)
class Agent:
    """Answers every question and keeps what it was asked."""

    passkey: int | None = None
    refuses: bool = False
    asked: list[str] = field(default_factory=list)
    shown: list[int] = field(default_factory=list)

    def answer(self, message: Message) -> Message | None:
        if message.interface != "org.bluez.Agent1":
            return None
        assert message.member is not None
        self.asked.append(message.member)
        if self.refuses:
            return Message.new_error(message, "org.bluez.Error.Rejected", "no")
        if message.member == "DisplayPasskey":
            self.shown.append(message.body[1])
        if message.member == "RequestPasskey":
            return Message.new_method_return(message, "u", [self.passkey or 0])
        return Message.new_method_return(message)


@asynccontextmanager
async def agent(
    *, capability: str = "NoInputNoOutput", passkey: int | None = None, refuses: bool = False
) -> AsyncIterator[Agent]:
    """Registered with org.bluez, as its default, while the context is open."""
    answering = Agent(passkey=passkey, refuses=refuses)
    bus = await MessageBus(bus_type=BusType.SYSTEM).connect()
    bus.add_message_handler(answering.answer)
    for member, signature, body in (
        ("RegisterAgent", "os", ["/test/agent", capability]),
        ("RequestDefaultAgent", "o", ["/test/agent"]),
    ):
        reply = await bus.call(
            Message(
                destination="org.bluez",
                path="/org/bluez",
                interface="org.bluez.AgentManager1",
                member=member,
                signature=signature,
                body=body,
            )
        )
        assert reply is not None
        assert reply.message_type == MessageType.METHOD_RETURN, reply.body
    try:
        yield answering
    finally:
        bus.disconnect()
        await asyncio.wait({asyncio.ensure_future(bus.wait_for_disconnect())})
