"""What `homevigil doctor` asks of the world: database, broker, outbox, bus. Each answer ends in what to do.

Drivers are imported by the check that needs them: a gateway has no psycopg, a server no D-Bus.
"""

import asyncio
import os
import queue
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

from homevigil.doctor.checks import Finding, State
from vitals.errors import UnavailableError

if TYPE_CHECKING:
    import psycopg

    from gateway.config import Settings as GatewaySettings
    from server.config import Settings as ServerSettings

WITHIN_S: Final = 5
"""How long each part of the world may take to answer."""

SKEW_WARN: Final = timedelta(seconds=2)
SKEW_FAIL: Final = timedelta(minutes=1)
"""A reading that is five minutes ahead is suspect in time; a clock is mended long before that."""

CERTIFICATE_WARN: Final = timedelta(days=30)
WAITING_WARN: Final = 1000
"""Unconfirmed readings in an outbox that say that nothing goes out; a home makes a few dozen a day."""

MIGRATE: Final = "Run: python -m server migrate"


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """How a room reaches its broker."""

    host: str
    port: int
    username: str | None
    password: str | None
    ca_file: str | None
    cert_file: str | None
    key_file: str | None

    @classmethod
    def of_gateway(cls, settings: "GatewaySettings") -> Self:
        return cls._of(settings)

    @classmethod
    def of_server(cls, settings: "ServerSettings") -> Self:
        return cls._of(settings)

    @classmethod
    def _of(cls, settings: "GatewaySettings | ServerSettings") -> Self:
        password = settings.mqtt_password
        files = (settings.mqtt_ca_file, settings.mqtt_cert_file, settings.mqtt_key_file)
        ca_file, cert_file, key_file = (None if file is None else str(file) for file in files)
        return cls(
            host=settings.mqtt_host,
            port=settings.mqtt_port,
            username=settings.mqtt_username,
            password=None if password is None else password.get_secret_value(),
            ca_file=ca_file,
            cert_file=cert_file,
            key_file=key_file,
        )


# --- database --------------------------------------------------------------------------------------------------------


def database(url: str, *, now: Callable[[], datetime]) -> tuple[Finding, ...]:
    """Reachable, engine, migrated, accounts balanced, clock beside ours."""
    import psycopg

    try:
        with psycopg.connect(url, connect_timeout=WITHIN_S, prepare_threshold=None) as conn:
            conn.read_only = True
            found = [_engine(conn), _database_clock(conn, now()), _migrated(conn)]
            if found[-1].state == "ok":
                found.append(_accounts(conn))
            return tuple(found)
    except psycopg.Error as e:
        says = f"{type(e).__name__}: {str(e).strip().splitlines()[0][:200]}"
        do = "Start PostgreSQL, or correct HOMEVIGIL_SERVER_DATABASE_URL."
        return (Finding(name="database", state="fail", says=says, do=do),)


def _engine(conn: "psycopg.Connection[Any]") -> Finding:
    row = conn.execute(
        "select current_setting('server_version'), (select extversion from pg_extension where extname = 'timescaledb')"
    ).fetchone()
    assert row is not None
    version, timescaledb = row
    if conn.info.server_version < 150000:
        return Finding(name="database", state="fail", says=f"PostgreSQL {version}", do="Use PostgreSQL 15 or newer.")
    storage = f"TimescaleDB {timescaledb}" if timescaledb else "native partitions (no TimescaleDB, which is fine)"
    return Finding(name="database", state="ok", says=f"PostgreSQL {version}, {storage}")


def _database_clock(conn: "psycopg.Connection[Any]", here: datetime) -> Finding:
    row = conn.execute("select clock_timestamp()").fetchone()
    assert row is not None
    skew = abs(row[0] - here)
    says = f"{skew.total_seconds():.2f} s from this machine's"
    if skew < SKEW_WARN:
        return Finding(name="database clock", state="ok", says=says)
    state: State = "warn" if skew < SKEW_FAIL else "fail"
    do = "Synchronise both machines' clocks: what is due is decided by the database's."
    return Finding(name="database clock", state=state, says=says, do=do)


def _migrated(conn: "psycopg.Connection[Any]") -> Finding:
    from server.store.migrate import read_migrations

    wanted = [each.name for each in read_migrations()]
    known = conn.execute("select to_regclass('schema_migration') is not null").fetchone()
    if not (known and known[0]):
        return Finding(name="schema", state="fail", says="not migrated at all", do=MIGRATE)
    applied = {row[0] for row in conn.execute("select name from schema_migration").fetchall()}
    missing = [name for name in wanted if name not in applied]
    if missing:
        return Finding(name="schema", state="fail", says=f"{len(missing)} behind: {missing[0]} …", do=MIGRATE)
    if newer := sorted(applied - set(wanted)):
        do = "Run the newer build; this one must not touch the database."
        return Finding(name="schema", state="fail", says=f"newer than this build: {newer[-1]}", do=do)
    return Finding(name="schema", state="ok", says=f"migrated to {wanted[-1]}")


def _accounts(conn: "psycopg.Connection[Any]") -> Finding:
    from server.store.intake import check_accounts

    unbalanced = check_accounts(conn)
    if not unbalanced:
        return Finding(
            name="accounts", state="ok", says="received = stored + repeated + quarantined, for every gateway"
        )
    names = ", ".join(account.gateway_id for account in unbalanced[:5])
    do = "Readings may be lost. Keep the database and the gateways' outboxes as they are, and report it."
    return Finding(name="accounts", state="fail", says=f"not balanced for {names}", do=do)


# --- broker ----------------------------------------------------------------------------------------------------------


def broker(name: str, account: Account, *, now: datetime) -> Finding:
    """Connects with MQTT 5 under the account; retained messages must be available, and the certificate in date."""
    try:
        retains, ends_at = _greet(account)
    except UnavailableError as e:
        return Finding(name=name, state="fail", says=str(e), do=_what_to_do_about(account))
    where = f"{account.host}:{account.port}, MQTT 5, {'TLS' if account.ca_file else 'no TLS'}"
    if not retains:
        do = "Set retain_available true (deploy/mosquitto/homevigil.conf): status and config are retained."
        return Finding(name=name, state="fail", says=f"{where}, no retained messages", do=do)
    if ends_at is not None and ends_at - now < CERTIFICATE_WARN:
        says = f"{where}; its certificate ends on {ends_at:%Y-%m-%d}"
        return Finding(name=name, state="warn", says=says, do="Renew the broker's certificate.")
    if account.ca_file is None and account.host not in ("127.0.0.1", "localhost", "::1"):
        return Finding(
            name=name, state="warn", says=where, do="Set MQTT_CA_FILE: readings cross the network in the clear."
        )
    return Finding(name=name, state="ok", says=where)


def _greet(account: Account) -> tuple[bool, datetime | None]:
    """(retained messages are available, end of the broker's certificate); raises `UnavailableError`."""
    from paho.mqtt.client import Client, MQTTv5
    from paho.mqtt.enums import CallbackAPIVersion

    answers: queue.Queue[tuple[Any, Any]] = queue.Queue()
    client = Client(CallbackAPIVersion.VERSION2, client_id=f"homevigil-doctor-{os.getpid()}", protocol=MQTTv5)
    client.on_connect = lambda _client, _userdata, _flags, reason, properties: answers.put((reason, properties))
    client.connect_timeout = WITHIN_S
    try:
        if account.username is not None:
            client.username_pw_set(account.username, account.password)
        if account.ca_file is not None:
            client.tls_set(account.ca_file, account.cert_file, account.key_file)
        client.connect(account.host, account.port, clean_start=True)
        ends_at = _end_of_certificate(client.socket())
        client.loop_start()
        reason, properties = answers.get(timeout=WITHIN_S)
    except (OSError, ssl.SSLError, ValueError) as e:
        raise UnavailableError(f"{account.host}:{account.port}: {type(e).__name__}: {e}") from e
    except queue.Empty:
        raise UnavailableError(
            f"{account.host}:{account.port} accepts connections and says nothing in MQTT 5"
        ) from None
    finally:
        client.disconnect()
        client.loop_stop()
    if reason.is_failure:
        raise UnavailableError(f"{account.host}:{account.port} refused us: {reason}")
    return bool(getattr(properties, "RetainAvailable", 1)), ends_at


def _end_of_certificate(sock: object) -> datetime | None:
    if not isinstance(sock, ssl.SSLSocket):
        return None
    not_after = (sock.getpeercert() or {}).get("notAfter")
    return datetime.fromtimestamp(ssl.cert_time_to_seconds(not_after), UTC) if isinstance(not_after, str) else None


def _what_to_do_about(account: Account) -> str:
    if account.ca_file is None and account.port == 8883:
        return "Port 8883 speaks TLS: set MQTT_CA_FILE."
    return "Is mosquitto running there? Is the account in its password file, or the certificate of its authority?"


# --- the box's own ---------------------------------------------------------------------------------------------------


def outbox(path: Path) -> Finding:
    """What waits in the outbox; it may be in use."""
    from gateway.errors import OutboxVersionError
    from gateway.outbox import read_counts

    if not path.exists():
        return _outbox_to_come(path)
    try:
        counts = read_counts(path)
    except (OutboxVersionError, UnavailableError, OSError) as e:
        return Finding(
            name="outbox", state="fail", says=str(e), do="Do not delete it: it may hold the only copy of readings."
        )
    says = f"{counts.unconfirmed} waiting, {counts.confirmed} confirmed, {counts.rejected} refused"
    if counts.disk_is_full:
        return Finding(
            name="outbox", state="fail", says=f"{says}; disk full", do="Free some space; what is kept is safe."
        )
    if counts.unconfirmed >= WAITING_WARN:
        do = "Nothing is confirmed: see the broker's line below, and whether the server runs."
        return Finding(name="outbox", state="warn", says=says, do=do)
    return Finding(name="outbox", state="ok", says=says)


def _outbox_to_come(path: Path) -> Finding:
    parent = path.absolute().parent
    if parent.exists() and os.access(parent, os.W_OK):
        return Finding(name="outbox", state="ok", says=f"none yet; the gateway makes {path} when it first runs")
    do = f"Make the folder {parent} and give it to the gateway's account."
    return Finding(name="outbox", state="fail", says=f"{parent} is not there or not writable", do=do)


def bus(adapter: str) -> Finding:
    """The system bus, org.bluez on it, and whether the adapter is there and powered."""
    try:
        return asyncio.run(asyncio.wait_for(_ask_bluez(adapter), WITHIN_S))
    except TimeoutError:
        return Finding(name="bus", state="fail", says="BlueZ does not answer", do="sudo systemctl restart bluetooth")
    except (OSError, EOFError, UnavailableError) as e:
        do = "Install and start D-Bus (sudo apt-get install dbus), or correct DBUS_SYSTEM_BUS_ADDRESS."
        return Finding(name="bus", state="fail", says=f"no D-Bus: {e}", do=do)


async def _ask_bluez(adapter: str) -> Finding:
    from dbus_fast import BusType, Message, MessageType
    from dbus_fast.aio import MessageBus

    bus = await MessageBus(bus_type=BusType.SYSTEM).connect()
    try:
        reply = await bus.call(
            Message(
                destination="org.bluez",
                path="/",
                interface="org.freedesktop.DBus.ObjectManager",
                member="GetManagedObjects",
            )
        )
    finally:
        bus.disconnect()
    if reply is None or reply.message_type is MessageType.ERROR:
        do = "Install and start BlueZ: sudo apt-get install bluez; sudo systemctl start bluetooth"
        return Finding(name="bus", state="fail", says="org.bluez is not on the bus", do=do)
    properties = reply.body[0].get(f"/org/bluez/{adapter}", {}).get("org.bluez.Adapter1")
    if properties is None:
        do = "Plug a Bluetooth adapter in, or set HOMEVIGIL_GATEWAY_ADAPTER to the one that is there (bluetoothctl list)."
        return Finding(name="bus", state="fail", says=f"BlueZ has no adapter {adapter}", do=do)
    if not properties["Powered"].value:
        do = "bluetoothctl power on; if it stays off: rfkill unblock bluetooth"
        return Finding(name="bus", state="fail", says=f"{adapter} is switched off", do=do)
    return Finding(name="bus", state="ok", says=f"BlueZ with {adapter}, powered")
