"""Who was let in as a gateway, by whose code, and who was not: every act leaves a row, and nobody changes one."""

import asyncio
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import msgspec
import psycopg
import pytest
from cryptography import x509
from households import Household, enrol
from integration.test_gateway_enrolment import ISSUER, Clinic, become, clinic_of
from unit.gateway.samples import NOW

from gateway import enrolment as box
from gateway.enrolment import RefusedError
from gateway.identity import Identity
from server.clock import now
from server.store import admissions
from server.store.admissions import REFUSALS_PER_HOUR, Act, AdmissionEvent, Standing
from server.store.postgres import Pool
from server.trust import claims, standing


@pytest.fixture
def home(pool: Pool) -> Household:
    with pool.connection() as conn:
        return enrol(conn, enrolled_on=(now() - timedelta(days=90)).date())


@pytest.fixture
def clinic(pool: Pool, database_url: str, tmp_path: Path) -> Iterator[Clinic]:
    with clinic_of(pool, database_url, tmp_path, made_at=now()) as clinic:
        yield clinic


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "box" / "identity"


def events(clinic: Clinic, gateway_id: str | None = None) -> list[AdmissionEvent]:
    """The oldest first."""
    with clinic.pool.connection() as conn:
        return list(admissions.list_events(conn, gateway_id))[::-1]


def acts(clinic: Clinic) -> list[Act]:
    return [Act(each.act) for each in events(clinic)]


def standing_of(clinic: Clinic) -> Standing:
    with clinic.pool.connection() as conn:
        (found,) = admissions.list_standings(conn, now=now())
    return found


def serial_of(identity: Identity) -> str:
    return f"{x509.load_pem_x509_certificate(identity.certificate_file.read_bytes()).serial_number:x}"


def test_every_act_of_a_gateways_life_leaves_a_row_that_says_who(
    clinic: Clinic, home: Household, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    invitation = clinic.invite(home.gateway_id)
    wrong = "222222" if invitation.code != "222222" else "333333"
    with pytest.raises(RefusedError):
        become(folder, msgspec.structs.replace(invitation, code=wrong))
    with monkeypatch.context() as lost:
        lost.setattr(box, "_take_up", lambda *_: (_ for _ in ()).throw(OSError("the plug was pulled")))
        with pytest.raises(OSError, match="plug"):
            become(folder, invitation)
    first = become(folder, invitation)
    first_serial = serial_of(first)
    with pytest.raises(RefusedError, match="renewed from"):
        box.renew(first, is_time_known=True)
    clinic.age(home.gateway_id, 61)
    second_serial = serial_of(box.renew(first, is_time_known=True))
    with clinic.pool.connection() as conn:
        assert standing.revoke(conn, home.gateway_id, by="lin", reason="stolen", now=now()) == 2
        standing.restore(conn, home.gateway_id, by="wang", now=now())
    told = [(each.act, each.by_login, each.asked_from, each.serial, each.detail) for each in events(clinic)]
    here = "127.0.0.1"
    both = sorted((first_serial, second_serial))
    assert told == [
        (Act.CLAIM_MADE, ISSUER, None, None, None),
        (Act.CLAIM_REFUSED, None, here, None, "claim"),
        (Act.ADMITTED, None, here, first_serial, None),
        (Act.ADMITTED_AGAIN, None, here, first_serial, None),
        (Act.RENEWAL_REFUSED, None, here, first_serial, "too_early"),
        (Act.RENEWED, None, here, second_serial, None),
        (Act.GATEWAY_REVOKED, "lin", None, None, "stolen"),
        (Act.CERTIFICATE_REVOKED, "lin", None, both[0], "stolen"),
        (Act.CERTIFICATE_REVOKED, "lin", None, both[1], "stolen"),
        (Act.GATEWAY_RESTORED, "wang", None, None, None),
    ]
    assert {each.gateway_id for each in events(clinic)} == {home.gateway_id}
    assert invitation.code not in str(told)


def test_a_box_in_the_place_of_another_is_told_of_with_what_ended(
    clinic: Clinic, home: Household, folder: Path
) -> None:
    before = serial_of(become(folder, clinic.invite(home.gateway_id)))
    become(folder.with_name("another"), clinic.invite(home.gateway_id))
    (ended,) = [each for each in events(clinic) if each.act == Act.CERTIFICATE_REVOKED]
    assert (ended.serial, ended.by_login, ended.detail) == (before, None, "another box was enrolled in its place")


@pytest.mark.parametrize("statement", ["update {} set by_login = 'x'", "delete from {}", "truncate {}"])
def test_no_row_is_changed_or_taken_away(clinic: Clinic, home: Household, statement: str) -> None:
    clinic.invite(home.gateway_id)
    with pytest.raises(psycopg.errors.RestrictViolation), clinic.pool.connection() as conn:
        conn.execute(statement.format("admission_event").encode())
    assert acts(clinic) == [Act.CLAIM_MADE]


def test_whoever_knocks_for_ever_fills_no_table_and_the_last_row_says_so(clinic: Clinic, home: Household) -> None:
    def knock(at: int) -> None:
        given = claims.admit(
            conn,
            clinic.authority,
            gateway_id=f"guess-{at}",
            code="AAAAAA",
            request="",
            now=NOW + timedelta(seconds=at),
            asked_from="203.0.113.9",
        )
        assert given == claims.NO_SUCH_CLAIM

    with clinic.pool.connection() as conn:
        for at in range(REFUSALS_PER_HOUR + 20):
            knock(at)
        kept = events(clinic) or list(admissions.list_events(conn))[::-1]
        assert len(kept) == REFUSALS_PER_HOUR
        assert [each.detail for each in kept[-2:]] == ["claim", "claim" + admissions.AND_MORE]
        knock(3700)
        assert len(admissions.list_events(conn)) == REFUSALS_PER_HOUR + 1


def test_a_certificate_that_nobody_here_has_given_is_refused_and_told_of(
    clinic: Clinic, home: Household, folder: Path
) -> None:
    """Signed by the authority, and not in the database: one from before a restored backup, or of a stolen key."""
    identity = become(folder, clinic.invite(home.gateway_id))
    with clinic.pool.connection() as conn:
        conn.execute("update gateway_claim set serial = null")
        conn.execute("delete from gateway_certificate")
    with pytest.raises(RefusedError, match="enrol this gateway anew"):
        box.renew(identity, is_time_known=True)
    last = events(clinic)[-1]
    assert (last.act, last.gateway_id, last.serial) == (Act.RENEWAL_REFUSED, None, serial_of(identity))


def test_how_a_gateway_stands_is_said_at_every_step(clinic: Clinic, home: Household, folder: Path) -> None:
    assert standing_of(clinic).certificate_ends_at is None
    invitation = clinic.invite(home.gateway_id)
    open_until = standing_of(clinic).claim_open_until
    assert open_until is not None
    assert open_until - now() < claims.LASTS
    identity = become(folder, invitation)
    stands = standing_of(clinic)
    assert (stands.certificate_serial, stands.certificate_ends_at, stands.good_certificates) == (
        serial_of(identity),
        identity.facts.ends_at,
        1,
    )
    assert stands.claim_open_until is None
    clinic.age(home.gateway_id, 61)
    renewed = box.renew(identity, is_time_known=True)
    stands = standing_of(clinic)
    assert (stands.certificate_serial, stands.good_certificates) == (serial_of(renewed), 2)
    with clinic.pool.connection() as conn:
        standing.revoke(conn, home.gateway_id, by="lin", reason="lost", now=now())
    stands = standing_of(clinic)
    assert (stands.state, stands.good_certificates) == ("revoked", 0)
    assert stands.certificate_revoked_at is not None


async def test_two_boxes_with_one_code_at_once_and_one_of_them_is_the_gateway(
    clinic: Clinic, home: Household, folder: Path
) -> None:
    invitation = clinic.invite(home.gateway_id)
    tried = await asyncio.gather(
        *(asyncio.to_thread(become, folder.with_name(f"box-{n}"), invitation) for n in range(4)),
        return_exceptions=True,
    )
    assert sorted(type(each).__name__ for each in tried) == ["Identity", *["RefusedError"] * 3]
    assert clinic.certificates() == [(home.gateway_id, True)]
    assert sorted(acts(clinic)) == sorted([Act.CLAIM_MADE, Act.ADMITTED, *[Act.CLAIM_REFUSED] * 3])
