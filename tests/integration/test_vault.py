"""What lies in the database in plain: nothing that says who somebody is, what was written of them, or what their meters sent."""

import base64
import secrets
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from households import Household, enrol
from hypothesis import given
from hypothesis import strategies as st
from vaults import frames, quarantined

from homevigil.embedded.postgres import EmbeddedPostgres
from server import clock
from server.errors import ErasedError, VaultError
from server.intake import Intake
from server.store import vault, vault_keys
from server.store.migrate import MIGRATIONS, migrate
from server.store.postgres import Connection, Pool, transaction
from server.store.vault import Identity
from vitals.envelope import encode_reading

WHO = Identity(name="Ottilie Unverwechselbar", phone="+49 30 55501234", birth_date=date(1941, 5, 9))


@pytest.fixture
def conn(pool: Pool) -> Iterator[Connection]:
    with transaction(pool) as conn:
        yield conn


@pytest.fixture
def home(pool: Pool) -> Household:
    with transaction(pool) as conn:
        household = enrol(conn, enrolled_on=(clock.now() - timedelta(days=90)).date())
        vault.identify(conn, household.patient_id, WHO)
    return household


def everything(conn: Connection) -> bytes:
    """Every row of every table, as text and as bytes."""
    tables = conn.execute(
        "select format('%I.%I', schemaname, tablename) from pg_tables where schemaname not in ('information_schema')"
        " and tablename not like 'pg_%'"
    ).fetchall()
    return b"\n".join(
        str(conn.execute(f"select string_agg(t::text, '\n') from {table} t".encode()).fetchone()).encode()
        for (table,) in tables
    )


def test_who_a_patient_is_and_what_the_meter_sent_is_in_no_table(home: Household, pool: Pool) -> None:
    reading = home.pressure(clock.now() - timedelta(hours=1))
    unknown = home.pressure(clock.now() - timedelta(hours=2), meter_id="F0:99:99:99:99:99")
    Intake(pool).take(home.envelope(reading, unknown), topic_gateway=home.gateway_id)
    with transaction(pool) as conn:
        assert frames(conn)[reading.reading_id].raw == reading.raw
        assert [raw for _, _, raw in quarantined(conn)] == [encode_reading(unknown)]
        found = everything(conn)
    for said in ("Ottilie", "55501234", "1941-05", reading.raw.hex(), unknown.raw.hex(), encode_reading(reading).hex()):
        assert said.encode() not in found, said
    assert home.gateway_id.encode() in found, "it was looked for where it could be"


def test_a_sealed_value_cannot_be_moved_to_another_row(home: Household, conn: Connection) -> None:
    other = enrol(conn, enrolled_on=date(2026, 1, 5)).patient_id
    conn.execute(
        "update patient set identity = (select identity from patient where patient_id = %s) where patient_id = %s",
        (home.patient_id, other),
    )
    with pytest.raises(VaultError, match="moved from another row"):
        vault.identity_of(conn, other)
    conn.execute(
        "update data_key k set wrapped = o.wrapped from data_key o where k.patient_id = %s and o.patient_id = %s",
        (other, home.patient_id),
    )
    with pytest.raises(VaultError, match="moved from another row"):
        vault.identity_of(conn, other)
    assert vault.identity_of(conn, home.patient_id) == WHO


@given(plain=st.binary(max_size=200), place=st.text(max_size=30), data=st.data())
def test_whatever_was_sealed_opens_there_and_nowhere_else_and_not_when_it_was_changed(
    plain: bytes, place: str, data: st.DataObject
) -> None:
    safe = vault.Safe(vault_keys.AESGCM(secrets.token_bytes(32)))
    sealed = safe.seal(plain, place)
    assert safe.open(sealed, place) == plain
    with pytest.raises(VaultError):
        safe.open(sealed, place + "'")
    spot = data.draw(st.integers(0, len(sealed) * 8 - 1))
    changed = bytearray(sealed)
    changed[spot // 8] ^= 1 << spot % 8
    with pytest.raises(VaultError):
        safe.open(bytes(changed), place)


def test_with_its_key_everything_that_it_sealed_is_gone(home: Household, conn: Connection) -> None:
    sealed = vault.seal(conn, home.patient_id, b"said in confidence", "note/1")
    conn.execute(
        "update data_key set wrapped = null, destroyed_at = now() where patient_id = %s returning 1", [home.patient_id]
    )
    assert vault.identity_of(conn, home.patient_id) == Identity()
    with pytest.raises(ErasedError):
        vault.open_sealed(conn, home.patient_id, sealed, "note/1")
    with pytest.raises(ErasedError):
        vault.seal(conn, home.patient_id, b"again", "note/2")


@pytest.fixture
def own_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "vault.key"
    monkeypatch.setenv(vault_keys.SETTING, str(path))
    vault_keys.write(path, vault_keys.make())
    return path


def test_a_new_wrapping_key_opens_what_is_here_and_the_old_one_nothing_of_it(
    conn: Connection, own_key: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = enrol(conn, enrolled_on=date(2026, 1, 5))
    vault.identify(conn, home.patient_id, WHO)
    old = own_key.read_text()
    vault.begin_rotation(own_key)
    vault.begin_rotation(own_key)  # it was broken off
    assert vault.identity_of(conn, home.patient_id) == WHO
    assert sum(iter(lambda: vault.rewrap_some(conn, 1), 0)) >= 1
    vault.end_rotation(own_key)
    vault.check(conn)
    assert vault.identity_of(conn, home.patient_id) == WHO
    assert own_key.stat().st_mode & 0o777 == 0o600

    (stale := tmp_path / "stale.key").write_text(old)
    stale.chmod(0o600)
    monkeypatch.setenv(vault_keys.SETTING, str(stale))
    for look in (vault.check, lambda conn: vault.identity_of(conn, home.patient_id)):
        with pytest.raises(VaultError, match="put the right one back"):
            look(conn)


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ("", "is empty"),
        ("homevigil-vault-1 00 !!", "no file of keys"),
        (f"homevigil-vault-1 0011223344556677 {base64.b64encode(b'short').decode()}", "no file of keys of this build"),
        (None, "vault init"),
    ],
)
def test_a_file_that_is_no_key_is_refused_and_it_is_said_what_to_do(
    content: str | None, why: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "some.key"
    monkeypatch.setenv(vault_keys.SETTING, str(path))
    if content is not None:
        path.write_text(content)
        path.chmod(0o600)
    with pytest.raises(VaultError, match=why):
        vault_keys.current()
    if content is not None:
        path.chmod(0o644)
        with pytest.raises(VaultError, match="chmod 600"):
            vault_keys.read(path)
        with pytest.raises(VaultError, match="keep it"):
            vault_keys.write(path, vault_keys.make(), is_new=True)


# -- a clinic that is brought to this build ----------------------------------------------------------------------------


@pytest.fixture
def old_clinic(postgres: EmbeddedPostgres, empty_database_url: str, tmp_path: Path) -> str:
    """As the build before left it: in plain."""
    before = tmp_path / "before"
    before.mkdir()
    for file in sorted(MIGRATIONS.glob("*.sql")):
        if file.name.endswith("_vault.sql"):
            break
        (before / file.name).write_bytes(file.read_bytes())
    migrate(empty_database_url, before)
    with psycopg.connect(empty_database_url) as conn:
        conn.execute("""
            insert into patient (name, phone, birth_date, language, enrolled_on)
            select 'Ottilie ' || n, '+49 30 5550' || n, '1941-05-09', 'en', '2026-01-01' from generate_series(1, 3) n""")
        conn.execute("""
            insert into patient_zone (patient_id, valid_from, zone, recorded_by)
            select patient_id, '2025-01-01', 'Europe/Berlin', 'test' from patient""")
        conn.execute("insert into gateway (gateway_id, zone) values ('gw', 'Europe/Berlin')")
        conn.execute("select reading_make_room('2026-02-01')")
        conn.execute("""
            insert into reading (patient_id, kind, measured_at, reading_id, gateway_id, meter_id, quality, time_quality, zone,
                                 received_at, decoder)
            select patient_id, 'blood_pressure', '2026-02-01', gen_random_uuid(), 'gw', 'm', 'accepted', 'clock', 'UTC',
                   '2026-02-01', 't' from patient, generate_series(1, 4)""")
        conn.execute("""
            insert into reading_raw select reading_id, convert_to('frame of ' || reading_id, 'UTF8'),
                   case when n % 2 = 0 then 'context'::bytea end, '{"said": "so"}'
            from (select reading_id, row_number() over () n from reading) r""")
        conn.execute("insert into reading_raw values (gen_random_uuid(), 'frame of nobody', null, '{}')")
        conn.execute("insert into webhook (url, secret) values ('https://clinic.example/', 'whsec_of_old')")
        conn.execute("""
            insert into quarantine (gateway_id, reason, meter_id, raw, fingerprint) values
            ('gw', 'unknown_meter', 'm9', 'frame in quarantine', 'f1'), ('gw', 'decode', null, 'frame of old', null)""")
        conn.execute(
            "insert into quarantine_day (gateway_id, day, first_raw, last_raw) values ('gw', '2026-02-01', 'frame 1', 'frame 2')"
        )
    return empty_database_url


def test_what_an_earlier_build_kept_in_plain_is_sealed_by_the_upgrade_even_if_that_is_broken_off(
    old_clinic: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from server.store import vault_upgrade

    monkeypatch.setattr(vault_upgrade, "BATCH", 3)
    calls: list[object] = []

    def cut(safe: Any, *parts: Any) -> Any:
        calls.append(parts)
        if len(calls) == 8:
            raise KeyboardInterrupt
        return vault.seal_frames(safe, *parts)

    monkeypatch.setattr(vault_upgrade, "seal_frames", cut)
    with pytest.raises(KeyboardInterrupt):
        migrate(old_clinic)
    assert [name[5:] for name in migrate(old_clinic)][:2] == ["sealed_rows.sql", "no_remains.sql"]

    with psycopg.connect(old_clinic) as conn:
        patients = [row[0] for row in conn.execute("select patient_id from patient order by 1").fetchall()]
        assert [vault.identity_of(conn, each) for each in patients] == [
            Identity(name=f"Ottilie {n}", phone=f"+49 30 5550{n}", birth_date=date(1941, 5, 9)) for n in (1, 2, 3)
        ]
        opened = frames(conn)
        assert len(opened) == 12
        assert all(each.raw == f"frame of {reading_id}".encode() for reading_id, each in opened.items())
        assert {each.context_raw for each in opened.values()} == {None, b"context"}
        assert {each.sent for each in opened.values()} == {b'{"said": "so"}'}
        assert conn.execute("select count(*), count(patient_id) from reading_raw").fetchone() == (13, 12)
        assert [raw for _, _, raw in quarantined(conn)] == [b"frame in quarantine", b"frame of old"]
        ((webhook_id, secret),) = conn.execute("select webhook_id, secret from webhook").fetchall()
        house = vault.safes(conn, {"house": None})["house"]
        assert house.open(secret, f"webhook.secret/{webhook_id}") == b"whsec_of_old"
        found = everything(conn)
    for said in (b"whsec_of_old", b"Ottilie", b"5550", b"1941-05-09", b"frame of", b"frame in", b"said"):
        assert said not in found
        assert said.hex().encode() not in found


def test_an_upgrade_without_a_key_changes_nothing_and_says_how_to_make_one(
    old_clinic: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(vault_keys.SETTING)
    with pytest.raises(VaultError, match="server vault init"):
        migrate(old_clinic)
    with psycopg.connect(old_clinic) as conn:
        assert conn.execute("select count(*) from patient where name like 'Ottilie%'").fetchone() == (3,)
