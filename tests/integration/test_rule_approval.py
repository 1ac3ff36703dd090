"""A rule judges nobody before a doctor has approved it, word for word; and what was approved judges until another is."""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import psycopg
import pytest
from households import Household, enrol

from homevigil.embedded.postgres import EmbeddedPostgres
from server.clock import now
from server.intake import Intake
from server.judge import Judge
from server.oracle.rules import rules_of
from server.people import accounts, rule_approvals
from server.people.errors import DecisionConflictError, NotAClinicianError, NotOnPanelError, StaleVersionError
from server.people.rule_approvals import Judgment
from server.rules.load import CATALOG, is_scenario, load_catalog
from server.rules.rule import RuleFile, RuleSet
from server.store import rule_book
from server.store.alarms import open_alarms
from server.store.migrate import migrate
from server.store.postgres import Pool, open_pool, transaction
from server.store.recompute import approved_rules
from server.watch.recompute import recompute
from vitals.errors import UnavailableError

RULE = "bp-above-140-90-3-days"
PASSWORD = "a long enough password"
OF_THE_FIRST_RELEASE = {RULE, "bp-critical", "bp-critical-late", "bp-critical-repeat", "check-the-meter"}


@pytest.fixture
def fresh(empty_database_url: str) -> Iterator[Pool]:
    """A new installation: this build's tables, and nothing in them."""
    migrate(empty_database_url)
    with open_pool(empty_database_url) as pool:
        yield pool


@pytest.fixture
def doctor_id(fresh: Pool) -> int:
    return add_user(fresh, "lin", "doctor")


@pytest.fixture
def home(fresh: Pool, doctor_id: int) -> Household:
    with fresh.connection() as conn:
        return enrol(conn, enrolled_on=(now() - timedelta(days=90)).date(), doctor_id=doctor_id)


def add_user(pool: Pool, login: str, role: accounts.Role) -> int:
    with transaction(pool) as conn:
        return accounts.add_user(
            conn, login=login, display_name=f"Dr. {login}", role=role, password=PASSWORD, language="en", now=now()
        )


def ask(pool: Pool, query: str, *args: object) -> list[tuple[Any, ...]]:
    with pool.connection() as conn:
        cursor = conn.execute(query.encode(), args)
        return cursor.fetchall() if cursor.description else []


def enter(pool: Pool, rules: RuleSet) -> tuple[str, ...]:
    with transaction(pool) as conn:
        return rule_book.enter(conn, rules)


def another(version: int, **when: object) -> RuleSet:
    """The catalog with a new version of the three-day rule; `when` replaces parts of what it looks at."""
    written = [rule.model_dump(mode="json", exclude_unset=True, by_alias=True) for rule in load_catalog().rules]
    for each in written:
        if each["id"] == RULE:
            each["version"] = version
            each["when"] |= when
    return RuleSet(RuleFile.model_validate({"rules": written}).rules)


def decide(pool: Pool, user_id: int, version: int = 1, *, role: str = "doctor", what: str = "approve") -> None:
    with transaction(pool) as conn:
        (found,) = [e for e in rule_book.list_versions(conn) if (e.rule_id, e.version) == (RULE, version)]
        judgment = Judgment(
            rule_id=RULE, version=version, sha256=found.sha256, user_id=user_id, role=role, now=now(), note="read"
        )
        getattr(rule_approvals, what)(conn, judgment)


def high_days(pool: Pool, home: Household, systolic: float = 152) -> None:
    readings = [home.pressure(now().replace(microsecond=0) - timedelta(days=back), systolic, 94) for back in (4, 3, 2)]
    Intake(pool).take(home.envelope(*readings), topic_gateway=home.gateway_id)


def judge(pool: Pool) -> list[tuple[Any, ...]]:
    judge = Judge(pool)
    while judge.judge_due():
        pass
    return ask(pool, "select rule_version, state, resolution from episode where rule_id = %s order by 1", RULE)


def waiting(pool: Pool) -> list[str]:
    with transaction(pool) as conn:
        return [alarm.detail for alarm in open_alarms(conn) if alarm.kind == "rules_waiting"]


def test_a_new_installation_judges_nobody_and_says_so_until_a_doctor_approves(
    fresh: Pool, home: Household, doctor_id: int
) -> None:
    enter(fresh, load_catalog())
    high_days(fresh, home)

    assert judge(fresh) == []
    (said,) = waiting(fresh)
    assert said.startswith("no rule is in force: nobody is judged; ")
    decide(fresh, doctor_id)

    assert judge(fresh) == [(1, "active", None)]
    (said,) = waiting(fresh)
    assert f"{RULE} version" not in said
    with transaction(fresh) as conn:
        rule_approvals.approve_waiting(conn, user_id=doctor_id, role="doctor", now=now())
    assert waiting(fresh) == []


def test_an_approval_says_who_when_and_of_which_text(fresh: Pool, doctor_id: int) -> None:
    enter(fresh, load_catalog())
    decide(fresh, doctor_id)

    with transaction(fresh) as conn:
        (found,) = [each for each in rule_book.list_versions(conn) if each.is_in_force]
    assert (found.rule_id, found.approved_by, found.note) == (RULE, "Dr. lin", "read")
    assert found.sha256 == rule_book.hash_of(found.content)
    assert found.written["source"] == load_catalog().by_id(RULE).source


def test_every_rule_of_the_catalog_comes_back_as_it_was_written_for_judge_and_oracle(
    fresh: Pool, doctor_id: int
) -> None:
    enter(fresh, load_catalog())
    with transaction(fresh) as conn:
        rule_approvals.approve_waiting(conn, user_id=doctor_id, role="doctor", now=now())
    with transaction(fresh) as conn:
        judged = rule_book.in_force(conn).rules
        compared = rules_of(approved_rules(conn).text)
    files = [file for file in sorted(CATALOG.glob("*.yaml")) if not is_scenario(file)]
    written = [rule for file in files for rule in rules_of(file.read_text(encoding="utf-8"))]

    assert sorted(judged, key=lambda rule: rule.id) == sorted(load_catalog().rules, key=lambda rule: rule.id)
    assert sorted(compared, key=lambda rule: rule.id) == sorted(written, key=lambda rule: rule.id)


def test_a_new_version_waits_and_the_one_before_judges_until_it_is_approved(
    fresh: Pool, home: Household, doctor_id: int
) -> None:
    enter(fresh, load_catalog())
    decide(fresh, doctor_id)
    high_days(fresh, home)
    judge(fresh)

    enter(fresh, another(2, days=2, max_span_days=5))
    ask(fresh, "insert into due (patient_id, due_at, since, reason) select patient_id, now(), now(), 'x' from patient")
    assert judge(fresh) == [(1, "active", None)]
    assert f"{RULE} version 2" in waiting(fresh)[0]
    decide(fresh, doctor_id, version=2)

    assert judge(fresh) == [(1, "resolved", "rule_changed"), (2, "active", None)]
    assert ask(fresh, "select count(*) from push where kind = 'retraction'") == [(0,)]
    reasons = ask(fresh, "select reason from episode_transition order by transition_id")
    assert [reason for (reason,) in reasons] == ["found", "rule_changed", "found"]
    found = recompute(fresh, threading.Event(), patience_s=0.0)
    assert found is not None
    assert found.differences == ()


def test_an_edited_text_under_the_same_version_is_refused_with_an_alarm(
    fresh: Pool, home: Household, doctor_id: int
) -> None:
    enter(fresh, load_catalog())
    decide(fresh, doctor_id)
    high_days(fresh, home)

    assert enter(fresh, another(1, days=31, max_span_days=31)) == (RULE,)
    with transaction(fresh) as conn:
        (alarm,) = [each for each in open_alarms(conn) if each.kind == "rule_edited"]

    assert (alarm.subject, "another text" in alarm.detail) == (RULE, True)
    assert judge(fresh) == [(1, "active", None)]  # by the text that was approved
    assert enter(fresh, load_catalog()) == ()
    with transaction(fresh) as conn:
        assert [each for each in open_alarms(conn) if each.kind == "rule_edited"] == []


def test_a_text_changed_behind_our_back_judges_nobody(fresh: Pool, home: Household, doctor_id: int) -> None:
    enter(fresh, load_catalog())
    decide(fresh, doctor_id)
    with pytest.raises(psycopg.errors.RestrictViolation, match="append-only"):
        ask(fresh, "update rule_version set content = '{}'")
    ask(fresh, "alter table rule_version disable trigger all")
    ask(fresh, "update rule_version set content = replace(content, '140.0', '190.0') where rule_id = %s", RULE)
    high_days(fresh, home)

    with pytest.raises(UnavailableError, match="is not what was approved"):
        judge(fresh)
    assert ask(fresh, "select count(*) from due where due_at <= now()") != [(0,)]


def test_servers_of_two_releases_judge_alike(fresh: Pool, home: Household, doctor_id: int) -> None:
    enter(fresh, load_catalog())
    decide(fresh, doctor_id)
    older, newer = Judge(fresh), Judge(fresh)
    older.judge_due()
    enter(fresh, another(2, days=2, max_span_days=5))  # the newer release has started
    decide(fresh, doctor_id, version=2)
    enter(fresh, load_catalog())  # and the older one once more
    high_days(fresh, home)

    while older.judge_due():
        pass
    assert ask(fresh, "select rule_version, state from episode") == [(2, "active")]
    assert newer.judge_due() == 0


def test_a_release_that_cannot_read_what_is_in_force_leaves_it_to_another(
    fresh: Pool, home: Household, doctor_id: int
) -> None:
    enter(fresh, load_catalog())
    content = '{"id":"of-tomorrow","version":1,"when":{"kind":"dreams"}}'
    ask(fresh, "insert into rule_version values ('of-tomorrow', 1, %s, %s)", content, rule_book.hash_of(content))
    with transaction(fresh) as conn:
        rule_approvals.approve_waiting(conn, user_id=doctor_id, role="doctor", now=now())
    high_days(fresh, home)

    with pytest.raises(UnavailableError, match="run the newer one"):
        judge(fresh)
    assert ask(fresh, "select 1 from episode") == []


def test_a_rule_that_is_withdrawn_ends_its_alerts_and_takes_nothing_back(
    fresh: Pool, home: Household, doctor_id: int
) -> None:
    enter(fresh, load_catalog())
    decide(fresh, doctor_id)
    high_days(fresh, home)
    judge(fresh)

    decide(fresh, doctor_id, what="withdraw")

    assert judge(fresh) == [(1, "resolved", "rule_withdrawn")]
    assert ask(fresh, "select count(*) from push where kind = 'retraction'") == [(0,)]
    found = recompute(fresh, threading.Event(), patience_s=0.0)
    assert found is not None
    assert found.differences == ()
    decide(fresh, doctor_id)
    assert judge(fresh) == [(1, "active", None)]


def test_what_was_decided_against_waits_no_more(fresh: Pool, doctor_id: int) -> None:
    enter(fresh, load_catalog())
    decide(fresh, doctor_id, what="withdraw")

    assert f"{RULE} version" not in waiting(fresh)[0]
    with pytest.raises(DecisionConflictError):
        decide(fresh, doctor_id, what="withdraw")


def test_only_a_doctor_decides_and_only_about_the_text_that_was_read(fresh: Pool, doctor_id: int) -> None:
    enter(fresh, load_catalog())
    for role in ("nurse", "admin"):
        with pytest.raises(NotAClinicianError):
            decide(fresh, doctor_id, role=role)
    for change, error in (({"sha256": "0" * 64}, StaleVersionError), ({"version": 9}, NotOnPanelError)):
        said = {"rule_id": RULE, "version": 1, "sha256": "0" * 64, "user_id": doctor_id, "role": "doctor", "now": now()}
        with pytest.raises(error), transaction(fresh) as conn:
            rule_approvals.approve(conn, Judgment(**(said | change)))  # type: ignore[arg-type]
    assert ask(fresh, "select 1 from rule_approval") == []


def test_two_who_approve_at_once_leave_one_approval_in_force(fresh: Pool, doctor_id: int) -> None:
    enter(fresh, load_catalog())
    found: list[str] = []

    def approve() -> None:
        try:
            decide(fresh, doctor_id)
            found.append("done")
        except DecisionConflictError:
            found.append("so already")

    threads = [threading.Thread(target=approve) for _ in range(4)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert sorted(found) == ["done", "so already", "so already", "so already"]
    assert ask(fresh, "select count(*) from rule_approval") == [(1,)]


def test_an_upgrade_stops_nobodys_alerts_and_lets_no_new_rule_in(own_postgres: EmbeddedPostgres, tmp_path: Any) -> None:
    url = own_postgres.create_database("clinic")
    migrate(url, _migrations_before_0017(tmp_path))
    with open_pool(url) as pool:
        doctor_id = add_user(pool, "lin", "doctor")
        ask(pool, "insert into patient (name, language, enrolled_on) values ('Wang', 'zh', '2026-01-01')")
        migrate(url)
        with pool.connection() as conn:
            home = enrol(conn, enrolled_on=(now() - timedelta(days=90)).date(), doctor_id=doctor_id)
        high_days(pool, home)  # all of it by this build's doors: the tables of then lack what they write
        assert judge(pool) == [(1, "active", None)]

        enter(pool, another(2, days=2, max_span_days=5))
        enter(pool, load_catalog())

        ask(
            pool,
            "insert into due (patient_id, due_at, since, reason) select patient_id, now(), now(), 'x' from patient",
        )
        assert judge(pool) == [(1, "active", None)]
        in_force = ask(
            pool, "select rule_id, version, approved_by from rule_approval where ended_at is null order by 1"
        )
        assert in_force == [(rule_id, 1, None) for rule_id in sorted(OF_THE_FIRST_RELEASE)]
        assert f"{RULE} version 2" in waiting(pool)[0]


def _migrations_before_0017(folder: Any) -> Any:
    from server.store.migrate import MIGRATIONS

    for file in MIGRATIONS.glob("*.sql"):
        if file.name < "0017":
            (folder / file.name).write_text(file.read_text(encoding="utf-8"), encoding="utf-8")
    return folder


def command(url: str, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "homevigil", "rules", *words],
        env={**os.environ, "HOMEVIGIL_SERVER_DATABASE_URL": url},
        input=f"{PASSWORD}\n",
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_set_up_by_command_approves_with_the_doctors_own_password(
    fresh: Pool, doctor_id: int, empty_database_url: str
) -> None:
    add_user(fresh, "boss", "admin")
    before = command(empty_database_url, "status")
    refused = command(empty_database_url, "approve", RULE, "--by", "boss", "--password-stdin")
    wrong = command(empty_database_url, "approve", RULE, "--by", "nobody", "--password-stdin")
    one = command(empty_database_url, "approve", RULE, "--by", "lin", "--password-stdin")
    rest = command(empty_database_url, "approve", "--all", "--by", "lin", "--password-stdin")
    gone = command(
        empty_database_url, "withdraw", "check-the-meter", "--by", "lin", "--password-stdin", "--note", "noisy"
    )
    after = command(empty_database_url, "status", "--json")

    assert (before.returncode, f"{RULE}  v1" in before.stdout, "waits for a doctor" in before.stdout) == (1, True, True)
    assert (refused.returncode, "only a doctor" in refused.stderr) == (1, True)
    assert (wrong.returncode, "do not fit" in wrong.stderr) == (1, True)
    assert one.stdout == f"{RULE} version 1: in force\n", one.stderr
    assert rest.stdout.count(": in force") == len(load_catalog().rules) - 1
    assert gone.stdout == "check-the-meter version 1: not in force\n", gone.stderr
    assert after.returncode == 0, after.stderr
    states = {each["rule_id"]: each["is_in_force"] for each in json.loads(after.stdout)}
    assert states == {rule.id: rule.id != "check-the-meter" for rule in load_catalog().rules}
