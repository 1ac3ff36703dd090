"""Whose records a shared meter may give: its User Control Point (0x2A9F), as a pure state machine of users and consent codes.

A collector is shown one user's records after it has said that user's code, and nobody's before. How many wrong codes a meter
stands is not modelled, and no user is ever deleted.

Behaviour: what `vitals.gatt.user_data` names as its sources; a registration answers with an index, and "operation failed"
where there is no room (oliexdev/openScale, StandardWeightProfileHandler.kt). That the index is the first free one is our choice.
"""

from collections.abc import Iterable
from typing import Final

from firmware_sims.settings import User
from vitals.errors import MalformedError
from vitals.gatt.user_data import CONSENT_CODES, UNKNOWN_USER, OpCode, ResponseValue, UserControl

INDICES: Final = range(1, 9)
"""Room for eight people (our choice)."""


class UserRecords:
    """The users of one meter; `opened` is the index of the one who has consented on this link."""

    def __init__(self, users: Iterable[User]) -> None:
        self._codes = {user.index: user.consent_code for user in users}
        self.opened: int | None = None

    @property
    def index(self) -> int:
        """User Index (0x2A9A) as it is read."""
        return UNKNOWN_USER if self.opened is None else self.opened

    def close(self) -> None:
        """The link is gone, and with it the consent."""
        self.opened = None

    def answer(self, command: bytes) -> UserControl:
        """What the meter answers to a write; `command` has at least its op code."""
        try:
            said = UserControl.from_bytes(command)
        except MalformedError:
            return UserControl.response(command[0], ResponseValue.INVALID_PARAMETER)
        match said.op_code:
            case OpCode.REGISTER_NEW_USER:
                return self._register(said)
            case OpCode.CONSENT:
                return self._consent(said)
            case OpCode.LIST_ALL_USERS:
                return UserControl.response(said.op_code, ResponseValue.SUCCESS, bytes((len(self._codes),)))
        return UserControl.response(said.op_code, ResponseValue.OP_CODE_NOT_SUPPORTED)

    def _register(self, said: UserControl) -> UserControl:
        index = next((i for i in INDICES if i not in self._codes), None)
        if said.consent_code not in CONSENT_CODES:
            return UserControl.response(said.op_code, ResponseValue.INVALID_PARAMETER)
        if index is None:
            return UserControl.response(said.op_code, ResponseValue.OPERATION_FAILED)
        assert said.consent_code is not None, "it is one of the codes"
        self._codes[index] = said.consent_code
        return UserControl.response(said.op_code, ResponseValue.SUCCESS, bytes((index,)))

    def _consent(self, said: UserControl) -> UserControl:
        assert said.user_index is not None, "a consent has its length"
        if self._codes.get(said.user_index) != said.consent_code:
            return UserControl.response(said.op_code, ResponseValue.USER_NOT_AUTHORIZED)
        self.opened = said.user_index
        return UserControl.response(said.op_code, ResponseValue.SUCCESS)
