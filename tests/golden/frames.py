"""Frames that somebody else published or captured, and what they say: the anchor of every codec.

Each has its source, because a codec that is tested against its own encoder shares the encoder's mistakes. The two marked
"captured" by name of a meter come from real ones. `expected` holds the keys of `homevigil decode` that the source states or
that follow from the specification; the others are not compared.
"""

from typing import Any

from golden import cgm_frames, enhanced_frames, sensor_frames, user_data_frames
from golden.published import Published

_FAILED: dict[str, Any] = {
    "systolic_mmhg": None,
    "diastolic_mmhg": None,
    "mean_mmhg": None,
    "pulse_bpm": None,
    "status": 0,
    "status_flags": (),
    "quality": "invalid",
    "reasons": ["value_special"],
}
_BOSO = {"systolic_mmhg": 124.0, "diastolic_mmhg": 86.0, "mean_mmhg": 97.0, "pulse_bpm": 51.0}

BLOOD_PRESSURE = (
    Published(
        source="captured: boso medicus, moved; derdilla/blood-pressure-monitor-fl#80",
        characteristic="2a35",
        frame="16 FF07 FF07 FF07 E80706170E230A FF07 0000",
        expected=_FAILED | {"meter_time": "2024-06-23T14:35:10", "user_slot": None},
    ),
    Published(
        source="captured: boso medicus, cuff loose; derdilla/blood-pressure-monitor-fl#80",
        characteristic="2a35",
        frame="16 FF07 FF07 FF07 E80706170E2F3B FF07 0000",
        expected=_FAILED | {"meter_time": "2024-06-23T14:47:59"},
    ),
    Published(
        source="derdilla/blood-pressure-monitor-fl ble_measurement_data_test, sample data",
        characteristic="2a35",
        frame="16 7C00 5600 6100 E807060F11111B 3300 0000",
        expected=_BOSO | {"meter_time": "2024-06-15T17:17:27", "user_slot": None, "status": 0, "unit_sent": "mmHg"},
    ),
    Published(
        source="derdilla/blood-pressure-monitor-fl ble_measurement_data_test, four status flags",
        characteristic="2a35",
        frame="16 7C00 5600 6100 E807060F11111B 3300 2700",
        expected=_BOSO
        | {
            "status_flags": ("body_movement", "cuff_too_loose", "irregular_pulse", "improper_position"),
            "quality": "rejected",
            "reasons": ["body_movement", "cuff_too_loose", "improper_position"],
        },
    ),
    Published(
        source="derdilla/blood-pressure-monitor-fl ble_measurement_data_test, pulse above range",
        characteristic="2a35",
        frame="16 7C00 5600 6100 E807060F11111B 3300 0800",
        expected={"status": 8, "status_flags": ("pulse_above_range",)},
    ),
    Published(
        source="derdilla/blood-pressure-monitor-fl ble_measurement_data_test, pulse below range",
        characteristic="2a35",
        frame="16 7C00 5600 6100 E807060F11111B 3300 1000",
        expected={"status": 16, "status_flags": ("pulse_below_range",)},
    ),
    Published(
        source="captured: dotintent/react-native-ble-plx#694, a cuff that has only one pressure",
        characteristic="2a35",
        frame="1E 9C00 FF07 FF07 E30708090D1835 FF07 00 1000",
        expected={
            "systolic_mmhg": 156.0,
            "diastolic_mmhg": None,
            "pulse_bpm": None,
            "user_slot": 0,
            "status": 0x10,
            "meter_time": "2019-08-09T13:24:53",
            "quality": "invalid",
            "reasons": ["value_special"],
        },
    ),
    Published(
        source="NordicSemiconductor/Android-BLE-Common-Library BloodPressureMeasurement full, year unknown",
        characteristic="2a35",
        frame="1E 8A00 5800 7800 0000041114293B 3C00 01 2700",
        expected={
            "systolic_mmhg": 138.0,
            "diastolic_mmhg": 88.0,
            "mean_mmhg": 120.0,
            "pulse_bpm": 60.0,
            "user_slot": 1,
            "meter_time": None,
            "status": 0x27,
            "unit_sent": "mmHg",
            "quality": "rejected",
        },
    ),
    Published(
        source="NordicSemiconductor/Android-BLE-Common-Library BloodPressureMeasurement some, kPa",
        characteristic="2a35",
        frame="15 BDF0 0B00 9FF0 3C00 1200",
        expected={
            "systolic_mmhg": 141.761718,
            "diastolic_mmhg": 82.50682,
            "pulse_bpm": 60.0,
            "user_slot": None,
            "meter_time": None,
            "status_flags": ("cuff_too_loose", "pulse_below_range"),
            "quality": "rejected",
            "unit_sent": "kPa",
        },
    ),
    Published(
        source="NordicSemiconductor/Android-BLE-Common-Library BloodPressureMeasurement minimal: kPa values, mmHg flag",
        characteristic="2a35",
        frame="00 BDF0 0B00 9FF0",
        expected={
            "systolic_mmhg": 18.9,
            "diastolic_mmhg": 11.0,
            "mean_mmhg": 15.9,
            "pulse_bpm": None,
            "status": None,
            "quality": "invalid",
            "reasons": ["unit_suspect"],
        },
    ),
    Published(
        source="BLS 1.1.1 layout, every field",
        characteristic="2a35",
        frame="1E 9400 5C00 6F00 EA070B1507051E 4800 01 0400",
        expected={
            "kind": "blood_pressure",
            "systolic_mmhg": 148.0,
            "diastolic_mmhg": 92.0,
            "mean_mmhg": 111.0,
            "pulse_bpm": 72.0,
            "user_slot": 1,
            "status": 4,
            "status_flags": ("irregular_pulse",),
            "meter_time": "2026-11-21T07:05:30",
            "unit_sent": "mmHg",
        },
    ),
    Published(
        source="BLS 1.1.1 layout, kPa without a mean",
        characteristic="2a35",
        frame="01 C5F0 7BF0 FF07",
        expected={"systolic_mmhg": 147.762214, "diastolic_mmhg": 92.257626, "mean_mmhg": None, "unit_sent": "kPa"},
    ),
)

CUFF_PRESSURE = (
    Published(
        source="captured: dotintent/react-native-ble-plx#694, while the cuff inflates",
        characteristic="2a36",
        frame="1E 9C00 FF07 FF07 E30708090D1835 FF07 00 1000",
        expected={"kind": "intermediate_cuff_pressure", "cuff_pressure_mmhg": 156.0, "pulse_bpm": None, "user_slot": 0},
    ),
    Published(
        source="NordicSemiconductor/Android-BLE-Common-Library IntermediateCuffPressure full",
        characteristic="2a36",
        frame="1E 0400 0000 0000 0000041114293B 3C00 01 2700",
        expected={"cuff_pressure_mmhg": 4.0, "pulse_bpm": 60.0, "user_slot": 1, "meter_time": None, "status": 0x27},
        is_canonical=False,  # zeros, not NaN, where nothing is used
    ),
    Published(
        source="NordicSemiconductor/Android-BLE-Common-Library IntermediateCuffPressure some, kPa",
        characteristic="2a36",
        frame="15 6FF0 0000 0000 3C00 1200",
        expected={"cuff_pressure_mmhg": 83.256882, "unit_sent": "kPa", "status": 0x12},
        is_canonical=False,
    ),
    Published(
        source="NordicSemiconductor/Android-BLE-Common-Library IntermediateCuffPressure minimal",
        characteristic="2a36",
        frame="00 D7F0 0000 0000",
        expected={"cuff_pressure_mmhg": 21.5, "status": None},
        is_canonical=False,
    ),
)

_NOWHERE = {"sample_location": "not_available"}

GLUCOSE = (
    Published(
        source="captured: Accu-Chek Guide; stackoverflow 63340809",
        characteristic="2a18",
        frame="1B 0400 E407070E0B0605 5A02 77B0 F8 0000",
        expected=_NOWHERE
        | {
            "sequence": 4,
            "meter_time": "2020-07-14T11:06:05",
            "offset_min": 602,
            "glucose_mg_dl": 119.0,
            "sample_type": "undetermined_plasma",
            "status": 0,
            "context_follows": True,
            "unit_sent": "kg/L",
        },
    ),
    Published(
        source="captured: Accu-Chek Guide showing 6.2 mmol/L; innoveit/react-native-ble-manager#1162",
        characteristic="2a18",
        frame="1B 0F00 E807011E053A1B 5301 6FB0 F8 0000",
        expected={"sequence": 15, "glucose_mg_dl": 111.0, "glucose_mmol_l": 6.160437779578427, "offset_min": 339},
    ),
    Published(
        source="captured: a meter showing 120 mg/dL; dotintent/react-native-ble-plx#652",
        characteristic="2a18",
        frame="03 0600 E407040D10260A 0000 78B0 F1",
        expected=_NOWHERE
        | {
            "sequence": 6,
            "meter_time": "2020-04-13T16:38:10",
            "offset_min": 0,
            "glucose_mg_dl": 120.0,
            "sample_type": "capillary_whole_blood",
            "status": None,
            "context_follows": False,
        },
    ),
    Published(
        source="captured: nordicsemi/Android-BLE-Library#130, record 1, mol/L",
        characteristic="2a18",
        frame="07 0100 E3070815061F0D B400 3BC0 F1",
        expected=_NOWHERE
        | {
            "sequence": 1,
            "meter_time": "2019-08-21T06:31:13",
            "offset_min": 180,
            "glucose_mmol_l": 5.9,
            "unit_sent": "mol/L",
        },
    ),
    Published(
        source="captured: nordicsemi/Android-BLE-Library#130, record 2, mol/L",
        characteristic="2a18",
        frame="07 0200 E3070815071B19 B400 50C0 F1",
        expected={"sequence": 2, "meter_time": "2019-08-21T07:27:25", "offset_min": 180, "glucose_mmol_l": 8.0},
    ),
    Published(
        source="captured: My Glucose showing 6.2 mmol/L; a question about SFLOAT in Swift, 2020",
        characteristic="2a18",
        frame="03 0000 E407030E171700 0000 70B0 11",
        expected={
            "sequence": 0,
            "glucose_mg_dl": 112.0,
            "glucose_mmol_l": 6.215937219034088,
            "sample_location": "finger",
        },
    ),
    Published(
        source="captured: My Glucose, a ketone record written as 0xFFFF, which is -0.1 kg/L",
        characteristic="2a18",
        frame="03 0100 E407030E171700 0000 FFFF 11",
        expected={"sequence": 1, "glucose_mg_dl": -10000.0, "quality": "invalid", "reasons": ["range"]},
    ),
    Published(
        source="NordicSemiconductor/Android-BLE-Common-Library GlucoseMeasurement, 30 kg/L with the strip at fault",
        characteristic="2a18",
        frame="1B 0100 E307021B0B0A1E FBFF 1E00 12 0501",
        expected={
            "sequence": 1,
            "meter_time": "2019-02-27T11:10:30",
            "offset_min": -5,
            "sample_type": "capillary_plasma",
            "sample_location": "finger",
            "status": 261,
            "status_flags": ("battery_low", "sample_insufficient", "temperature_low"),
            "quality": "rejected",
        },
    ),
    Published(
        source="GLS 1.0.1 layout, mol/L, every field",
        characteristic="2a18",
        frame="1F 2A00 EA070B15071400 20FE 48C0 11 0000",
        expected={
            "kind": "glucose",
            "sequence": 42,
            "meter_time": "2026-11-21T07:20:00",
            "offset_min": -480,
            "glucose_mmol_l": 7.2,
            "glucose_mg_dl": 129.73104,
            "sample_type": "capillary_whole_blood",
            "sample_location": "finger",
            "status": 0,
            "context_follows": True,
            "unit_sent": "mol/L",
        },
    ),
    Published(
        source="GLS 1.0.1 layout, kg/L without an offset",
        characteristic="2a18",
        frame="02 2B00 EA070B15071900 7EB0 12",
        expected={
            "sequence": 43,
            "glucose_mg_dl": 126.0,
            "glucose_mmol_l": 6.992929371413349,
            "offset_min": None,
            "status": None,
            "sample_type": "capillary_plasma",
            "context_follows": False,
        },
    ),
)

GLUCOSE_CONTEXT = (
    Published(
        source="NordicSemiconductor/Android-BLE-Common-Library GlucoseMeasurementContext full",
        characteristic="2a34",
        frame="FF 0000 B3 03 6400 04 12 3C00 32 04 7B00 22F0",
        expected={
            "kind": "glucose_context",
            "sequence": 0,
            "carbohydrate_id": "dinner",
            "carbohydrate_kg": 100.0,
            "meal": "casual",
            "tester": "health_care_professional",
            "health": "minor_health_issues",
            "exercise_duration_s": 60,
            "exercise_intensity_percent": 50,
            "medication_id": "long_acting_insulin",
            "medication_l": 123.0,
            "medication_kg": None,
            "hba1c_percent": 3.4,
            "quality": "rejected",
            "reasons": ["carbohydrate_range"],
        },
    ),
    Published(
        source="NordicSemiconductor/Android-BLE-Common-Library GlucoseMeasurementContext empty",
        characteristic="2a34",
        frame="00 0100",
        expected={"sequence": 1, "meal": None, "tester": None, "health": None, "hba1c_percent": None},
    ),
    Published(
        source="STMicroelectronics glucose_service demo record: lunch 15 g, self, menses, 1500 s at 50 %",
        characteristic="2a34",
        frame="0F 0300 02 0FD0 02 31 DC05 32",
        expected={
            "carbohydrate_id": "lunch",
            "carbohydrate_kg": 0.015,
            "meal": "postprandial",
            "tester": "self",
            "health": "during_menses",
            "exercise_duration_s": 1500,
            "exercise_intensity_percent": 50,
        },
    ),
)

_NORDIC_RACP = "NordicSemiconductor/Android-BLE-Common-Library RecordAccessControlPoint"
_REPORT = {"op_code": "report_stored_records"}


def _answer(frame: str, request: str | int, value: str | int) -> Published:
    return Published(
        source=f"{_NORDIC_RACP} {value}",
        characteristic="2a52",
        frame=frame,
        expected={
            "op_code": "response_code",
            "operator": "null",
            "request_op_code": request,
            "response_code_value": value,
        },
    )


RECORD_ACCESS = (
    _answer("06000101", "report_stored_records", "success"),
    _answer("06000C02", 12, "op_code_not_supported"),
    _answer("06000103", "report_stored_records", "invalid_operator"),
    _answer("06000204", "delete_stored_records", "operator_not_supported"),
    _answer("06000105", "report_stored_records", "invalid_operand"),
    _answer("06000106", "report_stored_records", "no_records_found"),
    _answer("06000307", "abort_operation", "abort_unsuccessful"),
    _answer("06000208", "delete_stored_records", "procedure_not_completed"),
    _answer("06000209", "delete_stored_records", "operand_not_supported"),
    _answer("0600010A", "report_stored_records", 10),
    Published(
        source=f"{_NORDIC_RACP} 258 records",
        characteristic="2a52",
        frame="05000201",
        expected={"op_code": "number_of_stored_records_response", "operator": "null", "number_of_records": 258},
    ),
    Published(
        source="GLP 1.0.1 section 9, count all",
        characteristic="2a52",
        frame="0401",
        expected={"op_code": "report_number_of_stored_records", "operator": "all_records", "filter_type": None},
    ),
    Published(
        source="GLP 1.0.1 section 9, 247 records",
        characteristic="2a52",
        frame="0500F700",
        expected={"op_code": "number_of_stored_records_response", "number_of_records": 247},
    ),
    Published(
        source="GLP 1.0.1 section 9, report all",
        characteristic="2a52",
        frame="0101",
        expected=_REPORT | {"operator": "all_records", "minimum": None, "maximum": None},
    ),
    Published(
        source="GLS 1.0.1 section 3.4, from sequence number 43",
        characteristic="2a52",
        frame="01 03 01 2B00",
        expected=_REPORT
        | {
            "operator": "greater_than_or_equal_to",
            "filter_type": "sequence_number",
            "minimum": 43,
            "maximum": None,
        },
    ),
    Published(
        source="GLS 1.0.1 section 3.4, up to sequence number 43",
        characteristic="2a52",
        frame="01 02 01 2B00",
        expected=_REPORT | {"operator": "less_than_or_equal_to", "minimum": None, "maximum": 43},
    ),
    Published(
        source="GLS 1.0.1 section 3.4, sequence numbers 10 to 20",
        characteristic="2a52",
        frame="01 04 01 0A00 1400",
        expected=_REPORT | {"operator": "within_range_of", "minimum": 10, "maximum": 20},
    ),
    Published(
        source="GLS 1.0.1 section 3.4, from a user-facing time",
        characteristic="2a52",
        frame="01 03 02 EA070B15071E00",
        expected=_REPORT | {"filter_type": "user_facing_time", "minimum": None, "operand": "02ea070b15071e00"},
    ),
    Published(
        source="GLS 1.0.1 section 3.4, last record",
        characteristic="2a52",
        frame="0106",
        expected=_REPORT | {"operator": "last_record"},
    ),
    Published(
        source="GLS 1.0.1 section 3.4, first record",
        characteristic="2a52",
        frame="0105",
        expected=_REPORT | {"operator": "first_record"},
    ),
    Published(
        source="GLS 1.0.1 section 3.4, abort",
        characteristic="2a52",
        frame="0300",
        expected={"op_code": "abort_operation", "operator": "null"},
    ),
)

PUBLISHED = (
    BLOOD_PRESSURE
    + CUFF_PRESSURE
    + GLUCOSE
    + GLUCOSE_CONTEXT
    + RECORD_ACCESS
    + enhanced_frames.PUBLISHED
    + cgm_frames.PUBLISHED
    + sensor_frames.PUBLISHED
    + user_data_frames.PUBLISHED
)

REFUSED = (
    *sensor_frames.REFUSED,
    # A Beurer BM85 sends a user octet that its flags do not announce, and its pulse big end first. Its quirk may be
    # learnt one day; until then a frame whose length contradicts its flags is nobody's blood pressure.
    (
        "captured: Beurer BM85, user 0; derdilla/…/ble_measurement_data_test",
        "2a35",
        "566A0047000000EA07080B121F00003F000000",
        "flags",
    ),
    (
        "captured: Beurer BM85, user 1; derdilla/…/ble_measurement_data_test",
        "2a35",
        "56710049000000EA07080B14380000410100 00",
        "flags",
    ),
    (
        "captured: pauldemarco/flutter_blue#687, a private protocol",
        "2a35",
        "FE20270075005500 5F00E4070918 10093A69 0001",
        "flags",
    ),
    (f"{_NORDIC_RACP} number in one octet", "2a52", "050001", "frame_length"),
    (f"{_NORDIC_RACP} number in three octets", "2a52", "0500030201", "frame_length"),
    ("NordicSemiconductor BloodPressureMeasurement, too short", "2a35", "010203040506", "frame_length"),
    ("NordicSemiconductor BloodPressureMeasurement, no time stamp", "2a35", "03020304050607", "frame_length"),
    ("NordicSemiconductor IntermediateCuffPressure, too short", "2a36", "010203040506", "frame_length"),
    (
        "NordicSemiconductor GlucoseMeasurement, offset missing",
        "2a18",
        "1B0000E207041A0B091E1E00120501",
        "frame_length",
    ),
    ("NordicSemiconductor GlucoseMeasurementContext, too short", "2a34", "FF0000B303", "flags"),
    *cgm_frames.REFUSED,
)
"""(source, characteristic, frame, reason)"""
