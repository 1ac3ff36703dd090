"""org.bluez.AgentManager1: who answers when a meter wants to pair.

bluetoothd asks an agent, never itself: without one, pairing fails. bleak registers none, so the gateway must. An agent
is gone when its owner leaves the bus. Registered is not yet the default: the last one that asked to be it answers for
those without an agent of their own, and when it leaves, the one before it (src/agent.c).
"""

import contextlib
from dataclasses import dataclass
from typing import Final

import structlog
from bumble.pairing import PairingDelegate

from firmware_sims.bluez_errors import BluezError, does_not_exist, error
from firmware_sims.dbus_tree import Call, DBusTree, Method

AGENT_MANAGER: Final = "org.bluez.AgentManager1"
AGENT: Final = "org.bluez.Agent1"

_CAPABILITIES: Final = {
    "": PairingDelegate.DISPLAY_OUTPUT_AND_KEYBOARD_INPUT,
    "DisplayOnly": PairingDelegate.DISPLAY_OUTPUT_ONLY,
    "DisplayYesNo": PairingDelegate.DISPLAY_OUTPUT_AND_YES_NO_INPUT,
    "KeyboardOnly": PairingDelegate.KEYBOARD_INPUT_ONLY,
    "NoInputNoOutput": PairingDelegate.NO_OUTPUT_NO_INPUT,
    "KeyboardDisplay": PairingDelegate.DISPLAY_OUTPUT_AND_KEYBOARD_INPUT,
}

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class Agent:
    owner: str
    path: str
    capability: str


class Agents:
    """The agents registered now; the default one answers."""

    def __init__(self) -> None:
        self._by_owner: dict[str, Agent] = {}
        self._defaults: list[str] = []
        self.methods: dict[tuple[str, str], Method] = {
            (AGENT_MANAGER, "RegisterAgent"): Method(takes="os", gives="", answer=self._register),
            (AGENT_MANAGER, "UnregisterAgent"): Method(takes="o", gives="", answer=self._unregister),
            (AGENT_MANAGER, "RequestDefaultAgent"): Method(takes="o", gives="", answer=self._make_default),
        }

    def for_client(self, sender: str | None) -> Agent | None:
        """The client's own agent, else the default one."""
        own = self._by_owner.get(sender) if sender else None
        return own or (self._by_owner[self._defaults[-1]] if self._defaults else None)

    def on_left(self, name: str) -> None:
        """A client left the bus, and its agent with it."""
        self._by_owner.pop(name, None)
        if name in self._defaults:
            self._defaults.remove(name)

    async def _register(self, call: Call) -> list[object]:
        path, capability = call.body
        if capability not in _CAPABILITIES:
            raise error("InvalidArguments", "Invalid arguments in method call")
        if call.sender in self._by_owner:
            raise error("AlreadyExists", "Already Exists")
        self._by_owner[call.sender] = Agent(owner=call.sender, path=path, capability=capability)
        return []

    async def _unregister(self, call: Call) -> list[object]:
        if call.sender not in self._by_owner:
            raise does_not_exist()
        self.on_left(call.sender)
        return []

    async def _make_default(self, call: Call) -> list[object]:
        if call.sender not in self._by_owner:
            raise does_not_exist()
        if call.sender in self._defaults:
            self._defaults.remove(call.sender)
        self._defaults.append(call.sender)
        return []


class AgentDelegate(PairingDelegate):
    """Carries SMP's questions about one device to an agent.

    Without an agent it can do nothing and accepts nothing.
    """

    def __init__(self, tree: DBusTree, agent: Agent | None, device_path: str) -> None:
        super().__init__(self.NO_OUTPUT_NO_INPUT if agent is None else _CAPABILITIES[agent.capability])
        self._tree = tree
        self._agent = agent
        self._device_path = device_path
        self._questions = 0

    @property
    def is_answered(self) -> bool:
        """Whether there is an agent at all."""
        return self._agent is not None

    async def authorize(self) -> bool:
        """Whether the agent lets a pairing go on that no client asked for (`RequestAuthorization`)."""
        return await self._is_agreed("RequestAuthorization", "o", [self._device_path])

    async def compare_numbers(self, number: int, digits: int) -> bool:
        return await self._is_agreed("RequestConfirmation", "ou", [self._device_path, number])

    async def display_number(self, number: int, digits: int) -> None:
        await self._is_agreed("DisplayPasskey", "ouq", [self._device_path, number, 0])

    async def get_number(self) -> int | None:
        """The passkey that the agent's user reads off the meter; None if there is none."""
        try:
            passkey = await self._ask("RequestPasskey", "o", [self._device_path])
        except BluezError as e:
            log.info("agent_refused", member="RequestPasskey", error=e.name)
            return None
        return passkey if isinstance(passkey, int) else None

    async def _is_agreed(self, member: str, signature: str, body: list[object]) -> bool:
        try:
            await self._ask(member, signature, body)
        except BluezError as e:
            log.info("agent_refused", member=member, error=e.name)
            return False
        return True

    async def cancel(self) -> None:
        """The pairing has ended with a question open: tell the agent that nobody waits for its answer."""
        if self._agent is not None and self._questions:
            with contextlib.suppress(BluezError):
                await self._tree.ask(self._agent.owner, self._agent.path, AGENT, "Cancel", "", [])

    async def _ask(self, member: str, signature: str, body: list[object]) -> object:
        if self._agent is None:
            raise error("AgentNotAvailable", "Agent Not Available")
        self._questions += 1
        try:
            return await self._tree.ask(self._agent.owner, self._agent.path, AGENT, member, signature, body)
        finally:
            self._questions -= 1
