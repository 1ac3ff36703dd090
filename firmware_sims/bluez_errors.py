"""The errors of org.bluez, by the names and texts that its clients compare.

Source: bluetoothd's src/error.c and create_gatt_dbus_error() in src/gatt-client.c; bleak and bleak-retry-connector read
the codes back out of these very texts.
"""

from typing import Final

PREFIX: Final = "org.bluez.Error."

WRITE_NOT_PERMITTED: Final = 0x03
NOT_AUTHORIZED: Final = 0x08
UNLIKELY: Final = 0x0E
NEEDS_SECURITY: Final = frozenset({0x05, 0x0F})
"""Insufficient authentication and insufficient encryption: bluetoothd raises security by itself and tries again."""

_BY_ATT_CODE: Final = {
    0x02: ("NotPermitted", "Read not permitted"),
    0x03: ("NotPermitted", "Write not permitted"),
    0x05: ("NotPermitted", "Not paired"),
    0x06: ("NotSupported", "Operation is not supported"),
    0x07: ("InvalidArguments", "Invalid offset"),
    0x08: ("NotAuthorized", "Operation Not Authorized"),
    0x0C: ("NotPermitted", "Not paired"),
    0x0D: ("InvalidArguments", "Invalid Length"),
    0x0F: ("NotPermitted", "Not paired"),
    0xFD: ("ImproperlyConfigured", "Improperly Configured"),
}


class BluezError(Exception):
    """An error reply: D-Bus error name and text."""

    def __init__(self, name: str, text: str) -> None:
        super().__init__(text)
        self.name = name
        self.text = text


def error(short_name: str, text: str) -> BluezError:
    """`org.bluez.Error.<short_name>`."""
    return BluezError(PREFIX + short_name, text)


def att_error(code: int) -> BluezError:
    """What a client hears when the meter answered with this ATT error."""
    return error(*_BY_ATT_CODE.get(code, ("Failed", f"Operation failed with ATT error: 0x{code:02x}")))


def authentication_failed() -> BluezError:
    return error("AuthenticationFailed", "Authentication Failed")


def does_not_exist() -> BluezError:
    return error("DoesNotExist", "Does Not Exist")


def not_connected() -> BluezError:
    return error("NotConnected", "Not Connected")


def not_ready(text: str = "Resource Not Ready") -> BluezError:
    """The adapter is off."""
    return error("NotReady", text)


def blocked() -> BluezError:
    """The adapter cannot be switched on: rfkill (property_set_mode_complete() in src/adapter.c)."""
    return error("Blocked", "Blocked through rfkill")


def authentication_canceled() -> BluezError:
    """The pairing ended before it was decided: the link went, or the client hung up."""
    return error("AuthenticationCanceled", "Authentication Canceled")


def unknown_object(path: str) -> BluezError:
    return BluezError("org.freedesktop.DBus.Error.UnknownObject", f"no object {path}")


def unknown_method(interface: str, member: str) -> BluezError:
    return BluezError("org.freedesktop.DBus.Error.UnknownMethod", f"{interface} has no {member}")
