"""`homevigil rules backtest` and `export` on a clinic in which people have lived: what they say is what the judge has found."""

import csv
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

import pytest
from moving_clock import install
from population import DAYS, Population, open_life

from homevigil.embedded.postgres import EmbeddedPostgres
from server.rules.load import load_catalog
from server.store.postgres import Pool

PEOPLE = 40
RULE = "bp-above-140-90-3-days"
pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="module")
def clinic(postgres: EmbeddedPostgres, migrated_template: str) -> Iterator[Pool]:
    url = postgres.create_database("backtested", template=migrated_template)
    install(url)
    with open_life(url) as pool:
        with pool.connection() as conn:
            row = conn.execute(
                """insert into app_user (login, display_name, role, password_hash) values ('lin', 'Lin', 'doctor', 'x')
                   returning user_id"""
            ).fetchone()
        assert row is not None
        population = Population(pool=pool, random=Random("backtest"), doctor_id=row[0])
        population.move_in(PEOPLE)
        population.play(timedelta(days=DAYS))
        yield pool
    postgres.drop_database("backtested")


@pytest.fixture(scope="module")
def end(clinic: Pool) -> datetime:
    """The midnight after the newest reading."""
    ((newest,),) = ask(clinic, "select max(measured_at) from reading")
    return datetime(newest.year, newest.month, newest.day, tzinfo=UTC) + timedelta(days=1)


def ask(pool: Pool, statement: str, *values: Any) -> list[tuple[Any, ...]]:
    with pool.connection() as conn:
        return conn.execute(statement, values).fetchall()


def run(pool: Pool, *words: str) -> subprocess.CompletedProcess[str]:
    """`homevigil rules …` on that database."""
    env = os.environ | {"HOMEVIGIL_SERVER_DATABASE_URL": pool.conninfo, "HOMEVIGIL_SERVER_LOG_LEVEL": "error"}
    command = [sys.executable, "-m", "homevigil", "rules", *words]
    return subprocess.run(command, env=env, capture_output=True, text=True, check=False, timeout=120)


def told(pool: Pool, *words: str) -> Any:
    done = run(pool, *words, "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_it_finds_the_alerts_that_the_judge_has_found(clinic: Pool, end: datetime, tmp_path: Path) -> None:
    alerts = tmp_path / "alerts.csv"
    found = told(clinic, "backtest", "catalog", "--days", str(DAYS), "--until", f"{end:%Y-%m-%d}", "--out", str(alerts))
    assert found["patients"] == PEOPLE
    with alerts.open(encoding="utf-8") as source:
        rows = list(csv.DictReader(source))
    assert len(rows) == found["burdens"][0]["alerts"] > 10
    everyone = {rule.id for rule in load_catalog().rules if rule.watch == "everyone"}
    mine = [
        (int(row["patient_id"]), row["rule_id"], datetime.fromisoformat(row["opened_at"]))
        for row in rows
        if row["rule_id"] in everyone
    ]
    stored = ask(
        clinic,
        "select patient_id, rule_id, opened_at from episode where state <> 'retracted' and opened_at >= %s and opened_at < %s",
        end - timedelta(days=DAYS),
        end,
    )
    decided = set(
        ask(
            clinic,
            """select patient_id, rule_id from patient_threshold
               union select patient_id, rule_id from episode where resolved_by is not null""",
        )
    )
    assert sum(each[:2] not in decided for each in stored) > 10
    assert sorted(each for each in mine if each[:2] not in decided) == sorted(
        each for each in stored if each[:2] not in decided
    )


def test_patients_are_chosen_by_number_panel_and_condition(clinic: Pool, end: datetime) -> None:
    common = ("backtest", "catalog", "--until", f"{end:%Y-%m-%d}", "--patients")
    ((first, third),) = ask(clinic, "select min(patient_id), min(patient_id) + 2 from patient where not is_watchdog")
    assert told(clinic, *common, f"{first}-{third}")["patients"] == 3
    ask(clinic, "update patient set conditions = array['E11.9', 'I10'] where patient_id = %s returning 1", first)
    assert told(clinic, *common, "icd10:E10-E14")["patients"] == 1
    on_panel = ask(clinic, "select count(*) from panel_member m join app_user u using (user_id) where u.login = 'lin'")
    assert told(clinic, *common, "panel:lin")["patients"] == on_panel[0][0] > 1
    for whom, says in (("nobody", "say all, numbers"), ("999999", "that is nobody"), ("icd10:heart", "no ICD-10 code")):
        done = run(clinic, *common, whom)
        assert (done.returncode, done.stdout) == (1, "")
        assert says in done.stderr


def test_other_rules_are_compared_on_the_same_past(clinic: Pool, end: datetime, tmp_path: Path) -> None:
    stricter = tmp_path / "stricter.yaml"
    listed = json.loads(run(clinic, "list", "--json").stdout)
    (rule,) = (each for each in listed if each["id"] == RULE)
    for condition, value in zip(rule["when"]["any_of"], (135, 85), strict=True):
        condition["above"] = value
    stricter.write_text(json.dumps({"rules": [rule]}), encoding="utf-8")
    words = ("backtest", "catalog", "--only", RULE, "--compare", str(stricter), "--until", f"{end:%Y-%m-%d}")
    found = told(clinic, *words)
    assert found["burdens"][1]["rule_id"] == found["compared"][1]["rule_id"] == RULE
    assert found["disagreements"]
    said = run(clinic, *words)
    assert said.returncode == 0, said.stderr
    assert f"{len(found['disagreements'])} patients differ" in said.stdout
    assert "nobody was treated by it" in said.stdout


def test_what_is_exported_is_backtested_alike_without_the_database(clinic: Pool, end: datetime, tmp_path: Path) -> None:
    exported = run(clinic, "export", str(tmp_path / "past"), "--days", "36600")
    assert exported.returncode == 0, exported.stderr
    assert exported.stdout.startswith(f"{PEOPLE} patients, ")
    words = ("backtest", "catalog", "--days", "30", "--until", f"{end:%Y-%m-%d}")
    there = told(clinic, *words, "--data", str(tmp_path / "past"), "--out", str(tmp_path / "alerts.parquet"))
    assert there == told(clinic, *words)
    assert (tmp_path / "alerts.parquet").stat().st_size > 0


def test_it_changes_nothing(clinic: Pool, end: datetime) -> None:
    counts = "select (select count(*) from episode), (select count(*) from push), (select count(*) from due)"
    before = ask(clinic, counts)
    told(clinic, "backtest", "catalog", "--until", f"{end:%Y-%m-%d}")
    assert ask(clinic, counts) == before


def test_what_cannot_be_done_is_said(clinic: Pool, tmp_path: Path) -> None:
    for words, code, says in (
        (("backtest", "no-such-file"), 1, "no such file"),
        (("backtest", "catalog", "--only", "nothing"), 1, "no rule called nothing"),
        (("backtest", "catalog", "--out", "alerts.txt"), 2, ".csv or .parquet"),
        (("backtest", "catalog", "--data", str(tmp_path)), 1, "patients.parquet"),
    ):
        done = run(clinic, *words)
        assert done.returncode == code, (words, done.stderr)
        assert says in done.stderr
