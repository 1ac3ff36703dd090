"""Published and captured frames of scales, thermometers, pulse oximeters and heart-rate straps (see `frames`)."""

from typing import Any

from golden.published import Published

_NO_BODY: dict[str, Any] = {"bmi": None, "height_m": None}
_FAILED: dict[str, Any] = {"quality": "invalid", "reasons": ["value_special"]}

WEIGHT = (
    Published(
        source="captured: Beurer BF720, 79.96 kg; KristianP26/ble-scale-sync#168",
        characteristic="2a9d",
        frame="0E 783E EA07050C123536 01 EE00 2607",
        expected={
            "kind": "weight",
            "weight_kg": 79.96,
            "weight_sent": 79.96,
            "bmi": 23.8,
            "height_m": 1.83,
            "user_slot": 1,
            "meter_time": "2026-05-12T18:53:54",
            "unit_sent": "kg",
        },
    ),
    Published(
        source="captured: Beurer BF788, 117.92 kg, 192 cm; KristianP26/ble-scale-sync#229",
        characteristic="2a9d",
        frame="0E 205C EA07070E172920 01 4001 8007",
        expected={
            "weight_kg": 117.92,
            "bmi": 32.0,
            "height_m": 1.92,
            "user_slot": 1,
            "meter_time": "2026-07-14T23:41:32",
        },
    ),
    Published(
        source="captured: an A&D scale showing 56.8 lb; a question about Flutter, 2021",
        characteristic="2a9d",
        frame="01 3016",
        expected=_NO_BODY
        | {
            "weight_kg": 25.764046616,
            "weight_sent": 56.8,
            "unit_sent": "lb",
            "user_slot": None,
            "meter_time": None,
        },
    ),
    Published(
        source="captured: a scale showing 46.6 lb; a question about Flutter, 2022",
        characteristic="2a9d",
        frame="03 3412 E0070219 03311C",
        expected=_NO_BODY
        | {"weight_kg": 21.137404442, "weight_sent": 46.6, "meter_time": "2016-02-25T03:49:28", "unit_sent": "lb"},
    ),
    Published(
        source="captured: Xiaomi XMTZC04HM, 201.10 lb, stable (bit 5); KristianP26/ble-scale-sync#353",
        characteristic="2a9d",
        frame="23 8E4E EA070818103913",
        expected={"weight_kg": 91.217425607, "weight_sent": 201.1, "meter_time": "2026-08-24T16:57:19"},
        is_canonical=False,  # it broadcasts this layout as service data, with reserved flags of its own
    ),
    Published(
        source="captured: Xiaomi XMTZC01HM, 85.15 kg, its clock never set; custom-components/ble_monitor#292",
        characteristic="2a9d",
        frame="02 8642 B20701010A1A29",
        expected={"weight_kg": 85.15, "meter_time": "1970-01-01T10:26:41", "unit_sent": "kg"},
    ),
    Published(
        source="WSS 1.0.0 section 3.2.1.2, measurement unsuccessful",
        characteristic="2a9d",
        frame="06 FFFF EA070B15071E00 01",
        expected=_FAILED
        | {"weight_kg": None, "weight_sent": None, "user_slot": 1, "meter_time": "2026-11-21T07:30:00"},
    ),
    Published(
        source="WSS 1.0.0 section 3.2.1.2, measurement unsuccessful in pounds",
        characteristic="2a9d",
        frame="01 FFFF",
        expected=_FAILED | {"weight_kg": None, "unit_sent": "lb"},
    ),
    Published(
        source="WSS 1.0.0 layout, every field",
        characteristic="2a9d",
        frame="0E A438 EA070B15071E00 01 F200 C206",
        expected={"weight_kg": 72.5, "bmi": 24.2, "height_m": 1.73, "user_slot": 1},
    ),
    Published(
        source="WSS 1.0.0 layout, pounds and inches, a user that the scale does not know",
        characteristic="2a9d",
        frame="0D 7064 FF F200 AA02",
        expected={
            "weight_kg": 116.6276701744,
            "weight_sent": 257.12,
            "height_m": 1.73228,
            "bmi": 24.2,
            "user_slot": 0xFF,
            "meter_time": None,
        },
    ),
    Published(
        source="WSS 1.0.0 layout, weight scale feature: everything, 0.005 kg, 0.001 m",
        characteristic="2a9e",
        frame="BF010000",
        expected={
            "kind": "weight_scale_feature",
            "time_stamp": True,
            "users": True,
            "bmi": True,
            "weight_resolution_kg": 0.005,
            "height_resolution_m": 0.001,
        },
    ),
    Published(
        source="StanfordSpezi/SpeziBluetooth WeightScaleTests, time, users and BMI, no resolution",
        characteristic="2a9e",
        frame="07000000",
        expected={"users": True, "weight_resolution_kg": None, "height_resolution_m": None},
    ),
)


def _body(frame: str, celsius: float, time: str) -> Published:
    return Published(
        source=f"captured: a thermometer showing {celsius} °C; a question about Xamarin, 2018",
        characteristic="2a1c",
        frame=frame,
        expected={
            "kind": "temperature",
            "temperature_celsius": celsius,
            "temperature_sent": celsius,
            "site": "body",
            "meter_time": f"2018-03-10T{time}",
            "unit_sent": "°C",
        },
    )


TEMPERATURE = (
    _body("06 680100FF E207030A153400 02", 36.0, "21:52:00"),
    _body("06 6A0100FF E207030A141400 02", 36.2, "20:20:00"),
    _body("06 700100FF E207030A141B00 02", 36.8, "20:27:00"),
    _body("06 5A0100FF E207030A141F00 02", 34.6, "20:31:00"),
    Published(
        source="captured: a sensor showing 27.8 °C, two decimals; a question about a temperature sensor, 2017",
        characteristic="2a1c",
        frame="06 D70A00FE E107081E082D35 04",
        expected={"temperature_celsius": 27.75, "site": "finger", "meter_time": "2017-08-30T08:45:53"},
    ),
    Published(
        source="captured: the same showing 35.8 °C",
        characteristic="2a1c",
        frame="06 FC0D00FE E107081E08321E 01",
        expected={"temperature_celsius": 35.8, "site": "armpit", "meter_time": "2017-08-30T08:50:30"},
    ),
    Published(
        source="captured: the number of a thermometer showing 98.5 °F, sent as 36.97 °C; a question about Dart, 2020",
        characteristic="2a1c",
        frame="00 710E00FE",
        expected={"temperature_celsius": 36.97, "site": None, "meter_time": None},
    ),
    Published(
        source="NordicSemiconductor/Android-BLE-Common-Library TemperatureMeasurement, 37.60 °C",
        characteristic="2a1c",
        frame="06 B00E00FE DC070C050B321B 04",
        expected={"temperature_celsius": 37.6, "site": "finger", "meter_time": "2012-12-05T11:50:27"},
    ),
    Published(
        source="HTS 1.0 layout, every field",
        characteristic="2a1c",
        frame="06 6E0100FF EA070B15071E00 02",
        expected={"temperature_celsius": 36.6, "site": "body", "meter_time": "2026-11-21T07:30:00"},
    ),
    Published(
        source="HTS 1.0 layout, 98.6 °F in the mouth",
        characteristic="2a1c",
        frame="05 DA0300FF 06",
        expected={"temperature_celsius": 37.0, "temperature_sent": 98.6, "unit_sent": "°F", "site": "mouth"},
    ),
    Published(
        source="HTS 1.0 layout, 98.6 under the wrong unit",
        characteristic="2a1c",
        frame="00 DA0300FF",
        expected={"temperature_celsius": 98.6, "quality": "invalid", "reasons": ["unit_suspect"]},
    ),
    Published(
        source="IEEE 11073-20601, NaN: nothing was measured",
        characteristic="2a1c",
        frame="00 FFFF7F00",
        expected=_FAILED | {"temperature_celsius": None, "temperature_sent": None},
    ),
    Published(
        source="HTS 1.0 layout, still rising",
        characteristic="2a1e",
        frame="04 5E0100FF 09",
        expected={"kind": "intermediate_temperature", "temperature_celsius": 35.0, "site": "tympanum"},
    ),
    Published(
        source="IEEE 11073-20601, not at this resolution, while it rises",
        characteristic="2a1e",
        frame="00 00008000",
        expected=_FAILED | {"temperature_celsius": None},
    ),
)

_QUIET: dict[str, Any] = {"sensor_status": 0, "sensor_status_flags": ()}

OXYGEN = (
    Published(
        source="captured: a ChoiceMMed oximeter, 97 %, its clock not set; stackoverflow 71264072",
        characteristic="2a5e",
        frame="17 6100 6000 E1070101012213 2000 200000",
        expected={
            "kind": "oxygen_saturation",
            "spo2_percent": 97.0,
            "pulse_bpm": 96.0,
            "amplitude_percent": None,
            "status": 0x20,
            "status_flags": ("measurement_ongoing",),
            "sensor_status": 0x20,
            "sensor_status_flags": ("low_perfusion",),
            "meter_time": "2017-01-01T01:34:19",
            "is_clock_set": False,
        },
    ),
    Published(
        source="StanfordSpezi/SpeziBluetooth PLXTests, spot check, every field",
        characteristic="2a5e",
        frame="0F ACF3 BEF5 E8070B1D170839 2040 220000 66E3",
        expected={
            "spo2_percent": 94.0,
            "pulse_bpm": 147.0,
            "amplitude_percent": 8.7,
            "status_flags": ("measurement_ongoing", "questionable"),
            "sensor_status_flags": ("equipment_malfunction", "low_perfusion"),
            "meter_time": "2024-11-29T23:08:57",
            "is_clock_set": True,
            "quality": "rejected",
            "reasons": ["sensor_status"],
        },
    ),
    Published(
        source="captured: bytes that a phone showed of an Arduino's spot check, 99 %, 80; a question of 2019",
        characteristic="2a5e",
        frame="00 6300 5000",
        expected={"spo2_percent": 99.0, "pulse_bpm": 80.0, "status": None, "sensor_status": None, "is_clock_set": True},
    ),
    Published(
        source="PLXS 1.0 layout, spot check with a time",
        characteristic="2a5e",
        frame="01 6100 4200 EA070B15071E00",
        expected={"spo2_percent": 97.0, "pulse_bpm": 66.0, "meter_time": "2026-11-21T07:30:00"},
    ),
    Published(
        source="PLXS 1.0 layout, for demonstration",
        characteristic="2a5e",
        frame="02 6100 4200 0004",
        expected={"status_flags": ("demonstration",), "quality": "invalid", "reasons": ["demonstration"]},
    ),
    Published(
        source="PLXS 1.0 layout, no finger: NaN",
        characteristic="2a5e",
        frame="06 FF07 FF07 0020 000800",
        expected=_FAILED
        | {
            "spo2_percent": None,
            "pulse_bpm": None,
            "status_flags": ("unavailable",),
            "sensor_status_flags": ("sensor_off_user",),
        },
    ),
    Published(
        source="captured: the same ChoiceMMed oximeter, continuous, 98 %; stackoverflow 71264072",
        characteristic="2a5f",
        frame="0C 6200 4E00 2000 000000",
        expected=_QUIET
        | {
            "kind": "continuous_oxygen_saturation",
            "spo2_percent": 98.0,
            "pulse_bpm": 78.0,
            "fast": None,
            "slow": None,
            "status_flags": ("measurement_ongoing",),
        },
    ),
    Published(
        source="StanfordSpezi/SpeziBluetooth PLXTests, continuous, whole numbers",
        characteristic="2a5f",
        frame="00 6400 5A00",
        expected={"spo2_percent": 100.0, "pulse_bpm": 90.0, "status": None},
    ),
    Published(
        source="StanfordSpezi/SpeziBluetooth PLXTests, continuous, with status and amplitude",
        characteristic="2a5f",
        frame="1C 5F00 5A00 2000 000000 57F0",
        expected=_QUIET | {"spo2_percent": 95.0, "pulse_bpm": 90.0, "amplitude_percent": 8.7},
    ),
    Published(
        source="StanfordSpezi/SpeziBluetooth PLXTests, continuous, every field",
        characteristic="2a5f",
        frame="1F DEF3 CAF3 CAF3 5AF5 D4F3 B2F2 2001 000000 7AE3",
        expected=_QUIET
        | {
            "spo2_percent": 99.0,
            "pulse_bpm": 97.0,
            "fast": {"spo2_percent": 97.0, "pulse_bpm": 137.0},
            "slow": {"spo2_percent": 98.0, "pulse_bpm": 69.0},
            "status_flags": ("measurement_ongoing", "fully_qualified"),
            "amplitude_percent": 8.9,
        },
    ),
    Published(
        source="StanfordSpezi/SpeziBluetooth PLXTests, features",
        characteristic="2a60",
        frame="A300 4010 800100",
        expected={
            "kind": "plx_features",
            "supported": ("status", "sensor_status", "slow", "multiple_bonds"),
            "status_supported": ("early_estimate", "calibration_ongoing"),
            "sensor_status_supported": ("nonpulsatile_signal", "questionable_pulse"),
        },
    ),
    Published(
        source="PLXS 1.0 layout, features of a meter that keeps its spot checks and says no more",
        characteristic="2a60",
        frame="0C00",
        expected={
            "supported": ("spot_check_storage", "spot_check_time_stamp"),
            "status_supported": None,
            "sensor_status_supported": None,
        },
    ),
)

_UNKNOWN_CONTACT: dict[str, Any] = {"kind": "heart_rate", "has_contact": None, "energy_kj": None}


def _nordic(case: str) -> str:
    return f"NordicSemiconductor/Android-BLE-Common-Library HeartRateMeasurement {case}"


HEART_RATE = (
    Published(
        source="captured: Polar H10; stackoverflow 67024800",
        characteristic="2a37",
        frame="10 3B 5304",
        expected=_UNKNOWN_CONTACT | {"heart_rate_bpm": 59, "rr_intervals_s": (1107 / 1024,)},
    ),
    Published(
        source="captured: Polar H10, two beats; stackoverflow 50477232",
        characteristic="2a37",
        frame="10 49 5E03 9603",
        expected=_UNKNOWN_CONTACT | {"heart_rate_bpm": 73, "rr_intervals_s": (862 / 1024, 918 / 1024)},
    ),
    Published(
        source="captured: Polar H7, on the skin, 0.77 s; a question about Swift, 2014",
        characteristic="2a37",
        frame="16 4D 1603",
        expected={"heart_rate_bpm": 77, "has_contact": True, "rr_intervals_s": (790 / 1024,)},
    ),
    Published(
        source="captured: Polar H7, two beats",
        characteristic="2a37",
        frame="16 4E 1B03 1203",
        expected={"heart_rate_bpm": 78, "has_contact": True, "rr_intervals_s": (795 / 1024, 786 / 1024)},
    ),
    Published(
        source=_nordic("simple"),
        characteristic="2a37",
        frame="00 55",
        expected=_UNKNOWN_CONTACT | {"heart_rate_bpm": 85, "rr_intervals_s": ()},
    ),
    Published(
        source=_nordic("no contact"),
        characteristic="2a37",
        frame="04 FF",
        expected={"heart_rate_bpm": 255, "has_contact": False, "energy_kj": None, "rr_intervals_s": ()},
    ),
    Published(
        source=_nordic("uint8"),
        characteristic="2a37",
        frame="1E 55 3200 2100",
        expected={"heart_rate_bpm": 85, "has_contact": True, "energy_kj": 50, "rr_intervals_s": (33 / 1024,)},
    ),
    Published(
        source=_nordic("uint16"),
        characteristic="2a37",
        frame="1F 0101 3201 0100 0201 FFFF",
        expected={
            "heart_rate_bpm": 257,
            "has_contact": True,
            "energy_kj": 306,
            "rr_intervals_s": (1 / 1024, 258 / 1024, 65535 / 1024),
        },
    ),
    Published(
        source="eisaev/blevalueparser HeartRateMeasurementTest HR8_RR9",
        characteristic="2a37",
        frame="10 AA 0000 0100 0200 0300 F303 FCFF FDFF FEFF FFFF",
        expected={
            "heart_rate_bpm": 170,
            "rr_intervals_s": tuple(n / 1024 for n in (0, 1, 2, 3, 0x3F3, 0xFFFC, 0xFFFD, 0xFFFE, 0xFFFF)),
        },
    ),
    Published(
        source="HRS 1.0 layout, contact, 1.000 s and 0.977 s",
        characteristic="2a37",
        frame="16 48 0004 E803",
        expected={"heart_rate_bpm": 72, "has_contact": True, "rr_intervals_s": (1.0, 0.9765625)},
    ),
)

PUBLISHED = WEIGHT + TEMPERATURE + OXYGEN + HEART_RATE

REFUSED = (
    # XMTZC01HM weighs in jin with bit 4; read as kilograms it would be twice the truth.
    ("made after esphome/esphome#4946: Xiaomi XMTZC01HM in jin", "2a9d", "32 8642 B20701010A1A29", "flags"),
    ("made after the owner's manual: Detecto 7550 below zero", "2a9d", "10 0000", "flags"),
    ("KristianP26/ble-scale-sync sig-wss, the time is cut away", "2a9d", "0E783EEA0705", "frame_length"),
    ("KristianP26/ble-scale-sync sig-wss, too short for a weight", "2a9d", "0E78", "frame_length"),
    (
        "captured: Xiaomi body composition, 13 bytes, 5.50 kg; a question about the Mi scale, 2021",
        "2a9d",
        "0624B2070101002E3800004C04",
        "frame_length",
    ),
    (
        "NordicSemiconductor TemperatureMeasurement, its type is missing",
        "2a1c",
        "06B00E00FEDC070C050B321B",
        "frame_length",
    ),
    (_nordic("interval missing"), "2a37", "170101", "frame_length"),
)
"""(source, characteristic, frame, reason)"""
