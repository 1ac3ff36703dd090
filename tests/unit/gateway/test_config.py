"""The settings in the environment: taken strictly, refused in words."""

from pathlib import Path

import pytest

from gateway.config import PREFIX, Settings, load_settings
from gateway.errors import SettingsError

GOOD = {"ID": "gw-1", "ZONE": "Asia/Shanghai", "OUTBOX": "/var/lib/homevigil/outbox.sqlite"}


def _load(monkeypatch: pytest.MonkeyPatch, **more: str) -> Settings:
    for name, value in (GOOD | more).items():
        monkeypatch.setenv(PREFIX + name, value)
    return load_settings()


def test_three_settings_are_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = _load(monkeypatch)
    assert (settings.id, settings.zone) == ("gw-1", "Asia/Shanghai")
    assert settings.outbox == Path("/var/lib/homevigil/outbox.sqlite")
    assert (settings.mqtt_host, settings.mqtt_port, settings.adapter) == ("127.0.0.1", 1883, "hci0")


def test_a_gateway_configured_by_hand_needs_no_enrolment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The unit always says where an enrolment would be."""
    assert _load(monkeypatch, IDENTITY=str(tmp_path / "identity")).id == "gw-1"
    monkeypatch.delenv(f"{PREFIX}ID")
    with pytest.raises(SettingsError, match="not enrolled yet"):
        load_settings()


def test_every_setting_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = _load(
        monkeypatch,
        MQTT_HOST="broker.clinic.example",
        MQTT_PORT="8883",
        MQTT_USERNAME="gw-1",
        MQTT_PASSWORD="a secret",
        MQTT_CA_FILE="/etc/homevigil/ca.crt",
        MQTT_CERT_FILE="/etc/homevigil/gw.crt",
        MQTT_KEY_FILE="/etc/homevigil/gw.key",
        ADAPTER="hci1",
        WORKERS="1",
    )
    assert settings.mqtt_port == 8883
    assert settings.mqtt_password is not None
    assert settings.mqtt_password.get_secret_value() == "a secret"
    assert "a secret" not in repr(settings)
    assert (settings.adapter, settings.workers) == ("hci1", 1)


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("ID", "gw/1", "ID"),
        ("ID", "gw-1\n", "ID"),
        ("ZONE", "Asia/Shanghi", "not an IANA time zone"),
        ("ZONE", "../../etc/passwd", "not an IANA time zone"),
        ("MQTT_PORT", "70000", "MQTT_PORT"),
        ("MQTT_PORT", "mqtt", "MQTT_PORT"),
        ("MQTT_CERT_FILE", "/etc/gw.crt", "together"),
        ("ADAPTER", "/org/bluez", "ADAPTER"),
        ("WORKERS", "9", "WORKERS"),
        ("MQTT_HOTS", "x", "unknown setting HOMEVIGIL_GATEWAY_MQTT_HOTS"),
    ],
)
def test_a_wrong_setting_is_named(monkeypatch: pytest.MonkeyPatch, name: str, value: str, words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        _load(monkeypatch, **{name: value})


def test_a_missing_setting_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in GOOD:
        monkeypatch.delenv(PREFIX + name, raising=False)
    with pytest.raises(SettingsError, match="HOMEVIGIL_GATEWAY_OUTBOX"):
        load_settings()


def test_a_refused_password_is_not_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SettingsError) as refused:
        _load(monkeypatch, MQTT_PASSWORD="a secret", MQTT_PORT="no")
    assert "a secret" not in str(refused.value)
