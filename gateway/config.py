"""The gateway's settings, from the environment (`HOMEVIGIL_GATEWAY_…`), checked before anything starts."""

import os
from pathlib import Path
from typing import Annotated, Any, Final, Self
from zoneinfo import ZoneInfo

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, field_validator, model_validator

from gateway.errors import SettingsError
from gateway.identity import read_identity
from vitals.errors import MalformedError

PREFIX: Final = "HOMEVIGIL_GATEWAY_"


class Settings(BaseModel):
    """One home's gateway. Times are local to `zone`; nothing here names a patient."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)

    id: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9:._-]{0,63}$")]
    """The name under which the clinic has enrolled this gateway; it is on every topic."""
    zone: str
    """The IANA time zone of the home, such as Asia/Shanghai."""
    outbox: Annotated[Path, Field(strict=False)]
    """The SQLite file in which readings are kept; on a disk that survives a power cut."""
    mqtt_host: Annotated[str, Field(min_length=1)] = "127.0.0.1"
    mqtt_port: Annotated[int, Field(strict=False, ge=1, le=65535)] = 1883
    mqtt_username: str | None = None
    mqtt_password: Annotated[SecretStr | None, Field(strict=False)] = None
    identity: Annotated[Path | None, Field(strict=False)] = None
    """What enrolment has written (`gateway.identity`): id, zone, broker and certificates, where they are not set here."""
    mqtt_ca_file: Annotated[Path | None, Field(strict=False)] = None
    """Given: the connection is TLS and the broker's certificate must be signed by one of these."""
    mqtt_cert_file: Annotated[Path | None, Field(strict=False)] = None
    mqtt_key_file: Annotated[Path | None, Field(strict=False)] = None
    adapter: Annotated[str, Field(pattern=r"^hci\d{1,2}$")] = "hci0"
    meter_adapters: Annotated[str, Field(pattern=r"^([a-z0-9][a-z0-9-]{0,19}(,[a-z0-9][a-z0-9-]{0,19})*)?$")] = ""
    """Adapters for meters of no standard profile, by name, with commas between them (`gateway.adapters`)."""
    heart_rate_straps: Annotated[bool, Field(strict=False)] = False
    """Read straps too (0x180D). Each visit takes one from the phone or the watch of whoever wears it, a neighbour's too."""
    workers: Annotated[int, Field(strict=False, ge=1, le=3)] = 2
    """How many meters are read at the same time; a small adapter holds few links."""

    home_mqtt_host: Annotated[str | None, Field(min_length=1)] = None
    """The home's own broker. Given: its Home Assistant is shown the latest readings (`gateway.home_assistant`)."""
    home_mqtt_port: Annotated[int, Field(strict=False, ge=1, le=65535)] = 1883
    home_mqtt_username: str | None = None
    home_mqtt_password: Annotated[SecretStr | None, Field(strict=False)] = None
    home_mqtt_ca_file: Annotated[Path | None, Field(strict=False)] = None

    @field_validator("zone")
    @classmethod
    def _zone_exists(cls, zone: str) -> str:
        try:
            ZoneInfo(zone)
        except (KeyError, OSError, ValueError) as e:
            raise ValueError(f"{zone!r} is not an IANA time zone; write it like Asia/Shanghai") from e
        return zone

    @model_validator(mode="after")
    def _certificate_comes_with_its_key(self) -> Self:
        if (self.mqtt_cert_file is None) != (self.mqtt_key_file is None):
            raise ValueError(f"give {PREFIX}MQTT_CERT_FILE and {PREFIX}MQTT_KEY_FILE together, or neither")
        if self.mqtt_cert_file is not None and self.mqtt_ca_file is None:
            raise ValueError(f"a client certificate needs {PREFIX}MQTT_CA_FILE too")
        return self


def load_settings() -> Settings:
    """The settings in the environment; raises `SettingsError` that names each variable and what is wrong with it."""
    known = {f"{PREFIX}{name.upper()}" for name in Settings.model_fields}
    unknown = sorted(name for name in os.environ if name.startswith(PREFIX) and name not in known)
    if unknown:
        raise SettingsError(f"unknown setting {', '.join(unknown)}; known are {', '.join(sorted(known))}")
    # What pydantic-settings would do for us costs a Raspberry Pi 3 MB and a tenth of its time to start.
    given = {name: os.environ.get(f"{PREFIX}{name.upper()}") for name in Settings.model_fields}
    try:
        said = {name: value or None for name, value in given.items() if value is not None}
        return Settings.model_validate(_enrolled() | said)
    except ValidationError as e:
        lines = (f"{PREFIX}{'_'.join(map(str, p['loc'])).upper()}: {p['msg']}" for p in e.errors(include_input=False))
        raise SettingsError("; ".join(lines)) from e


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
