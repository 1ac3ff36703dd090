"""The gateway's settings, from the environment (`HOMEVIGIL_GATEWAY_…`), checked before anything starts."""

import os
from pathlib import Path
from typing import Annotated, Any, Final
from zoneinfo import ZoneInfo

import msgspec
from msgspec import Meta, Struct

from gateway.errors import SettingsError
from gateway.identity import read_identity
from vitals.errors import MalformedError

PREFIX: Final = "HOMEVIGIL_GATEWAY_"


class Secret:
    """A password: whoever prints it, or the settings, sees stars. Named as pydantic's, which the server's settings have."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def __repr__(self) -> str:
        return "Secret('**********')"

    def get_secret_value(self) -> str:
        return self._text


Port = Annotated[int, Meta(ge=1, le=65535)]
Host = Annotated[str, Meta(min_length=1)]


class Settings(Struct, frozen=True, kw_only=True):
    """One home's gateway. Times are local to `zone`; nothing here names a patient. Raises `ValueError` for what does not go
    together; the kinds are checked by `load_settings`."""

    id: Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9:._-]{0,63}\Z")]
    """The name under which the clinic has enrolled this gateway; it is on every topic."""
    zone: str
    """The IANA time zone of the home, such as Asia/Shanghai."""
    outbox: Path
    """The SQLite file in which readings are kept; on a disk that survives a power cut."""
    mqtt_host: Host = "127.0.0.1"
    mqtt_port: Port = 1883
    mqtt_username: str | None = None
    mqtt_password: Secret | None = None
    identity: Path | None = None
    """What enrolment has written (`gateway.identity`): id, zone, broker and certificates, where they are not set here."""
    mqtt_ca_file: Path | None = None
    """Given: the connection is TLS and the broker's certificate must be signed by one of these."""
    mqtt_cert_file: Path | None = None
    mqtt_key_file: Path | None = None
    adapter: Annotated[str, Meta(pattern=r"^hci\d{1,2}\Z")] = "hci0"
    meter_adapters: Annotated[str, Meta(pattern=r"^([a-z0-9][a-z0-9-]{0,19}(,[a-z0-9][a-z0-9-]{0,19})*)?\Z")] = ""
    """Adapters for meters of no standard profile, by name, with commas between them (`gateway.adapters`)."""
    heart_rate_straps: bool = False
    """Read straps too (0x180D). Each visit takes one from the phone or the watch of whoever wears it, a neighbour's too."""
    workers: Annotated[int, Meta(ge=1, le=3)] = 2
    """How many meters are read at the same time; a small adapter holds few links."""

    home_mqtt_host: Host | None = None
    """The home's own broker. Given: its Home Assistant is shown the latest readings (`gateway.home_assistant`)."""
    home_mqtt_port: Port = 1883
    home_mqtt_username: str | None = None
    home_mqtt_password: Secret | None = None
    home_mqtt_ca_file: Path | None = None

    def __post_init__(self) -> None:
        _check_zone(self.zone)
        if (self.mqtt_cert_file is None) != (self.mqtt_key_file is None):
            raise ValueError(f"give {PREFIX}MQTT_CERT_FILE and {PREFIX}MQTT_KEY_FILE together, or neither")
        if self.mqtt_cert_file is not None and self.mqtt_ca_file is None:
            raise ValueError(f"a client certificate needs {PREFIX}MQTT_CA_FILE too")


def load_settings() -> Settings:
    """The settings in the environment; raises `SettingsError` that names each variable and what is wrong with it."""
    names = {field.name: f"{PREFIX}{field.name.upper()}" for field in msgspec.structs.fields(Settings)}
    unknown = sorted(name for name in os.environ if name.startswith(PREFIX) and name not in names.values())
    if unknown:
        raise SettingsError(f"unknown setting {', '.join(unknown)}; known are {', '.join(sorted(names.values()))}")
    given = _enrolled() | {name: said for name, variable in names.items() if (said := os.environ.get(variable))}
    taken, wrong = {}, []
    for field in msgspec.structs.fields(Settings):
        if field.name in given:
            try:
                taken[field.name] = msgspec.convert(given[field.name], field.type, strict=False, dec_hook=_made_of_text)
                if field.name == "zone":
                    _check_zone(taken[field.name])
            except ValueError as e:  # msgspec's own are such, too
                wrong.append(f"{names[field.name]}: {e}")
        elif field.required:
            wrong.append(f"{names[field.name]}: this setting is needed")
    if wrong:
        raise SettingsError("; ".join(wrong))
    try:
        return Settings(**taken)
    except ValueError as e:
        raise SettingsError(str(e)) from e


def _check_zone(name: str) -> None:
    try:
        ZoneInfo(name)
    except (KeyError, OSError, ValueError) as e:
        raise ValueError(f"{name!r} is not an IANA time zone; write it like Asia/Shanghai") from e


def _made_of_text(kind: type, said: Any) -> Any:
    return kind(said)


def _enrolled() -> dict[str, Any]:
    """What enrolment has settled and the environment leaves open."""
    folder = os.environ.get(f"{PREFIX}IDENTITY")
    if not folder:
        return {}
    try:
        identity = read_identity(Path(folder))
    except MalformedError as e:
        raise SettingsError(e.message) from e
    if identity is None and os.environ.get(f"{PREFIX}ID"):
        return {}  # configured by hand, although the unit says where an enrolment would be
    if identity is None:
        raise SettingsError(f"not enrolled yet: there is nothing in {folder}; run `homevigil-gateway enrol`")
    return {
        "id": identity.facts.gateway_id,
        "zone": identity.facts.zone,
        "mqtt_host": identity.facts.mqtt_host,
        "mqtt_port": identity.facts.mqtt_port,
        "mqtt_ca_file": identity.authority_file,
        "mqtt_cert_file": identity.certificate_file,
        "mqtt_key_file": identity.key_file,
    }
