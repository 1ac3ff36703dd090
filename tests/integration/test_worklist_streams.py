"""Open worklists on a real server process: many pages over one listening connection, and an end within five seconds."""

import json
import os
from collections.abc import Iterator
from contextlib import ExitStack

import httpx2
import psycopg
from fix_clinic import PASSWORD, Clinic
from integration.test_server_app import answers, environment, free_port, running

from server.people import sessions
from server.store.vault_keys import SETTING

STREAMS = 20
WAIT_S = 20.0


def events_of(answer: httpx2.Response) -> Iterator[tuple[str, str, str]]:
    """`(event, id, data)` as they come."""
    event = {"event": "", "id": "", "data": ""}
    for line in answer.iter_lines():
        if not line:
            if event["event"]:
                yield event["event"], event["id"], event["data"]
            event = {"event": "", "id": "", "data": ""}
        elif not line.startswith(":"):
            name, _, value = line.partition(": ")
            event[name] = value


def test_many_pages_listen_over_one_connection_and_the_server_ends_with_them_open(
    clinic: Clinic, doctor_id: int, database_url: str
) -> None:
    patient_id, _ = clinic.high_patient("王秀英", doctor_id)
    port = free_port()
    env = environment(database_url, HOMEVIGIL_SERVER_WEB_PORT=str(port), **{SETTING: os.environ[SETTING]})
    with running("web", env) as server, ExitStack() as open_pages:
        server.wait_for("started")
        token = sessions.sign_in(
            clinic.pool, login="doctor", password=PASSWORD, address="test", now=clinic.clock()
        ).token
        client = open_pages.enter_context(
            httpx2.Client(base_url=f"http://127.0.0.1:{port}", cookies={"homevigil": token}, timeout=WAIT_S)
        )
        assert answers(f"http://127.0.0.1:{port}/healthz")
        first = [open_pages.enter_context(client.stream("GET", "/worklist/stream")) for _ in range(STREAMS)]
        pages = [events_of(answer) for answer in first]
        seen = [next(each for each in page if each[0] == "news") for page in pages]

        clinic.critical_patient("李强", doctor_id)

        told = [next(each for each in page if each[0] == "news") for page in pages]
        with psycopg.connect(database_url) as conn:
            (listening,) = conn.execute(
                "select count(*) from pg_stat_activity where application_name = 'homevigil news'"
                " and datname = current_database()"
            ).fetchone() or (0,)
        code, took_s = server.end()

    assert {list(json.loads(data)["open"]) == [str(patient_id)] for _, _, data in seen} == {True}
    assert {len(json.loads(data)["open"]) for _, _, data in told} == {2}
    assert listening == 1
    assert code == 0
    assert took_s < 5


def test_a_page_that_comes_back_is_told_only_what_it_does_not_show(clinic: Clinic, doctor_id: int) -> None:
    clinic.high_patient("王秀英", doctor_id)
    stranger = clinic.add_user("stranger")
    client, _ = clinic.browser_client("doctor")
    with client.stream("GET", "/worklist/stream") as answer:
        mark = next(each for each in events_of(answer) if each[0] == "news")[1]

    with client.stream("GET", "/worklist/stream", headers={"Last-Event-ID": mark}) as answer:
        events = events_of(answer)
        assert next(events)[0] == "time"
        clinic.high_patient("Nobody's business", stranger)
        known_id, _ = clinic.critical_patient("李强", doctor_id)
        _, _, data = next(each for each in events if each[0] == "news")

    assert (
        len(json.loads(data)["open"]) == 2
    )  # the first thing that it is told is what is new, and nothing of a stranger
    assert str(known_id) in json.loads(data)["open"]
    assert clinic.client().get("/worklist/news").status_code in (303, 401)


def test_a_session_that_ends_ends_its_stream_and_is_not_kept_alive_by_it(clinic: Clinic, doctor_id: int) -> None:
    client, csrf_token = clinic.browser_client("doctor")
    (before,) = clinic.rows("select last_seen_at from user_session")
    with client.stream("GET", "/worklist/stream") as answer:
        events = events_of(answer)
        next(events)
        assert clinic.rows("select last_seen_at from user_session") == [before]
        client.post("/logout", data={"csrf_token": csrf_token})

        assert [name for name, _, _ in events][-1] == "ended"
