"""Wireshark's tshark as the independent decoder of what a meter sends: ATT notifications in, field values out."""

import json
import os
import shutil
import struct
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

Fields = dict[str, str]
"""tshark's fields of one frame, without the leading `btatt.`; a second one of a name is `name#2`."""

Dissect = Callable[[Sequence[tuple[str, bytes]]], list[Fields]]

NO_TSHARK = "tshark is not installed; to run this suite: sudo apt-get install tshark"

_CHARACTERISTICS = (
    *("2a35", "2a36", "2a18", "2a34", "2a52", "2a2b", "2a49", "2a51", "2a08"),
    *("2a9d", "2a9e", "2a1c", "2a1d", "2a1e", "2a5e", "2a5f", "2a60", "2a37", "2a38"),
    *("2b34", "2b35", "2b36", "2aa7", "2aa8", "2aa9", "2aaa", "2aab", "2aac", "2a99", "2a9a", "2a9f"),
)
_HANDLES = {characteristic: 3 + 2 * nth for nth, characteristic in enumerate(_CHARACTERISTICS)}
"""Where the meter in the capture keeps each characteristic's value."""

_HCI_H4_WITH_PHDR = 201
_READ_BY_TYPE_REQUEST, _READ_BY_TYPE_RESPONSE, _NOTIFICATION = 0x08, 0x09, 0x1B


@pytest.fixture
def tshark(tmp_path: Path) -> Dissect:
    """Dissects (characteristic, frame) pairs, in order."""
    if shutil.which("tshark") is None:
        if os.environ.get("CI"):
            pytest.fail(NO_TSHARK)
        pytest.skip(NO_TSHARK)
    return lambda frames: dissect(frames, folder=tmp_path)


def dissect(frames: Sequence[tuple[str, bytes]], *, folder: Path) -> list[Fields]:
    """What tshark reads in these (characteristic, frame) pairs, in order. Uses files in `folder`."""
    capture = folder / "capture.pcap"
    capture.write_bytes(_pcap(frames))
    command = ["tshark", "-r", str(capture), "-Y", f"btatt.opcode == {_NOTIFICATION}", "-T", "json", "-J", "btatt"]
    answer = subprocess.run(command, check=True, capture_output=True, timeout=120).stdout
    told = json.loads(answer, object_pairs_hook=_numbered)
    dissected = [_flat(packet["_source"]["layers"]["btatt"]) for packet in told]
    assert len(dissected) == len(frames)
    return dissected


def _pcap(frames: Sequence[tuple[str, bytes]]) -> bytes:
    """A capture of the discovery, from which tshark learns what each handle holds, and of the notifications."""
    declared = b"".join(struct.pack("<HBHH", at - 1, 0x30, at, int(uuid, 16)) for uuid, at in _HANDLES.items())
    packets = [
        _acl(struct.pack("<BHHH", _READ_BY_TYPE_REQUEST, 1, 0xFFFF, 0x2803), is_received=False),
        _acl(bytes((_READ_BY_TYPE_RESPONSE, 7)) + declared),
        *(_acl(struct.pack("<BH", _NOTIFICATION, _HANDLES[uuid]) + frame) for uuid, frame in frames),
    ]
    header = struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 0xFFFF, _HCI_H4_WITH_PHDR)
    return header + b"".join(struct.pack("<IIII", second, 0, len(p), len(p)) + p for second, p in enumerate(packets))


def _acl(att: bytes, *, is_received: bool = True) -> bytes:
    """One ATT packet in L2CAP in an HCI ACL packet on connection 0x040."""
    l2cap = struct.pack("<HH", len(att), 4) + att
    handle = 0x2040 if is_received else 0x0040
    return struct.pack(">IB", int(is_received), 2) + struct.pack("<HH", handle, len(l2cap)) + l2cap


def _flat(tree: dict[str, Any]) -> Fields:
    leaves: list[tuple[str, Any]] = []
    for name, value in tree.items():
        leaves += _flat(value).items() if isinstance(value, dict) else [(name.removeprefix("btatt."), value)]
    return _numbered(leaves)


def _numbered(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """tshark repeats the name of a field that comes twice; the second is `name#2` here, the third `name#3`."""
    found: dict[str, Any] = {}
    for name, value in pairs:
        bare, nth = name.partition("#")[0], 1
        while (numbered := bare if nth == 1 else f"{bare}#{nth}") in found:
            nth += 1
        found[numbered] = value
    return found
