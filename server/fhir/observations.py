"""A reading as Observations: the value, the pulse beside it, what the meter said was wrong, and how its clock stood to ours.

One reading is one measurement but up to five Observations, as the Personal Health Device guide has it; their ids are the
reading's with a suffix. A value that the meter did not give is a reason (`dataAbsentReason`) and never a number; what a
clinician has voided is `entered-in-error`; a doubtful value says so in its interpretation.
"""

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from server.fhir import codes
from server.fhir.codes import Code, Resource, Unit, coded, reference
from server.fhir.dates import instant
from server.fhir.devices import gateway_device_id, meter_device_id
from server.store.fhir import RecordedReading

VITAL_SIGNS: Final = "vital-signs"
LABORATORY: Final = "laboratory"

CENSORED: Final[Mapping[str, str]] = {"HI": ">", "LO": "<"}
"""Past the meter's range: FHIR's comparator. The range itself the meter does not say; the product counts HI as above 250
mg/dL and LO as below 54, and so does this (docs/explanation/safety)."""
HIGHEST_MG_DL, LOWEST_MG_DL = 250.0, 54.0
HIGHEST_MMOL_L, LOWEST_MMOL_L = 13.9, 3.0

CLOCK_KNOWN: Final = frozenset({"synced", "corrected", "trusted"})
NOT_A_NUMBER: Final = "not-a-number"

SIMPLE: Final[Mapping[str, tuple[Code, Unit, str]]] = {
    "weight": (codes.WEIGHT, codes.KG, "weight_kg"),
    "oxygen_saturation": (codes.SATURATION, codes.PERCENT, "spo2_percent"),
    "temperature": (codes.TEMPERATURE, codes.CELSIUS, "temperature_celsius"),
    "heart_rate": (codes.HEART_RATE, codes.PER_MINUTE, "pulse_bpm"),
}
"""Kinds with one value, in its canonical unit."""

PROFILES: Final[Mapping[str, str]] = {
    "blood_pressure": "bp",
    "weight": "bodyweight",
    "oxygen_saturation": "oxygensat",
    "temperature": "bodytemp",
    "heart_rate": "heartrate",
}
"""R4's own profiles of vital signs, by kind. Glucose has none."""


def observations(reading: RecordedReading) -> Iterator[Resource]:
    """The measurement first; then what hangs on it."""
    has_clock = reading.meter_time is not None
    if reading.kind == "blood_pressure":
        yield _pressure(reading)
    elif reading.kind in SIMPLE:
        yield _simple(reading)
    else:
        yield _glucose(reading)
    if reading.kind in ("blood_pressure", "oxygen_saturation") and reading.pulse_bpm is not None:
        yield {**_beside(reading, "pulse", codes.PULSE), "valueQuantity": codes.PER_MINUTE.quantity(reading.pulse_bpm)}
    if reading.kind == "blood_pressure" and (reading.meter_status or 0):
        yield from _status(reading, reading.meter_status or 0)
    if reading.meal in codes.MEALS:
        yield _meal(reading, codes.MEALS[reading.meal or ""])
    if has_clock:
        yield clock(reading)


def clock(reading: RecordedReading) -> Resource:
    """How the meter's clock stood to the gateway's when the reading was fetched (PHD: coincident time stamp).

    Where that is not known, or the clock had been set since, it is a time fault.
    """
    is_known = reading.time_quality in CLOCK_KNOWN and reading.clock_offset_s is not None
    meters = reading.received_at - timedelta(seconds=reading.clock_offset_s or 0)
    said: Resource = (
        {"valueDateTime": _instant(meters, reading.zone)}
        if is_known
        else {"dataAbsentReason": coded(codes.ABSENT, "unknown", "Sensor Time Fault")}
    )
    return {
        "resourceType": "Observation",
        "id": f"{reading.reading_id}-clock",
        "meta": _meta(reading, f"{codes.PHD}/PhdCoincidentTimeStampObservation"),
        "extension": [_gateway(reading)],
        "status": "final",
        "code": codes.ABSOLUTE_TIME.concept(),
        "subject": reference("Device", meter_device_id(reading.meter_id)),
        "effectiveDateTime": _instant(reading.received_at, reading.zone),
        **said,
        "device": reference("Device", meter_device_id(reading.meter_id)),
    }


def _pressure(reading: RecordedReading) -> Resource:
    parts = [
        _component(codes.SYSTOLIC, reading.systolic_mmhg),
        _component(codes.DIASTOLIC, reading.diastolic_mmhg),
    ]
    if reading.mean_mmhg is not None:
        parts.append(_component(codes.MEAN, reading.mean_mmhg))
    return {**_main(reading, codes.PRESSURE, VITAL_SIGNS, "PhdCompoundNumericObservation"), "component": parts}


def _component(code: Code, value: float | None) -> Resource:
    if value is None:
        return {"code": code.concept(), "dataAbsentReason": coded(codes.ABSENT, NOT_A_NUMBER)}
    return {"code": code.concept(), "valueQuantity": codes.MMHG.quantity(value)}


def _simple(reading: RecordedReading) -> Resource:
    code, unit, field = SIMPLE[reading.kind]
    observation = _main(reading, code, VITAL_SIGNS, "PhdNumericObservation")
    if reading.kind == "oxygen_saturation":
        observation["code"]["coding"].insert(0, {"system": codes.LOINC, "code": codes.SATURATION_ALSO})
    return {**observation, **_value(getattr(reading, field), unit)}


def _glucose(reading: RecordedReading) -> Resource:
    """By the quantity that was sent: mass (kg/L, mg/dL) or moles (mol/L, mmol/L)."""
    is_moles = reading.unit_sent in ("mol/L", "mmol/L")
    by_kind = {
        "glucose": (codes.CAPILLARY_MASS, codes.CAPILLARY_MOLES),
        "sensor_glucose": (codes.INTERSTITIAL_MASS, codes.INTERSTITIAL_MOLES),
    }
    observation = _main(reading, by_kind[reading.kind][is_moles], LABORATORY, "PhdNumericObservation")
    unit = codes.MMOL_L if is_moles else codes.MG_DL
    if reading.glucose_censored is not None:
        is_high = reading.glucose_censored == "HI"
        mass, moles = (HIGHEST_MG_DL, HIGHEST_MMOL_L) if is_high else (LOWEST_MG_DL, LOWEST_MMOL_L)
        quantity = unit.quantity(moles if is_moles else mass)
        return {**observation, "valueQuantity": {**quantity, "comparator": CENSORED[reading.glucose_censored]}}
    return {**observation, **_value(reading.glucose_mmol_l if is_moles else reading.glucose_mg_dl, unit)}


def _value(value: float | None, unit: Unit) -> Resource:
    if value is None:
        return {"dataAbsentReason": coded(codes.ABSENT, NOT_A_NUMBER)}
    return {"valueQuantity": unit.quantity(round(value, 4))}


def _status(reading: RecordedReading, status: int) -> Iterator[Resource]:
    """Only what is wrong: a bit that is not set says nothing (PHD)."""
    parts = [
        {
            "code": coded(codes.PHD_BITS, f"8410608.{bit}", name),
            "valueCodeableConcept": coded(codes.YES_NO, "Y", name),
        }
        for bit, name in codes.STATUS_BITS
        if status & (1 << bit)
    ]
    if parts:
        yield {
            **_beside(reading, "status", codes.MEASUREMENT_STATUS, profile="PhdBitsEnumerationObservation"),
            "derivedFrom": [reference("Observation", reading.reading_id)],
            "component": parts,
        }


def _meal(reading: RecordedReading, meal: tuple[str, str]) -> Resource:
    coding = {"system": codes.MDC, "code": meal[0], "display": meal[1]}
    return {
        **_beside(reading, "meal", codes.MEAL, profile="PhdCodedEnumerationObservation"),
        "valueCodeableConcept": {"coding": [coding], "text": str(reading.meal)},
    }


def _main(reading: RecordedReading, code: Code, category: str, profile: str) -> Resource:
    profiles = [f"{codes.PHD}/{profile}"]
    if (own := PROFILES.get(reading.kind)) is not None:
        profiles.append(f"{codes.CORE}/{own}")
    identifier = {"system": "urn:ietf:rfc:3986", "value": f"urn:uuid:{reading.reading_id}"}
    return {
        **_frame(reading, str(reading.reading_id), code, profiles, category),
        "identifier": [identifier],
        **_doubt(reading),
    }


def _beside(reading: RecordedReading, suffix: str, code: Code, profile: str = "PhdNumericObservation") -> Resource:
    return _frame(reading, f"{reading.reading_id}-{suffix}", code, [f"{codes.PHD}/{profile}"], VITAL_SIGNS)


def _frame(reading: RecordedReading, own_id: str, code: Code, profiles: list[str], category: str) -> Resource:
    extensions = [_gateway(reading)]
    if reading.meter_time is not None:
        at = {"url": codes.CLOCK, "valueReference": reference("Observation", f"{reading.reading_id}-clock")}
        extensions.append(at)
    return {
        "resourceType": "Observation",
        "id": own_id,
        "meta": _meta(reading, *profiles),
        "extension": extensions,
        "status": "entered-in-error" if reading.standing == "void" else "final",
        "category": [coded(codes.CATEGORY, category), coded(codes.PHD_CATEGORY, "phd-observation")],
        "code": code.concept(),
        "subject": reference("Patient", reading.patient_id),
        "performer": [reference("Patient", reading.patient_id)],
        "effectiveDateTime": _instant(reading.measured_at, reading.zone),
        "issued": _instant(reading.stored_at, "UTC"),
        "device": reference("Device", meter_device_id(reading.meter_id)),
    }


def _doubt(reading: RecordedReading) -> Resource:
    """What is not a good measurement says so, in a code and in the reasons' own words."""
    reasons = [*reading.quality_reasons, *([] if reading.time_quality not in ("suspect", "orphan") else ["time"])]
    if reading.quality == "accepted" and not reasons:
        return {}
    note = ", ".join([reading.quality, *reasons])
    doubt: Resource = {"note": [{"text": f"quality: {note}; time: {reading.time_quality}"}]}
    if reading.quality in ("rejected", "suspect") or reading.time_quality in ("suspect", "orphan"):
        doubt["interpretation"] = [{"text": "questionable"}]
    return doubt


def _meta(reading: RecordedReading, *profiles: str) -> Resource:
    return {"lastUpdated": _instant(reading.changed_at, "UTC"), "profile": list(profiles)}


def _gateway(reading: RecordedReading) -> Resource:
    return {"url": codes.GATEWAY, "valueReference": reference("Device", gateway_device_id(reading.gateway_id))}


def _instant(at: datetime, zone: str) -> str:
    """On the patient's own wall clock, with its offset."""
    return instant(at.astimezone(ZoneInfo(zone)))
