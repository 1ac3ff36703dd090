"""Frames of glucose sensors that are worn (0x2AA7 to 0x2AAC), published or captured by others, and what they say."""

from typing import Any

from golden.published import Published

_NORDIC = "NordicSemiconductor/Android-BLE-Common-Library"

_ALL_STATUS = (
    "session_stopped",
    "battery_low",
    "sensor_type_incorrect",
    "sensor_malfunction",
    "device_specific_alert",
    "device_fault",
    "time_synchronization_required",
    "calibration_not_allowed",
    "calibration_recommended",
    "calibration_required",
    "temperature_high",
    "temperature_low",
    "below_patient_low",
    "above_patient_high",
    "below_hypo",
    "above_hyper",
    "rate_of_decrease_exceeded",
    "rate_of_increase_exceeded",
    "below_device_range",
    "above_device_range",
)
_PLAIN: dict[str, Any] = {
    "kind": "sensor_glucose",
    "glucose_mg_dl": 120.0,
    "glucose_mmol_l": 6.65993273467938,
    "censored": None,
    "offset_min": 6,
    "status": None,
    "status_flags": None,
    "trend_mg_dl_per_min": None,
    "quality_percent": None,
    "has_crc": False,
    "unit_sent": "mg/dL",
}

MEASUREMENT = (
    Published(
        # Its status says that the result is both above and below all that the sensor can process, and that the sensor was
        # too warm: so the 12.34 that the source reads has no canonical value here.
        source=f"{_NORDIC} ContinuousGlucoseMeasurement full, with E2E-CRC",
        characteristic="2aa7",
        frame="0F E3 D2E4 0500 02 14 FF 02F0 E5F3 8E3F",
        expected={
            "records": [
                _PLAIN
                | {
                    "glucose_mg_dl": None,
                    "glucose_mmol_l": None,
                    "offset_min": 5,
                    "status": 0xFF1402,
                    "status_flags": ("battery_low", "calibration_recommended", "temperature_high", *_ALL_STATUS[12:]),
                    "trend_mg_dl_per_min": 0.2,
                    "quality_percent": 99.7,
                    "has_crc": True,
                    "quality": "rejected",
                    "reasons": ["sensor_status"],
                }
            ]
        },
    ),
    Published(
        source=f"{_NORDIC} ContinuousGlucoseMeasurement small",
        characteristic="2aa7",
        frame="06 00 0C10 0600",
        expected={"records": [_PLAIN]},
    ),
    Published(
        source=f"{_NORDIC} ContinuousGlucoseMeasurement double",
        characteristic="2aa7",
        frame="06 00 0C10 0500 06 00 0C10 0600",
        expected={"records": [_PLAIN | {"offset_min": 5}, _PLAIN]},
    ),
    Published(
        source=f"{_NORDIC} ContinuousGlucoseMeasurement crcError, with the sum that the source computes",
        characteristic="2aa7",
        frame="08 00 0C10 0600 596F",
        expected={"records": [_PLAIN | {"has_crc": True}]},
    ),
)

FEATURE = (
    Published(
        source=f"{_NORDIC} CGMFeature full, with E2E-CRC",
        characteristic="2aa8",
        frame="6E9E01 16 8AC1",
        expected={
            "abilities": (
                "patient_alerts",
                "hypo_alerts",
                "hyper_alerts",
                "device_specific_alert",
                "sensor_malfunction",
                "low_battery",
                "sensor_type_error",
                "device_fault",
                "e2e_crc",
                "trend",
                "quality",
            ),
            "sample_type": "arterial_plasma",
            "sample_location": "finger",
        },
    ),
    Published(
        source=f"{_NORDIC} CGMFeature crcNotSupported",
        characteristic="2aa8",
        frame="6E8E01 16 FFFF",
        expected={"sample_type": "arterial_plasma", "sample_location": "finger"},
    ),
    Published(
        source="CGMS 1.0.2 section 3.2.1.3: without the ability the sum means nothing (GATT Specification Supplement 3.42)",
        characteristic="2aa8",
        frame="008001 59 EFBE",
        expected={
            "abilities": ("trend", "quality"),
            "sample_type": "isf",
            "sample_location": "subcutaneous_tissue",
        },
        is_canonical=False,
    ),
)

SESSION = (
    Published(
        source=f"{_NORDIC} CGMStatus withCrc, all flags",
        characteristic="2aa9",
        frame="0500 3F3FFF A7E0",
        expected={"offset_min": 5, "status": 0xFF3F3F, "status_flags": _ALL_STATUS, "has_crc": True},
    ),
    Published(
        source=f"{_NORDIC} CGMStatus noCrc",
        characteristic="2aa9",
        frame="0600 010101",
        expected={
            "offset_min": 6,
            "status_flags": ("session_stopped", "time_synchronization_required", "below_patient_low"),
            "has_crc": False,
        },
    ),
    Published(
        # The source takes zone 8 for eight minutes; the specification counts quarters of an hour: two hours, and one of summer.
        source=f"{_NORDIC} CGMSessionStartTime",
        characteristic="2aaa",
        frame="E2070418 0D0818 08 04 E0C2",
        expected={
            "meter_time": "2018-04-24T13:08:24",
            "zone_quarters": 8,
            "dst_quarters": 4,
            "instant": "2018-04-24T10:08:24+00:00",
            "has_crc": True,
        },
    ),
    Published(
        source=f"{_NORDIC} CGMSessionStartTime noYear",
        characteristic="2aaa",
        frame="00000418 0D0818 08 02",
        expected={"meter_time": None, "zone_quarters": 8, "dst_quarters": 2, "instant": None, "has_crc": False},
    ),
    Published(
        source="captured: Medtronic 780G without its sum (OpenMinimed cgm/misc.py), zone and daylight saving unknown",
        characteristic="2aaa",
        frame="EA070404 0C3236 80 FF",
        expected={
            "meter_time": "2026-04-04T12:50:54",
            "zone_quarters": None,
            "dst_quarters": None,
            "instant": None,
            "has_crc": False,
        },
    ),
    Published(
        source=f"{_NORDIC} CGMSessionRunTime withCrc",
        characteristic="2aab",
        frame="0200 08C3",
        expected={"hours": 2, "has_crc": True},
    ),
    Published(
        source=f"{_NORDIC} CGMSessionRunTime noCrc",
        characteristic="2aab",
        frame="0200",
        expected={"hours": 2, "has_crc": False},
    ),
)

_ANSWER = {"op_code": "response_code", "request_op_code": "get_communication_interval"}
CONTROL = tuple(
    Published(
        source=f"{_NORDIC} CGMSpecificOpsControlPoint {what}", characteristic="2aac", frame=frame, expected=expected
    )
    for what, frame, expected in (
        ("completed", "1C 02 01", _ANSWER | {"response_code_value": "success", "has_crc": False}),
        ("completed, with E2E-CRC", "1C 02 01 3C3B", _ANSWER | {"response_code_value": "success", "has_crc": True}),
        ("error", "1C 02 02", _ANSWER | {"response_code_value": "op_code_not_supported", "has_crc": False}),
        ("error, with E2E-CRC", "1C 02 02 A709", _ANSWER | {"response_code_value": "op_code_not_supported"}),
        ("interval", "03 0B", {"op_code": "communication_interval_response", "interval_min": 11, "has_crc": False}),
        ("interval, with E2E-CRC", "03 0A 8A75", {"interval_min": 10, "has_crc": True}),
        (
            "calibration",
            "06 0120 0A00 32 1400 0100 04",
            {"op_code": "calibration_value_response", "operand": "01200a00321400010004", "has_crc": False},
        ),
        (
            "calibration, with E2E-CRC",
            "06 0120 0A00 32 1400 0100 04 BFB2",
            {"operand": "01200a00321400010004", "has_crc": True},
        ),
        ("patient high", "09 0CF0", {"op_code": "patient_high_alert_response", "alert_level": 1.2, "has_crc": False}),
        ("patient low, with E2E-CRC", "0C 0BC0 34BE", {"alert_level": 0.0011, "has_crc": True}),
        ("hypo", "0F 0100", {"op_code": "hypo_alert_response", "alert_level": 1.0}),
        ("hyper", "12 0A20", {"op_code": "hyper_alert_response", "alert_level": 1000.0}),
        ("rate of decrease", "15 0110", {"op_code": "rate_of_decrease_alert_response", "alert_level": 10.0}),
        ("rate of increase", "18 0A40", {"op_code": "rate_of_increase_alert_response", "alert_level": 100000.0}),
    )
)

PUBLISHED = MEASUREMENT + FEATURE + SESSION + CONTROL

_MEDTRONIC = "captured: Medtronic 780G, sums of the other bit order; OpenMinimed/PythonPumpConnector"
REFUSED = (
    # Real frames of a pump that feeds its sums the other way round: refused until a quirk for it is known.
    (f"{_MEDTRONIC} cgm/measurement.py", "2aa7", "0EC3F900F40B000074E00A00E0F1", "crc"),
    (f"{_MEDTRONIC} cgm/measurement.py, another", "2aa7", "0EC38D00E803000010E00A00D9AF", "crc"),
    (f"{_MEDTRONIC} cgm/features.py", "2aa8", "009001591404", "crc"),
    (f"{_MEDTRONIC} utils/value_converter.py", "2aaa", "EA07031C0A1F2A80FF0873", "crc"),
    (f"{_NORDIC} ContinuousGlucoseMeasurement crcError", "2aa7", "08000C100600586F", "crc"),
    (f"{_NORDIC} ContinuousGlucoseMeasurement tooShort", "2aa7", "06E30C1006", "frame_length"),
    (f"{_NORDIC} ContinuousGlucoseMeasurement invalid", "2aa7", "07E30C10060000", "frame_length"),
    (f"{_NORDIC} CGMFeature wrong CRC", "2aa8", "6E9E0116AFBE", "crc"),
    (f"{_NORDIC} CGMFeature no CRC", "2aa8", "6E9E0116", "frame_length"),
    (f"{_NORDIC} CGMStatus wrong CRC", "2aa9", "0600010101A7E0", "crc"),
    (f"{_NORDIC} CGMStatus invalid", "2aa9", "060001010101", "frame_length"),
    (f"{_NORDIC} CGMSessionStartTime wrong CRC", "2aaa", "E20704180D08180804E0C3", "crc"),
    (f"{_NORDIC} CGMSessionStartTime invalid", "2aaa", "E20704180D08180804E0", "frame_length"),
    (f"{_NORDIC} CGMSessionRunTime wrong CRC", "2aab", "020009C3", "crc"),
    (f"{_NORDIC} CGMSessionRunTime invalid", "2aab", "020001", "frame_length"),
    (f"{_NORDIC} CGMSpecificOpsControlPoint wrong CRC", "2aac", "1C0202A701", "crc"),
    (f"{_NORDIC} CGMSpecificOpsControlPoint invalid", "2aac", "060A01", "frame_length"),
)
"""(source, characteristic, frame, reason)"""
