"""0x2A5E, 0x2A5F and 0x2A60 as canonical JSON."""

from typing import Final

from homevigil.canonical.answer import Canonical, Decoder, doubt, number
from vitals.gatt import uuids
from vitals.gatt.frame import flag_words
from vitals.gatt.pulse_oximeter import Continuous, Features, SensorStatus, SpO2PR, SpotCheck, Status, Supported


def spot_check(frame: bytes) -> Canonical:
    sent = SpotCheck.from_bytes(frame)
    measured = sent.to_measurement()
    return {
        "kind": "oxygen_saturation",
        "spo2_percent": measured.spo2_percent,
        "pulse_bpm": measured.pulse_bpm,
        "amplitude_percent": number(sent.amplitude),
        "status": sent.status,
        "status_flags": sent.status_flags,
        "sensor_status": sent.sensor_status,
        "sensor_status_flags": sent.sensor_status_flags,
        "meter_time": sent.meter_time,
        "is_clock_set": sent.is_clock_set,
    } | doubt(measured)


def continuous(frame: bytes) -> Canonical:
    """With the doubt that a spot check would carry that said the same."""
    sent = Continuous.from_bytes(frame)
    measured = sent.to_measurement()
    return {
        "kind": "continuous_oxygen_saturation",
        "spo2_percent": measured.spo2_percent,
        "pulse_bpm": measured.pulse_bpm,
        "fast": _pair(sent.fast),
        "slow": _pair(sent.slow),
        "amplitude_percent": number(sent.amplitude),
        "status": sent.status,
        "status_flags": sent.status_flags,
        "sensor_status": sent.sensor_status,
        "sensor_status_flags": sent.sensor_status_flags,
    } | doubt(measured)


def features(frame: bytes) -> Canonical:
    sent = Features.from_bytes(frame)
    return {
        "kind": "plx_features",
        "supported": flag_words(Supported, sent.supported),
        "status_supported": None if sent.status is None else flag_words(Status, sent.status),
        "sensor_status_supported": None if sent.sensor_status is None else flag_words(SensorStatus, sent.sensor_status),
    }


def _pair(sent: SpO2PR | None) -> Canonical | None:
    return None if sent is None else {"spo2_percent": sent.spo2.number, "pulse_bpm": sent.pulse.number}


DECODERS: Final[dict[str, Decoder]] = {
    uuids.PLX_SPOT_CHECK: spot_check,
    uuids.PLX_CONTINUOUS: continuous,
    uuids.PLX_FEATURES: features,
}
