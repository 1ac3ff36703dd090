"""The codes of meters that want one when they pair, kept in the gateway's state folder (mode 0600).

In the file is what somebody in the home has stored (`homevigil-gateway pairing-code`); what the clinic has sent is kept with the
rest of its configuration and told here. The one from the home counts. A meter that shows another code at each pairing has none.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Final

from msgspec import Meta

from gateway.code_file import read_codes, write_codes
from vitals.errors import MalformedError

FILE: Final = "pairing-codes.json"
MAX_METERS: Final = 100

MeterAddress = Annotated[str, Meta(pattern=r"^[0-9A-F]{2}(:[0-9A-F]{2}){5}\Z")]
Code = Annotated[str, Meta(pattern=r"^[0-9]{6}\Z")]
"""Bluetooth Core, Vol 3, Part H, 2.3.5.1: a passkey is 000000 to 999999."""

_Codes = Annotated[dict[MeterAddress, Code], Meta(max_length=MAX_METERS)]
_ADDRESS: Final = re.compile(r"[0-9A-F]{2}(:[0-9A-F]{2}){5}")
_CODE: Final = re.compile(r"[0-9]{6}")


class PairingCodes:
    """The codes in `folder`; read anew whenever one is wanted, because another process writes them."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / FILE
        self._from_clinic: dict[str, str] = {}

    def code_for(self, meter_id: str) -> int | None:
        """The code of this meter, if there is one. Raises `MalformedError` for a file that is not as we write it."""
        code = _read(self._path).get(meter_id) or self._from_clinic.get(meter_id)
        return None if code is None else int(code)

    def store(self, meter_id: str, code: str | None) -> None:
        """Keep the code of a meter, or forget it. Raises `MalformedError` for a name or a code that cannot be."""
        meter_id = meter_address(meter_id)
        codes = _read(self._path)
        codes.pop(meter_id, None)
        if code is not None:
            codes[meter_id] = passkey(code)
        if len(codes) > MAX_METERS:
            raise MalformedError("pairing_code", f"there are codes for {MAX_METERS} meters already; remove one first")
        write_codes(self._path, dict(sorted(codes.items())))

    def take_from_clinic(self, codes: Mapping[str, str]) -> None:
        """What the clinic's configuration says now, in place of what it said before."""
        self._from_clinic = {meter_id.upper(): code for meter_id, code in codes.items()}


def meter_address(text: str) -> str:
    """The address of a meter as it is written everywhere; raises `MalformedError`."""
    address = text.strip().upper().replace("-", ":")
    if not _ADDRESS.fullmatch(address):
        raise MalformedError("meter_address", "write it like C4:64:E3:00:00:01", text)
    return address


def passkey(text: str) -> str:
    """A six-digit code, blanks taken out; raises `MalformedError`."""
    code = re.sub(r"[\s-]", "", text)
    if not _CODE.fullmatch(code) or not code.isascii():
        raise MalformedError("pairing_code", "a pairing code has six digits; it is printed on the meter or shown by it")
    return code


def _read(path: Path) -> dict[str, str]:
    return read_codes(path, _Codes, "pairing_codes_file") or {}
