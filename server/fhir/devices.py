"""The box in the home, the meter and this program as Devices. Their ids are derived, so that everybody derives the same ones."""

import re
from typing import Final
from uuid import UUID, uuid5

from server.fhir import codes
from server.fhir.codes import Resource, coded

NAMESPACE: Final = UUID("6f2c1c5e-4f6e-5d61-9a59-0d5b8f6f3c77")
"""HomeVigil's own namespace for Devices."""

SOFTWARE: Final = "homevigil"
_BLUETOOTH: Final = re.compile(r"(?:[0-9A-F]{2}:){5}[0-9A-F]{2}")


def gateway_device_id(gateway_id: str) -> str:
    return str(uuid5(NAMESPACE, f"gateway|{gateway_id}"))


def meter_device_id(meter_id: str) -> str:
    return str(uuid5(NAMESPACE, f"meter|{meter_id}"))


def gateway(gateway_id: str) -> Resource:
    """A personal health gateway (MDC 531981)."""
    return {
        "resourceType": "Device",
        "id": gateway_device_id(gateway_id),
        "meta": {"profile": [f"{codes.PHD}/PhgDevice"]},
        "identifier": [{"system": "urn:homevigil:gateway", "value": gateway_id}],
        "type": _kind("531981", "MDC_MOC_VMS_MDS_AHD", "Personal health gateway"),
    }


def meter(meter_id: str) -> Resource:
    """A personal health device (MDC 65573), with its Bluetooth address where that is its name."""
    identifiers: list[Resource] = [{"system": "urn:homevigil:meter", "value": meter_id}]
    if _BLUETOOTH.fullmatch(meter_id):
        address = {"system": codes.BLUETOOTH, "value": meter_id.replace(":", "-")}
        identifiers.append({"type": coded(codes.PHD_IDENTIFIERS, "BTMAC"), **address})
    return {
        "resourceType": "Device",
        "id": meter_device_id(meter_id),
        "meta": {"profile": [f"{codes.PHD}/PhdDevice"]},
        "identifier": identifiers,
        "type": _kind("65573", "MDC_MOC_VMS_MDS_SIMP", "Personal health device"),
    }


def software(version: str) -> Resource:
    """What judges the readings."""
    return {
        "resourceType": "Device",
        "id": SOFTWARE,
        "deviceName": [{"name": "HomeVigil", "type": "user-friendly-name"}],
        "version": [{"value": version}],
        "note": [{"text": "Not a certified medical device."}],
    }


def _kind(code: str, name: str, text: str) -> Resource:
    return {"coding": [{"system": codes.MDC, "code": code, "display": name}], "text": text}
