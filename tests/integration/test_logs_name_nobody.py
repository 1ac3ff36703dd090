"""Whatever breaks, and whatever the database says about the row that broke it: no log names anybody or says what was measured.

The database is made to refuse with the very words that must not be logged, in every role of a real server.
"""

import json
from datetime import date, timedelta
from typing import Any

import httpx2
import psycopg
from fix_clinic import PASSWORD
from households import Household, enrol
from integration.test_server_app import answers, environment, free_port, running
from plain_gateway import PlainGateway

from homevigil.embedded.broker import EmbeddedBroker
from server.clock import now
from server.people import accounts
from server.store import vault
from server.store.vault import Identity

WHO = Identity(name="Ottilie Unverwechselbar", phone="+49 30 55501234", birth_date=date(1941, 5, 9))
VALUE = 214.75

SABOTAGE = """
    create function say_all() returns trigger language plpgsql as $$ begin
        raise exception 'row of Ottilie Unverwechselbar, +49 30 55501234, with 214.75: %', new;
    end $$;
    create function say_who(patient_id bigint, wrapped bytea, sealed bytea) returns bytea language plpgsql as $$ begin
        raise exception 'the record of Ottilie Unverwechselbar, +49 30 55501234, with 214.75';
    end $$;
    create trigger say before insert on reading_raw for each row execute function say_all();
    create trigger say before insert on episode for each row execute function say_all();
    """
BLIND = """
    create or replace function vault_envelope(patient_id bigint, wrapped bytea, sealed bytea) returns bytea language plpgsql as $$
    begin return say_who(patient_id, wrapped, sealed); end $$"""
PUSH = """
    create trigger say before update on push for each row when (new.state = 'sent') execute function say_all();
    insert into push (push_id, patient_id, recipient, channel, step, text, due_at, kind, expires_at)
    select gen_random_uuid(), patient_id, 'patient', 'inbox', 0,
           '{"en": {"title": "Ottilie Unverwechselbar", "body": "214.75"}}', now(), 'plan', now() + interval '1 hour'
    from meter_binding limit 1;
    notify push"""


def test_what_breaks_is_logged_by_its_place_and_never_with_a_name_a_telephone_or_a_value(
    mosquitto: EmbeddedBroker, database_url: str
) -> None:
    home = move_in(database_url)
    port = free_port()
    env = environment(database_url, HOMEVIGIL_SERVER_MQTT_PORT=str(mosquitto.port), HOMEVIGIL_SERVER_WEB_PORT=str(port))
    said: list[Any] = []
    with running("intake,judge,push,web", env) as server:
        server.wait_for("mqtt_listening")
        gateway = PlainGateway(mosquitto, home)
        try:
            gateway.send(home.pressure(now() - timedelta(minutes=9), VALUE, 124), first_seq=1)
            server.wait_for("message_broke_intake")
            run(database_url, "drop trigger say on reading_raw")
            gateway.send(home.pressure(now() - timedelta(minutes=1), VALUE, 125), first_seq=2)
            server.wait_for("judging_broken")
        finally:
            gateway.close()
        with httpx2.Client(base_url=f"http://127.0.0.1:{port}") as client:
            assert answers(f"http://127.0.0.1:{port}/healthz")
            token = client.post("/api/v1/login", json={"login": "lin", "password": PASSWORD}).json()["token"]
            run(database_url, BLIND)
            for path in ("/fhir/Patient", f"/p/{home.patient_id}"):
                answer = client.get(path, headers={"Authorization": f"Bearer {token}"})
                assert answer.status_code == 500, answer.text
                said.append(answer.text)
                server.wait_for("Exception in ASGI application\n")
        run(database_url, "drop trigger say on episode")
        run(database_url, PUSH)
        server.wait_for("role_died")
    said += [{key: word for key, word in line.items() if key != "timestamp"} for line in server.lines]
    text = json.dumps(said, ensure_ascii=False)
    for secret in ("Ottilie", "Unverwechselbar", "55501234", "1941-05-09", "214.75", "Failing row"):
        assert secret not in text, secret
    assert "RaiseException" in text, "the errors were those that say it"


def move_in(database_url: str) -> Household:
    with psycopg.connect(database_url) as conn:
        doctor_id = accounts.add_user(
            conn, login="lin", display_name="Lin", role="doctor", password=PASSWORD, language="en", now=now()
        )
        home = enrol(conn, enrolled_on=(now() - timedelta(days=90)).date(), doctor_id=doctor_id)
        vault.identify(conn, home.patient_id, WHO)
        conn.execute(SABOTAGE.encode())
    return home


def run(database_url: str, sql: str) -> None:
    with psycopg.connect(database_url) as conn:
        conn.execute(sql.encode())
