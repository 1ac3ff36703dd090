"""The server's settings, from the environment (`HOMEVIGIL_SERVER_…`) alone; a wrong one is refused at the start, by name."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

Port = Annotated[int, Field(strict=False, ge=1, le=65535)]


class Settings(BaseSettings):
    """Where the parts are, and who we are to them."""

    model_config = SettingsConfigDict(
        env_prefix="HOMEVIGIL_SERVER_",
        extra="forbid",
        strict=True,
        frozen=True,
        allow_inf_nan=False,
        env_ignore_empty=True,
        hide_input_in_errors=True,
    )

    database_url: Annotated[SecretStr, Field(strict=False, description="PostgreSQL, as a libpq connection string")]
    mqtt_host: Annotated[str, Field(min_length=1, description="the broker")] = "127.0.0.1"
    mqtt_port: Annotated[Port, Field(description="8883 with TLS, 1883 without")] = 1883
    mqtt_username: Annotated[
        str | None, Field(description="not needed where the broker names us by our certificate")
    ] = None
    mqtt_password: Annotated[SecretStr | None, Field(strict=False, description="of mqtt_username")] = None
    mqtt_ca_file: Annotated[str | None, Field(description="certificate authority of the broker; set, TLS is used")] = (
        None
    )
    mqtt_cert_file: Annotated[str | None, Field(description="our certificate, where the broker asks for one")] = None
    mqtt_key_file: Annotated[str | None, Field(description="the key of mqtt_cert_file")] = None
    mqtt_client_id: Annotated[
        str,
        Field(pattern=r"^[A-Za-z0-9._-]{1,64}$", description="names intake's session at the broker: one process each"),
    ] = "homevigil-intake"
    web_host: Annotated[str, Field(min_length=1, description="address that the pages are served on")] = "127.0.0.1"
    web_port: Annotated[Port, Field(description="port that the pages are served on")] = 8080
    public_url: Annotated[
        str | None,
        Field(pattern=r"^https?://[^\s/]+$", description="how browsers reach us; https makes cookies secure"),
    ] = None
    secrets: Annotated[
        str | None, Field(description="folder of the clinic's own certificate authority and what it has signed")
    ] = None
    claims_key_file: Annotated[
        str | None,
        Field(
            description="by which the page for new gateways makes codes; `server ca init` writes it (server/claims.key)"
        ),
    ] = None
    enrol_host: Annotated[str, Field(min_length=1, description="address of the door for new gateways")] = "0.0.0.0"
    enrol_port: Annotated[Port, Field(description="port of the door for new gateways")] = 8443
    enrol_public_host: Annotated[
        str | None,
        Field(min_length=1, description="how gateways reach that door and the broker; it stands in invitations"),
    ] = None
    enrol_mqtt_port: Annotated[Port, Field(description="the broker's port, as gateways reach it")] = 8883
    glucose_unit: Annotated[
        Literal["mmol/L", "mg/dL"], Field(description="in which the clinic reads glucose; the other stands beside it")
    ] = "mmol/L"
    retention_clinical_years: Annotated[
        int, Field(strict=False, ge=0, le=100, description="the law has a record kept so long after its last entry")
    ] = 15
    erasure_folders: Annotated[
        str,
        Field(
            description="where else to look for somebody who was erased: logs, exports, the broker's store; `:` between"
        ),
    ] = ""
    vault_key_file: Annotated[
        str | None,
        Field(
            description="the key to the patients' keys: outside the database and its backups; none: systemd's `vault-key`"
        ),
    ] = None
    clinic_phone: Annotated[
        str, Field(pattern=r"^[0-9+() -]{0,32}$", description="what the call button of a patient's page dials")
    ] = ""
    oidc_issuer: Annotated[
        str | None,
        Field(
            pattern=r"^https?://[^\s?#]+$",
            description="the house's own sign-in (OpenID Connect)",
        ),
    ] = None
    oidc_client_id: Annotated[str | None, Field(min_length=1, description="our name there")] = None
    oidc_client_secret: Annotated[SecretStr | None, Field(strict=False, description="our secret there")] = None
    oidc_login_claim: Annotated[
        str, Field(min_length=1, description="which of its claims is the login of an account here")
    ] = "preferred_username"
    webhook_allow_private: Annotated[
        bool,
        Field(
            strict=False,
            description="webhooks, and the push services of browsers, may be http and in the house's own network",
        ),
    ] = False
    watchdog_id: Annotated[
        str,
        Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9:._-]{0,63}$", description="the gateway that the watchdog plays"),
    ] = "homevigil-watchdog"
    watchdog_mqtt_username: Annotated[
        str | None, Field(description="where the broker does not name us by our certificate")
    ] = None
    watchdog_mqtt_password: Annotated[
        SecretStr | None, Field(strict=False, description="of watchdog_mqtt_username")
    ] = None
    watchdog_cert_file: Annotated[
        str | None, Field(description="the watchdog's certificate: its common name is watchdog_id")
    ] = None
    watchdog_key_file: Annotated[str | None, Field(description="the key of watchdog_cert_file")] = None
    metrics_token: Annotated[
        SecretStr | None,
        Field(strict=False, min_length=16, description="what Prometheus shows at /metrics; none: no such page"),
    ] = None
    anchor_folder: Annotated[
        str | None,
        Field(
            description="folder on another machine's disk that is told every half hour how far the audit trail has come"
        ),
    ] = None
    tsa_url: Annotated[
        str | None,
        Field(pattern=r"^https?://\S+$", description="time-stamping authority (RFC 3161) that is told it, too"),
    ] = None
    tsa_ca_file: Annotated[str | None, Field(description="certificates to which those of tsa_url must lead")] = None
    pool_size: Annotated[int, Field(strict=False, ge=2, le=100, description="database connections, at most")] = 12
    log_level: Annotated[
        Literal["debug", "info", "warning", "error"], Field(description="least severe line logged")
    ] = "info"

    @property
    def has_secure_cookies(self) -> bool:
        return self.public_url is not None and self.public_url.startswith("https://")

    @property
    def folders_to_look_through(self) -> tuple[Path, ...]:
        return tuple(Path(each) for each in self.erasure_folders.split(":") if each)
