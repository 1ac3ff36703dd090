"""A reading's whole journey on real parts: from the bytes a cuff sends to the doctor's inbox, and through three kills."""

import urllib.request

import psycopg
import pytest
from fix_line import ask, outbox_of

from homevigil.demo.meters import Indicated
from homevigil.demo.neighbourhood import Neighbourhood, wait_until
from homevigil.demo.population import HIGH
from server.store.vault import frames_of

pytestmark = [pytest.mark.radio, pytest.mark.timeout(240)]

RULE = "bp-above-140-90-3-days"


def test_a_reading_travels_from_the_cuff_to_the_doctor_and_the_patient(living_line: Neighbourhood) -> None:
    frame = living_line.measure(living_line.turning, *HIGH)
    assert _rows_with(living_line, frame) == 1, "the bytes that the cuff sent are the row's raw"

    wait_until(lambda: bool(_alerts(living_line)), "an alert in the API")
    [alert] = _alerts(living_line)
    assert alert["patient"]["patient_id"] == living_line.turning.patient_id
    wait_until(lambda: _is_in_inbox(living_line, alert["episode_id"]), "the alert in the doctor's inbox")

    wait_until(lambda: "您的血压有波动" in _own_page(living_line, "zh"), "the reminder on the patient's page")
    assert "Your blood pressure fluctuates" in _own_page(living_line, "en")


@pytest.mark.parametrize("living_line", ["mosquitto", "rumqttd"], indirect=True)
def test_gateway_server_and_broker_may_be_killed_in_the_middle_and_nothing_is_lost_or_doubled(
    living_line: Neighbourhood,
) -> None:
    line = living_line.line
    first, second = living_line.residents[1], living_line.residents[2]
    living_line.stored(living_line.measure(first, 131, 82))  # bonds are made, the line is warm

    line.kill("server")
    while_the_server_is_down = living_line.measure(first, 133, 84)
    wait_until(lambda: outbox_of(living_line)["unconfirmed"] == 1, "the gateway keeps what nobody has confirmed")
    line.broker.kill()
    while_the_broker_is_down = living_line.measure(second, 134, 85)
    wait_until(lambda: outbox_of(living_line)["unconfirmed"] == 2, "the gateway keeps on keeping")
    line.kill("gateway")
    line.broker.start()
    line.start_again("server")
    line.start_again("gateway")
    after_all = living_line.measure(living_line.turning, *HIGH)

    for frame in (while_the_server_is_down, while_the_broker_is_down, after_all):
        assert _rows_with(living_line, frame) == 1
    wait_until(lambda: outbox_of(living_line)["unconfirmed"] == 0, "the receipts confirm the whole outbox")
    line.wait_until_served()  # readings are taken in before pages are served
    wait_until(lambda: bool(_alerts(living_line)), "the alert")
    [alert] = _alerts(living_line)
    wait_until(lambda: _is_in_inbox(living_line, alert["episode_id"]), "the alert in the doctor's inbox")
    assert _pushes_said_twice(living_line) == 0
    assert living_line.follower.account().stored == living_line.seeded + 4


def _rows_with(living: Neighbourhood, frame: Indicated) -> int:
    """How many rows hold exactly the bytes of the frame, from that meter."""
    living.stored(frame)
    query = "select reading_id from reading where meter_id = %s"
    with psycopg.connect(living.line.database_url) as conn:
        ids = [row[0] for row in conn.execute(query, (frame.meter_id,)).fetchall()]
        return sum(each.raw == frame.raw for each in frames_of(conn, ids).values())


def _alerts(living: Neighbourhood) -> list[dict[str, object]]:
    """The doctor's open alerts of the 3-day rule on the person whose third day is today."""
    found = ask(living, "/api/v1/alerts")["alerts"]
    return [
        each
        for each in found
        if each["rule"]["rule_id"] == RULE and each["patient"]["patient_id"] == living.turning.patient_id
    ]


def _is_in_inbox(living: Neighbourhood, episode_id: object) -> bool:
    return any(each["episode_id"] == episode_id for each in ask(living, "/api/v1/inbox")["messages"])


def _own_page(living: Neighbourhood, language: str) -> str:
    url = f"{living.line.web_url}/me/{living.turning.link}?lang={language}"
    with urllib.request.urlopen(url, timeout=10) as answer:
        return answer.read().decode()


def _pushes_said_twice(living: Neighbourhood) -> int:
    """Pushes of one step to one recipient on one episode that went out more than once."""
    query = """
        select count(*) from (
            select episode_id, recipient, channel, step from push where state = 'sent' group by 1, 2, 3, 4 having count(*) > 1
        ) twice"""
    wait_until(lambda: not living.follower.owes(), "a push that is due goes out")
    with psycopg.connect(living.line.database_url) as conn:
        row = conn.execute(query).fetchone()
    assert row is not None
    return int(row[0])
