"""Records given to research: only of those who agree, and nobody is to be found in them."""

import csv
import hashlib
import json
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from fix_clinic import PASSWORD, Clinic, local_at
from typer.testing import CliRunner, Result

from server import clock, terminal
from server.config import Settings
from server.people import consents, erasure, research
from server.people.consents import Saying
from server.people.errors import DecisionConflictError, NotOnPanelError
from server.people.research import Actor, Made
from server.people.research_columns import TABLES
from server.research_commands import app
from server.store.consents import Purpose
from server.store.postgres import transaction
from vitals.errors import MalformedError

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "research-export.md"
SEVERAL = 6


@pytest.fixture
def house(clinic: Clinic) -> dict[int, str]:
    """Six women of 61 in Shanghai who agree, a man of 90 who does, and a woman who was not asked: number and name."""
    lin, _ = clinic.add_user("lin"), clinic.add_user("admin", role="admin")
    people = {}
    for n in range(SEVERAL + 2):
        is_man = n == SEVERAL
        name = f"Unverwechselbar{n:02d} 王秀英"
        number = clinic.add_patient(
            name,
            lin,
            phone=f"+86 21 7777 {1000 + n}",
            sex="male" if is_man else "female",
            birth_date=date(1935, 3, 1) if is_man else date(clock.now().year - 61, 1, 1),
            conditions=["I10", "G35"] if n == 0 else ["I10"],
        )
        people[number] = name
        clinic.rows("insert into gateway (gateway_id, zone) values ('gw-1', 'Asia/Shanghai') on conflict do nothing")
        for back in (60, 59, 58, 40, 2):
            for hour in (7, 19):
                clinic.add_pressure(number, local_at(back, hour, 10 + n), 150 + n, 94, reasons=("irregular_pulse",))
        clinic.judge(number)
        if n <= SEVERAL:
            say(clinic, number, given=True)
    return people


def say(clinic: Clinic, patient_id: int, *, given: bool) -> None:
    with transaction(clinic.pool) as conn:
        consents.say(
            conn,
            Saying(
                patient_id=patient_id,
                purpose=Purpose.RESEARCH,
                is_given=given,
                how="paper",
                actor="cli:test",
                now=clock.now(),
            ),
        )


def actor(clinic: Clinic, login: str) -> Actor:
    ((found,),) = [tuple(row.values()) for row in clinic.rows("select user_id from app_user where login = %s", login)]
    role = "admin" if login == "admin" else "doctor"
    return Actor(user_id=int(str(found)), role=role, now=clock.now())


def begin(clinic: Clinic, name: str) -> None:
    with transaction(clinic.pool) as conn:
        research.ask(conn, actor(clinic, "lin"), name=name, purpose="Pressure at home")
        research.approve(conn, actor(clinic, "admin"), name)


def give(clinic: Clinic, name: str, folder: Path) -> Made:
    folder.mkdir()
    with transaction(clinic.pool) as conn:
        return research.export(conn, actor(clinic, "lin"), name, folder)


def rows(folder: Path, table: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = pq.read_table(folder / f"{table}.parquet").to_pylist()
    return found


def test_only_those_who_agree_are_in_it_and_nobody_can_be_found(
    clinic: Clinic, house: dict[int, str], tmp_path: Path
) -> None:
    begin(clinic, "surge")
    made = give(clinic, "surge", tmp_path / "one")
    one = tmp_path / "one"

    patients = rows(one, "patients")
    assert made.patients == len(patients) == SEVERAL, "the man of 90 would stand out, and one was not asked"
    assert (made.crowd.left_out, made.hidden_conditions) == (1, 1)
    assert {(each["sex"], each["age_band"], each["zone"], *each["conditions"]) for each in patients} == {
        ("female", "60-64", "Asia/Shanghai", "I10")
    }

    everything = "".join(path.read_bytes().decode("utf-8", "replace") for path in one.iterdir())
    everything += json.dumps([rows(one, table) for table in TABLES], default=str, ensure_ascii=False)
    ids = clinic.rows("select reading_id::text as id from reading union select episode_id::text from episode")
    hidden = [*house.values(), "王秀英", "7777", "+86", "F0:00:00", "gw-1", *(str(each["id"]) for each in ids)]
    assert len(ids) > 80
    assert [said for said in hidden if said in everything] == []
    numbers = {
        value for table in TABLES for row in rows(one, table) for value in row.values() if isinstance(value, str)
    }
    assert not numbers & {str(number) for number in house}

    manifest = json.loads((one / "manifest.json").read_text())
    assert manifest["hidden"]["left_out"] == "fewer than 5"
    assert set(manifest["sha256"]) == {path.name for path in one.iterdir()} - {"manifest.json"}
    for name, digest in manifest["sha256"].items():
        assert hashlib.sha256((one / name).read_bytes()).hexdigest() == digest
    assert hashlib.sha256((one / "manifest.json").read_bytes()).hexdigest() == made.digest
    (noted,) = clinic.rows("select subject, patient_id, detail from audit_entry where act = 'research.export'")
    assert (noted["subject"], noted["patient_id"]) == ("surge", None)
    assert noted["detail"]["digest"] == made.digest  # type: ignore[index]


def test_values_intervals_and_times_of_day_are_true_and_dates_are_not(
    clinic: Clinic, house: dict[int, str], tmp_path: Path
) -> None:
    begin(clinic, "surge")
    made = give(clinic, "surge", tmp_path / "one")
    readings, alerts = rows(tmp_path / "one", "readings"), rows(tmp_path / "one", "alerts")
    assert (len(readings), len(alerts)) == (made.readings, made.alerts)
    by_patient: dict[str, list[dict[str, Any]]] = {}
    for row in readings:
        by_patient.setdefault(row["patient"], []).append(row)
    true = [local_at(back, 7, 0) for back in (60, 59, 58, 40)]
    for own in by_patient.values():
        assert [row["n"] for row in own] == list(range(1, len(own) + 1))
        assert {(row["quality"], row["time_quality"], *row["quality_reasons"]) for row in own} == {
            ("accepted", "corrected", "irregular_pulse")
        }
        assert {row["diastolic_mmhg"] for row in own} == {94.0}
        minute = int(own[0]["systolic_mmhg"]) - 150
        mornings = [row["measured_at"] for row in own if row["measured_at"].hour == 7][:4]
        assert {(at.hour, at.minute) for at in mornings} == {(7, 10 + minute)}
        assert [b - a for a, b in pairwise(mornings)] == [b - a for a, b in pairwise(true)]
        shift = datetime.combine(true[0].astimezone(UTC).date(), mornings[0].time()) - mornings[0]
        assert abs(shift) >= timedelta(days=6)
    assert len(by_patient) == SEVERAL
    assert {row["rule_id"] for row in alerts} != set()


def test_the_same_project_says_the_same_names_and_another_project_others(
    clinic: Clinic, house: dict[int, str], tmp_path: Path
) -> None:
    for name in ("surge", "other"):
        begin(clinic, name)
    for name, folder in (("surge", "one"), ("surge", "two"), ("other", "three")):
        give(clinic, name, tmp_path / folder)
    one, two, three = (
        {row["patient"] for row in rows(tmp_path / each, "patients")} for each in ("one", "two", "three")
    )
    assert one == two
    assert not one & three
    meters = [{row["meter"] for row in rows(tmp_path / each, "readings")} for each in ("one", "three")]
    assert not meters[0] & meters[1]


def test_who_takes_it_back_or_is_erased_is_in_no_later_export_and_is_named_to_be_deleted(
    clinic: Clinic, house: dict[int, str], tmp_path: Path
) -> None:
    begin(clinic, "surge")
    give(clinic, "surge", tmp_path / "one")
    before = {row["patient"] for row in rows(tmp_path / "one", "patients")}
    first, *_, man, unasked = house
    say(clinic, first, given=False)
    say(clinic, unasked, given=True)

    give(clinic, "surge", tmp_path / "two")
    after = {row["patient"] for row in rows(tmp_path / "two", "patients")}
    (gone,) = before - after
    assert len(after) == SEVERAL
    assert list(csv.DictReader((tmp_path / "two" / "delete.csv").read_text().splitlines())) == [{"patient": gone}]
    with transaction(clinic.pool) as conn:
        assert research.gone(conn, "surge") == [gone]
        wish = erasure.Wish(
            patient_id=unasked, reason="asked", by="lin", second="admin", actor="cli:test", now=clock.now()
        )
        erasure.erase(conn, wish, clinical_years=0)
        assert len(research.gone(conn, "surge")) == 2
    for number in (list(house)[1], man):
        say(clinic, number, given=False)
    with pytest.raises(MalformedError, match="at least 5"):
        give(clinic, "surge", tmp_path / "three")


def test_two_people_let_it_begin_and_nothing_comes_out_before_or_after(
    clinic: Clinic, house: dict[int, str], tmp_path: Path
) -> None:
    lin, admin = actor(clinic, "lin"), actor(clinic, "admin")
    with transaction(clinic.pool) as conn:
        research.ask(conn, lin, name="surge", purpose="Pressure at home")
        with pytest.raises(DecisionConflictError):
            research.ask(conn, lin, name="surge", purpose="again")
        with pytest.raises(MalformedError, match="approved"):
            research.export(conn, lin, "surge", tmp_path)
        with pytest.raises(MalformedError, match="other than"):
            research.approve(conn, lin, "surge")
        with pytest.raises(MalformedError):
            research.approve(conn, Actor(user_id=admin.user_id, role="nurse", now=clock.now()), "surge")
        with pytest.raises(NotOnPanelError):
            research.approve(conn, admin, "nothing")
        research.approve(conn, admin, "surge")
        research.end(conn, lin, "surge")
        with pytest.raises(MalformedError, match="ended"):
            research.export(conn, lin, "surge", tmp_path)
    assert clinic.rows("select wrapped from data_key where holder like 'research:%%' and wrapped is not null") == []
    acts = [row["act"] for row in clinic.rows("select act from audit_entry where act like 'research.%%' order by 1")]
    assert acts == ["research.approve", "research.ask", "research.end"]


def test_the_commands_ask_for_a_password_and_leave_a_whole_folder_or_none(
    clinic: Clinic, house: dict[int, str], tmp_path: Path, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOMEVIGIL_SERVER_DATABASE_URL", database_url)

    monkeypatch.setattr(terminal, "load_settings", lambda: Settings())  # it would send this process's log elsewhere

    def research_command(*words: str, password: str = PASSWORD) -> Result:
        return CliRunner().invoke(app, [*words, "--password-stdin"], input=password + "\n")

    out = tmp_path / "out"
    assert research_command("ask", "surge", "--purpose", "x", "--by", "lin", password="wrong").exit_code == 1
    assert research_command("ask", "surge", "--purpose", "x", "--by", "lin").exit_code == 0
    refused = research_command("export", "surge", "--out", str(out), "--by", "lin")
    assert (refused.exit_code, "approve" in refused.stderr, list(tmp_path.iterdir())) == (1, True, [])
    assert research_command("approve", "surge", "--by", "admin").exit_code == 0
    done = research_command("export", "surge", "--out", str(out), "--by", "lin")
    assert done.exit_code == 0, done.output
    assert "6 patients" in done.stdout
    assert out.stat().st_mode & 0o077 == 0
    assert list(tmp_path.iterdir()) == [out]


def test_every_column_is_in_the_reference() -> None:
    page = PAGE.read_text(encoding="utf-8")
    said = [line for line in page.splitlines() if line.startswith("| `")]
    for columns in TABLES.values():
        for each in columns:
            assert f"| `{each.name}` | {each.kind} | {each.unit} | {each.en} | {each.source} |" in said
            assert each.zh
