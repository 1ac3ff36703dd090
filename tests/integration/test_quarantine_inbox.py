"""What people see of quarantine, and what they make of it: by API, on a real PostgreSQL behind its walls."""

import threading
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import httpx2
import pytest
from fix_clinic import Clinic
from waiting_readings import NEW, home_of

from server.intake import Intake
from server.store.intake import check_accounts
from server.store.postgres import transaction


def waiting(client: httpx2.Client, state: str = "waiting") -> list[dict[str, Any]]:
    answer = client.get("/api/v1/quarantine", params={"state": state})
    assert answer.status_code == 200, answer.text
    return list(answer.json()["rows"])


def numbers(rows: Sequence[dict[str, Any]]) -> list[int]:
    return [row["quarantine_id"] for row in rows]


def post(client: httpx2.Client, deed: str, **body: Any) -> httpx2.Response:
    return client.post(f"/api/v1/quarantine/{deed}", json=body)


def accounts_balance(clinic: Clinic) -> bool:
    with transaction(clinic.pool) as conn:
        return not check_accounts(conn, count_rows=True)


def test_each_sees_the_homes_of_the_own_patients_and_a_value_only_where_it_cannot_be_a_strangers(
    clinic: Clinic,
) -> None:
    lin, wu = clinic.add_user("lin"), clinic.add_user("wu")
    clinic.add_user("chief", "admin")
    alone, shared, hers = (
        clinic.add_patient("王秀英", lin),
        clinic.add_patient("李强", lin),
        clinic.add_patient("赵敏", wu),
    )
    home_of(clinic, 1, alone).measures(30, 20, systolic=161)
    home_of(clinic, 2, shared, hers).measures(15, meter_id="F0:00:00:10:AA:02")
    home_of(clinic, 3).measures(10, meter_id="F0:00:00:10:AA:03")
    Intake(clinic.pool).take(b"no envelope", topic_gateway="gw-home-1")

    of_lin, of_wu, of_chief = (waiting(clinic.client(login)) for login in ("lin", "wu", "chief"))

    assert [(row["gateway_id"], row["near"], row["reason"]) for row in of_lin] == [
        ("gw-home-1", [alone], "decode:json"),
        ("gw-home-2", [shared], "unknown_meter"),
        ("gw-home-1", [alone], "unknown_meter"),
        ("gw-home-1", [alone], "unknown_meter"),
    ]
    assert [row["measured"] and row["measured"]["measurement"]["systolic_mmhg"] for row in of_lin] == [
        None,
        None,
        161,
        161,
    ]
    assert [(row["gateway_id"], row["near"], row["measured"]) for row in of_wu] == [("gw-home-2", [hers], None)]
    assert [(row["gateway_id"], row["meter_id"], row["near"], row["measured"]) for row in of_chief] == [
        ("gw-home-1", None, [], None),
        ("gw-home-3", "F0:00:00:10:AA:03", [], None),
    ]
    looks = clinic.rows("select actor, patient_id from audit_entry where act = 'record.read' order by 1, 2")
    assert [(row["actor"], row["patient_id"]) for row in looks] == [(f"user:{lin}", alone)]


def test_a_home_that_went_from_one_to_another_shows_each_side_its_own_time(clinic: Clinic) -> None:
    lin, wu = clinic.add_user("lin"), clinic.add_user("wu")
    before, after = clinic.add_patient("王秀英", lin), clinic.add_patient("赵敏", wu)
    home = home_of(clinic, 1, before)
    home.measures(30)
    clinic.rows("update quarantine set received_at = now() - interval '3 days'")
    clinic.rows("update meter_binding set valid_to = now() - interval '2 days'")
    home_of(clinic, 1, after, since=timedelta(days=1)).measures(10, meter_id="F0:00:00:10:AA:02")
    was, is_now = numbers(waiting(clinic.client("lin"))), numbers(waiting(clinic.client("wu")))

    assert (len(was), len(is_now)) == (1, 1)
    assert was < is_now
    assert post(clinic.client("lin"), "assign", quarantine_ids=is_now, patient_id=before).status_code == 404
    assert post(clinic.client("wu"), "assign", quarantine_ids=was, patient_id=after).status_code == 404


def test_a_shared_meter_is_sorted_out_user_by_user(clinic: Clinic) -> None:
    """Two people use one cuff: one user number is bound, one reading of a guest is given away, and nothing is counted twice."""
    lin = clinic.add_user("lin")
    she, he = clinic.add_patient("王秀英", lin), clinic.add_patient("李强", lin)
    home = home_of(clinic, 1, she, he)
    home.measures(60, 50, slot=1)
    home.measures(40, slot=2)
    home.measures(30, slot=255)
    client = clinic.client("lin")
    rows = waiting(client)
    guest, second = rows[0]["quarantine_id"], rows[1]["quarantine_id"]
    assert [row["user_slot"] for row in rows] == [255, 2, 1, 1]
    named = {"gateway_id": home.gateway_id, "meter_id": NEW}

    bound = post(client, "bind", **named, user_slot=1, patient_id=she)
    given = post(client, "assign", quarantine_ids=[guest], patient_id=he)
    again = post(client, "bind", **named, user_slot=1, patient_id=she)

    assert [each.json() for each in (bound, given, again)] == [
        {"stored": 2, "repeated": 0, "stay": 0},
        {"stored": 1, "repeated": 0, "stay": 0},
        {"stored": 0, "repeated": 0, "stay": 0},
    ]
    stored = clinic.rows("select patient_id, count(*)::int as n from reading group by 1 order by 1")
    assert [(row["patient_id"], row["n"]) for row in stored] == [(she, 2), (he, 1)]
    assert numbers(waiting(client)) == [second]
    assert {row["reason"] for row in clinic.rows("select reason from due where reason = 'reading'")} == {"reading"}
    home.measures(5, slot=1)
    assert numbers(waiting(client)) == [second], "what comes from now on is hers at once"
    assert post(client, "bind", **named, user_slot=1, patient_id=he).status_code == 404, "nothing of it waits"
    home.measures(4, slot=2)
    taken = clinic.rows("select act, patient_id from audit_entry where act not like 'record.%%' order by entry_id")
    assert [
        (row["act"], row["patient_id"]) for row in taken if str(row["act"]).startswith(("meter", "quarantine"))
    ] == [
        ("meter.bind", she),
        ("quarantine.release", she),
        ("quarantine.assign", he),
    ]
    assert accounts_balance(clinic)


def test_of_two_people_one_wins_and_the_other_is_told_and_a_repeat_changes_nothing(clinic: Clinic) -> None:
    lin = clinic.add_user("lin")
    nurse = clinic.add_user("nurse", "nurse")
    patient_id, other_id = clinic.add_patient("王秀英", lin), clinic.add_patient("李强", lin)
    for each in (patient_id, other_id):
        clinic.put_on_panel(nurse, each)
    home_of(clinic, 1, patient_id, other_id).measures(*range(10, 40), slot=3)
    doctor, second = clinic.client("lin"), clinic.client("nurse")
    ids = numbers(waiting(doctor))
    answers: list[httpx2.Response] = []
    gate = threading.Barrier(2)

    def assign(client: httpx2.Client, to: int) -> None:
        gate.wait()
        answers.append(post(client, "assign", quarantine_ids=ids, patient_id=to))

    threads = [threading.Thread(target=assign, args=each) for each in ((doctor, patient_id), (second, other_id))]
    for each in threads:
        each.start()
    for each in threads:
        each.join()

    assert sorted(each.status_code for each in answers) == [200, 409]
    (lost,) = [each for each in answers if each.status_code == 409]
    (row,) = clinic.rows("select distinct resolved_by from quarantine")
    assert lost.json()["state"] == f"settled already, by {row['resolved_by']}"
    (won,) = clinic.rows("select patient_id, count(*)::int as n from reading group by 1")
    assert won["n"] == len(ids)
    winner, to = (doctor, patient_id) if won["patient_id"] == patient_id else (second, other_id)
    assert post(winner, "assign", quarantine_ids=ids, patient_id=to).json()["stored"] == 0
    assert accounts_balance(clinic)


def test_what_is_set_aside_waits_no_longer_stays_counted_and_can_be_opened_again(clinic: Clinic) -> None:
    lin = clinic.add_user("lin")
    patient_id = clinic.add_patient("王秀英", lin)
    home_of(clinic, 1, patient_id).measures(30, 20)
    client = clinic.client("lin")
    ids = numbers(waiting(client))

    first = post(client, "set-aside", quarantine_ids=ids, reason="trial")
    twice = post(client, "set-aside", quarantine_ids=ids, reason="trial")

    assert (first.json(), twice.json()) == ({"changed": 2}, {"changed": 0})
    assert waiting(client) == []
    assert [(row["set_aside_as"], row["settled_by"]) for row in waiting(client, "set_aside")] == [("trial", "lin")] * 2
    assert post(client, "assign", quarantine_ids=ids, patient_id=patient_id).status_code == 409
    assert accounts_balance(clinic)
    assert post(client, "open-again", quarantine_ids=ids).json() == {"changed": 2}
    assert post(client, "open-again", quarantine_ids=ids).json() == {"changed": 0}
    assert post(client, "assign", quarantine_ids=ids, patient_id=patient_id).json()["stored"] == 2
    assert post(client, "open-again", quarantine_ids=ids).status_code == 409
    acts = clinic.rows("select act from audit_entry where act like 'quarantine.%%' order by entry_id")
    assert [str(row["act"]) for row in acts] == [f"quarantine.{deed}" for deed in ("set_aside", "open_again", "assign")]


def test_whoever_runs_the_house_binds_a_new_homes_meter_by_the_patients_number(clinic: Clinic) -> None:
    lin = clinic.add_user("lin")
    clinic.add_user("chief", "admin")
    patient_id = clinic.add_patient("王秀英", lin)
    home = home_of(clinic, 1)
    home.measures(30, 20)
    chief = clinic.client("chief")
    ids = numbers(waiting(chief))
    wish = {"gateway_id": home.gateway_id, "meter_id": NEW, "patient_id": patient_id}

    assert post(chief, "assign", quarantine_ids=ids, patient_id=patient_id).status_code == 403
    assert post(chief, "bind", **wish | {"patient_id": 987654}).status_code == 404
    assert post(clinic.client("lin"), "bind", **wish).status_code == 404, "it is nobody's: she does not see it"
    assert post(chief, "bind", **wish).json() == {"stored": 2, "repeated": 0, "stay": 0}
    assert post(chief, "bind", **wish).json() == {"stored": 0, "repeated": 0, "stay": 0}
    assert (waiting(chief), waiting(clinic.client("lin"))) == ([], [])
    assert "王秀英" not in chief.get("/quarantine").text


@pytest.mark.parametrize(
    ("spoil", "status", "said"),
    [
        ("update patient set standing = 'paused' where patient_id = %s returning 1", 409, "no consent"),
        ("update gateway set state = 'revoked' where %s > 0 returning 1", 409, "the gateway is revoked"),
        (f"update meter_binding set meter_id = '{NEW}' where patient_id <> %s returning 1", 409, "somebody else's"),
    ],
    ids=["no consent", "a gateway that is shut out", "somebody else's meter"],
)
def test_what_cannot_be_bound_is_refused_with_words_and_stays(
    clinic: Clinic, spoil: str, status: int, said: str
) -> None:
    lin = clinic.add_user("lin")
    mine, neighbour = clinic.add_patient("王秀英", lin), clinic.add_patient("赵敏", clinic.add_user("wu"))
    home = home_of(clinic, 1, mine)
    home_of(clinic, 2, neighbour)
    home.measures(30)
    clinic.rows(spoil, mine)
    client = clinic.client("lin")

    answer = post(client, "bind", gateway_id=home.gateway_id, meter_id=NEW, patient_id=mine)

    assert answer.status_code == status, answer.text
    assert said in answer.json()["detail"]
    assert str(neighbour) not in answer.json()["detail"]
    assert clinic.rows("select 1 from reading") == []
    assert len(waiting(client)) == 1


def test_what_a_later_build_can_read_is_not_set_aside(clinic: Clinic) -> None:
    clinic.add_user("chief", "admin")
    home_of(clinic, 1).measures(30)
    clinic.rows("update quarantine set reason = 'schema_newer' returning 1")
    chief = clinic.client("chief")

    answer = post(chief, "set-aside", quarantine_ids=numbers(waiting(chief)), reason="unreadable")

    assert answer.status_code == 422
    assert "after an upgrade" in answer.json()["detail"]
