"""The database's own wall: a request in a person's name meets that person's patients, whatever the statement forgets to say."""

from dataclasses import dataclass

import psycopg
import pytest
from fix_clinic import Clinic
from psycopg import errors

from homevigil.embedded.postgres import EmbeddedPostgres
from server import clock
from server.store.migrate import migrate
from server.store.postgres import Connection, Pool, Walled, in_transaction, open_pool, transaction

MINE, THEIRS = "Wang Xiuying", "Zhao Tiezhu"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ward:
    """Two doctors, a patient of each with readings and an alert."""

    clinic: Clinic
    me: int
    mine: int
    other: int
    theirs: int

    def walled(self, user_id: int | None = None) -> Pool:
        return Walled(pool=self.clinic.pool, user_id=self.me if user_id is None else user_id, now=clock.now)


@pytest.fixture
def ward(clinic: Clinic) -> Ward:
    me, other = clinic.add_user("me"), clinic.add_user("other")
    mine, _ = clinic.high_patient(MINE, me)
    theirs, _ = clinic.high_patient(THEIRS, other)
    return Ward(clinic=clinic, me=me, mine=mine, other=other, theirs=theirs)


def patients_in(conn: Connection, table: str) -> set[int]:
    return {row[0] for row in conn.execute(f"select distinct patient_id from {table}".encode()).fetchall()}


WITH_PATIENTS = (
    "select relname from pg_class c where relnamespace = 'public'::regnamespace and relkind in ('r', 'p') and {}"
)
NAMES_A_PATIENT = """(exists (select from pg_attribute a where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
    and a.attname in ('patient_id', 'episode_id', 'stored_as', 'to_patient_id', 'reading_id', 'push_id', 'follow_up_id'))
  or exists (select from pg_constraint f where f.conrelid = c.oid and f.contype = 'f' and f.confrelid in
    ('patient'::regclass, 'episode'::regclass, 'push'::regclass, 'follow_up'::regclass)))"""
IS_OPEN_TO_PEOPLE = "has_any_column_privilege('homevigil_people', c.oid, 'select, insert, update, references')"


def test_people_call_no_function_with_rights_of_its_own_but_those_that_tell_whom_they_see(clinic: Clinic) -> None:
    found = clinic.rows(
        """select proname from pg_proc
           where prosecdef and pronamespace = 'public'::regnamespace and prorettype <> 'trigger'::regtype
             and has_function_privilege('homevigil_people', oid, 'execute')"""
    )
    assert {row["proname"] for row in found} == {"wall_patients", "quarantine_is_seen"}


def test_whoever_forgets_to_ask_whose_it_is_still_meets_the_own_patients_alone(ward: Ward) -> None:
    with transaction(ward.walled()) as conn:
        for table in (
            "patient",
            "patient_zone",
            "episode",
            "reading",
            "reading_in_use",
            "reading_on_record",
            "push",
            "due",
        ):
            assert patients_in(conn, table) <= {ward.mine}, table
        for table in ("patient", "episode", "reading", "reading_in_use", "reading_on_record"):
            assert patients_in(conn, table) == {ward.mine}, table
        assert conn.execute("select count(*) from episode_transition").fetchone() == (1,)
    with transaction(ward.clinic.pool) as conn:
        assert patients_in(conn, "reading") == {ward.mine, ward.theirs}, "the house itself sees everybody"


def test_nothing_is_left_on_the_connection_for_the_next_request(ward: Ward, database_url: str) -> None:
    with open_pool(database_url, min_size=1, max_size=1) as pool:
        one = Walled(pool=pool, user_id=ward.me, now=clock.now)
        another = Walled(pool=pool, user_id=ward.other, now=clock.now)
        for _ in range(3):
            with transaction(one) as conn:
                assert patients_in(conn, "patient") == {ward.mine}
            with transaction(another) as conn:
                assert patients_in(conn, "patient") == {ward.theirs}
            with pytest.raises(errors.DivisionByZero), transaction(one) as conn:
                conn.execute("select 1 / 0")
            with transaction(pool) as conn:
                assert conn.execute(
                    "select current_user = session_user, wall_user() is null, current_setting('search_path') !~ 'people'"
                ).fetchone() == (True, True, True)
    assert in_transaction(ward.walled(), lambda conn: patients_in(conn, "patient")) == {ward.mine}


def test_who_is_nobody_sees_nobody(ward: Ward) -> None:
    with transaction(ward.clinic.pool) as conn:
        conn.execute("set local role homevigil_people; set local search_path to people, public")
        assert patients_in(conn, "patient") == set()
        assert patients_in(conn, "reading_in_use") == set()


@pytest.mark.parametrize(
    "statement",
    [
        "select from public.reading",
        "select from public.reading_in_use",
        "select from public.panel_member",
        "select password_hash from app_user",
        "select from user_session",
        "select from audit_key",
        "select secret from webhook",
        "delete from patient",
        "create table public.mine (a int)",
        "create view people.mine_too as select 1",
    ],
)
def test_people_have_no_right_to_what_no_wall_can_stand_around(ward: Ward, statement: str) -> None:
    with pytest.raises(errors.InsufficientPrivilege), transaction(ward.walled()) as conn:
        conn.execute(statement.encode())


def test_no_chunk_and_no_partition_is_open_to_people(ward: Ward) -> None:
    parts = ward.clinic.rows(
        "select inhrelid::regclass::text as part, has_table_privilege('homevigil_people', inhrelid, 'select') as is_open"
        " from pg_inherits where inhparent = 'public.reading'::regclass"
    )
    assert parts
    assert not [row for row in parts if row["is_open"]]


def test_a_condition_of_whoever_asks_never_meets_a_row_that_is_not_shown(ward: Ward) -> None:
    """A plain view lets it: the planner may try a cheap condition first, and what it says of each row is heard."""
    probe = """create or replace function people_probe(reading_id uuid) returns boolean language plpgsql cost 0.0001 as
               $$ begin raise notice 'met %', reading_id; return true; end $$"""
    with transaction(ward.clinic.pool) as conn:
        conn.execute(probe)
        conn.execute(
            "create view people.plain as select r.* from public.reading_in_use r"
            " where patient_id in (select patient_id from people.mine)"
        )
        conn.execute("create view people.open as select * from public.reading_in_use")
        conn.execute("grant select on people.plain, people.open to homevigil_people")
    theirs = {
        str(row["reading_id"])
        for row in ward.clinic.rows("select reading_id from reading where patient_id = %s", ward.theirs)
    }

    def met(view: str) -> set[str]:
        heard: list[str] = []
        with transaction(ward.walled()) as conn:
            conn.add_notice_handler(lambda notice: heard.append(str(notice.message_primary)))
            conn.execute(f"select count(*) from {view} where people_probe(reading_id)".encode())
        return {line.removeprefix("met ") for line in heard}

    assert len(theirs) == 8
    assert not met("reading_in_use") & theirs
    assert not met("reading") & theirs
    assert not met("reading_on_record") & theirs
    assert met("people.plain") & theirs, "the probe would find a leak if there were one"
    assert met("people.open") & theirs


def test_every_table_that_names_a_patient_has_a_wall_or_is_closed(clinic: Clinic) -> None:
    """A new table? Its migration says `select wall_up('<table>')`, or leaves it to the house alone (migration `walls`)."""
    named = clinic.rows(WITH_PATIENTS.format(NAMES_A_PATIENT))
    assert len(named) > 20
    without = clinic.rows(
        WITH_PATIENTS.format(
            f"{NAMES_A_PATIENT} and {IS_OPEN_TO_PEOPLE} and not (c.relrowsecurity and c.relforcerowsecurity)"
        )
    )
    assert without == [], "say `select wall_up('<table>')` in the migration that makes the table"


def test_every_table_that_is_open_to_people_says_so(clinic: Clinic) -> None:
    said = {str(row["name"]) for row in clinic.rows("select name from wall")} | {"app_user"}
    is_open = {str(row["relname"]) for row in clinic.rows(WITH_PATIENTS.format(IS_OPEN_TO_PEOPLE))}
    assert is_open == said, "rights are given by `wall_up` and `wall_open` alone"


def test_a_right_that_is_taken_away_is_gone_for_the_next_statement_of_the_same_request(ward: Ward) -> None:
    ward.clinic.put_on_panel(ward.me, ward.theirs)
    with transaction(ward.walled()) as conn:
        assert patients_in(conn, "episode") == {ward.mine, ward.theirs}
        ward.clinic.rows("delete from panel where user_id = %s and patient_id = %s", ward.me, ward.theirs)
        for table in ("episode", "reading_in_use", "patient_identity", "panel_member"):
            assert patients_in(conn, table) == {ward.mine}, table
        ward.clinic.rows("update patient set standing = 'restricted' where patient_id = %s", ward.mine)
        assert patients_in(conn, "data_key") == set()


def test_every_wall_asks_once_for_a_statement_and_not_for_each_row(clinic: Clinic) -> None:
    """`exists` over `people.mine` is asked for each row; `in` is looked up (migration `walls_asked_once`)."""
    asking = clinic.rows(
        "select tablename, qual from pg_policies where policyname = 'people' and qual like '%%people.mine%%'"
    )
    assert len(asking) > 20
    assert [row["tablename"] for row in asking if "EXISTS" in str(row["qual"])] == []


def test_who_sees_whom_is_said_in_one_place(clinic: Clinic) -> None:
    sources = clinic.rows(
        "select distinct view_name, table_name from information_schema.view_table_usage"
        " where view_schema = 'public' and view_name in ('panel_member', 'panel_regular') order by view_name"
    )
    assert sources == [
        {"view_name": "panel_member", "table_name": "panel_reason"},
        {"view_name": "panel_regular", "table_name": "panel_reason"},
    ], "the walls ask `panel_reason` (`wall_patients`): a reason to see a patient belongs there"


def test_what_is_written_in_a_persons_name_is_about_the_own_patients_and_in_the_own_name(ward: Ward) -> None:
    with pytest.raises(errors.InsufficientPrivilege), transaction(ward.walled()) as conn:
        conn.execute(
            "insert into due (patient_id, due_at, since, reason) values (%s, now(), now(), 'x')", (ward.theirs,)
        )
    with pytest.raises(errors.InsufficientPrivilege), transaction(ward.walled()) as conn:
        conn.execute("insert into audit_entry (at, actor, act) values (now(), %s, 'a.b')", (f"user:{ward.other}",))
    with transaction(ward.walled()) as conn:
        assert conn.execute("update episode set version = version where true").rowcount == 1


@pytest.fixture
def separate_roles(own_postgres: EmbeddedPostgres) -> tuple[str, str]:
    """A database whose administrator made the roles: an owner and a service of which neither is a superuser."""
    admin = own_postgres.create_database("apart")
    with psycopg.connect(admin, autocommit=True) as conn:
        for role in ("clinic_owner", "clinic_service"):
            conn.execute(f"create role {role} login".encode())
        conn.execute("grant create on schema public to clinic_owner")
        conn.execute("grant create on database apart to clinic_owner")
    return admin.replace("postgres@", "clinic_owner@"), admin


def test_owner_service_and_people_can_be_three(separate_roles: tuple[str, str]) -> None:
    owner, admin = separate_roles
    with pytest.raises(psycopg.errors.RaiseException, match="create role homevigil_service nologin"):
        migrate(owner)
    with psycopg.connect(admin, autocommit=True) as conn:
        conn.execute("create role homevigil_service nologin; create role homevigil_people nologin")
        conn.execute("create role homevigil_door nologin noinherit; grant homevigil_people to homevigil_door")
        conn.execute("grant homevigil_service, homevigil_door to clinic_owner, clinic_service")
    migrate(owner)
    with open_pool(owner.replace("clinic_owner@", "clinic_service@")) as pool:
        with transaction(pool) as conn:
            conn.execute("select reading_make_room('2031-05-05')")
            (me,) = conn.execute(
                "insert into app_user (login, display_name, role, password_hash) values ('a', 'A', 'doctor', '')"
                " returning user_id"
            ).fetchone() or (0,)
            for doctor in (me, None):
                conn.execute("insert into patient (enrolled_on, doctor_id) values (current_date, %s)", (doctor,))
        with transaction(pool) as conn:
            assert conn.execute("select count(*) from patient").fetchone() == (2,)
        with transaction(Walled(pool=pool, user_id=me, now=clock.now)) as conn:
            assert conn.execute("select count(*) from patient").fetchone() == (1,)
            assert conn.execute("select count(*) from reading_in_use").fetchone() == (0,)
        with pytest.raises(errors.InsufficientPrivilege), transaction(pool) as conn:
            conn.execute("alter table patient disable row level security")
