"""`/metrics`: what Prometheus reads and who may, that no patient is in it, and that the alert rules speak of what is there."""

import re
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx2
import pytest
import yaml
from households import Household, enrol
from prometheus_client.parser import text_string_to_metric_families
from vaults import rename

from server import clock
from server.asgi import create_app
from server.intake import Intake
from server.judge import Judge
from server.rules.load import load_catalog
from server.store import fleet as store
from server.store.alarms import AlarmKind, raise_alarm
from server.store.heartbeat import enrol_watchdog
from server.store.postgres import Pool, open_pool, transaction
from server.watch.gateways import GatewayState
from server.watch.house import HouseState
from server.watch.sight import EVENTS
from server.web import fleet_words

TOKEN = "a token for Prometheus"
RULES = Path(__file__).parents[2] / "deploy" / "prometheus" / "homevigil.rules.yml"

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


@pytest.fixture
def home(pool: Pool) -> Household:
    with pool.connection() as conn:
        home = enrol(conn, enrolled_on=(clock.now() - timedelta(days=90)).date())
    Intake(pool).note_status(
        b'{"state": "online", "outbox": {"unconfirmed": 7}}', topic_gateway=home.gateway_id, is_old=False
    )
    return home


async def get(pool: Pool, *, token: str | None = TOKEN, sent: str | None = f"Bearer {TOKEN}") -> httpx2.Response:
    app = create_app(pool, now=clock.now, secure_cookies=False, metrics_token=token)
    headers = {} if sent is None else {"Authorization": sent}
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app=app), base_url="http://test") as client:
        return await client.get("/metrics", headers=headers)


async def scrape(pool: Pool) -> Samples:
    answer = await get(pool)
    assert answer.status_code == 200, answer.text
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }


def of(samples: Samples, name: str, **labels: str) -> float | None:
    return samples.get((f"homevigil_{name}", frozenset(labels.items())))


async def test_without_a_token_in_the_settings_there_is_no_such_page(pool: Pool) -> None:
    assert (await get(pool, token=None)).status_code == 404


@pytest.mark.parametrize("sent", [None, "", "Bearer ", "Bearer another token", f"Basic {TOKEN}", TOKEN])
async def test_who_does_not_send_the_token_is_told_no_figure(pool: Pool, sent: str | None) -> None:
    answer = await get(pool, sent=sent)

    assert (answer.status_code, answer.headers["WWW-Authenticate"]) == (401, "Bearer")
    assert "homevigil_" not in answer.text


async def test_what_happens_to_a_reading_shows_in_the_figures(pool: Pool, home: Household) -> None:
    at = clock.now() - timedelta(minutes=9)
    sent = home.envelope(home.pressure(at, 190, 121))
    for _ in range(2):
        Intake(pool).take(sent, topic_gateway=home.gateway_id)
    Intake(pool).take(b"not an envelope", topic_gateway=home.gateway_id)
    before = await scrape(pool)
    while Judge(pool, load_catalog()).judge_due():
        pass
    after = await scrape(pool)

    fates = {
        fate: of(before, "gateway_readings", gateway=home.gateway_id, fate=fate)
        for fate in ("received", "stored", "repeated", "quarantined")
    }
    assert fates == {"received": 3, "stored": 1, "repeated": 1, "quarantined": 1}
    assert of(before, "gateway_outbox_waiting", gateway=home.gateway_id) == 7
    assert of(before, "gateway_quarantine_rows", gateway=home.gateway_id) == 1
    assert of(before, "gateway_state", gateway=home.gateway_id, state="heard") == 1
    heard = of(before, "gateway_last_heard_timestamp_seconds", gateway=home.gateway_id)
    assert heard is not None
    assert abs(heard - clock.now().timestamp()) < 600
    assert (of(before, "due_rows"), of(after, "due_rows")) == (1, 0)
    assert of(before, "judge_lag_seconds", **{}) is not None
    assert of(before, "pushes", channel="inbox", state="pending") is None
    pending = of(after, "pushes", channel="inbox", state="pending")
    assert pending is not None
    assert pending >= 1


async def test_lags_alarms_and_states_are_figures_too(pool: Pool, home: Household) -> None:
    with transaction(pool) as conn:
        conn.execute("update gateway set last_heard_at = now() - interval '20 minutes'")
        conn.execute(
            "insert into due (patient_id, due_at, since, reason) values (%s, now() - interval '2 minutes', now(), 'reading')",
            (home.patient_id,),
        )
        raise_alarm(conn, AlarmKind.FLOOD, subject=home.gateway_id)
    samples = await scrape(pool)

    assert of(samples, "gateway_state", gateway=home.gateway_id, state="unheard") == 1
    assert of(samples, "house_state", part="judging", state="judge_lag") == 1
    lag = of(samples, "judge_lag_seconds")
    assert lag is not None
    assert lag >= 120
    assert of(samples, "alarms_open", kind="flood") == 1
    assert of(samples, "alarms_open", kind="hole") == 0
    assert of(samples, "patients", state="unknowable") == 1
    assert of(samples, "patients", state="silent") == 0


async def test_what_never_happened_has_no_figure_rather_than_a_false_one(pool: Pool) -> None:
    samples = await scrape(pool)

    assert of(samples, "watchdog_last_success_timestamp_seconds") is None
    assert of(samples, "recompute_last_success_timestamp_seconds") is None
    assert of(samples, "recompute_differences") is None


async def test_watchdog_and_recompute_say_when_they_last_succeeded(pool: Pool) -> None:
    at = clock.now() - timedelta(minutes=2)
    with transaction(pool) as conn:
        conn.execute("update heartbeat set started_at = %s, came_through_at = %s, took_s = 1.5", (at, at))
        conn.execute(
            "insert into recompute_run (started_at, lease_until, ended_at, days, differences) values (%s, %s, %s, 35, 3)",
            (at, at, at),
        )
    samples = await scrape(pool)

    assert of(samples, "watchdog_last_success_timestamp_seconds") == pytest.approx(at.timestamp())
    assert of(samples, "watchdog_took_seconds") == 1.5
    assert of(samples, "recompute_last_success_timestamp_seconds") == pytest.approx(at.timestamp())
    assert of(samples, "recompute_differences") == 3


async def test_no_figure_names_or_numbers_a_patient(pool: Pool, home: Household) -> None:
    with transaction(pool) as conn:
        rename(conn, home.patient_id, name="Wang Xiuying")
        raise_alarm(conn, AlarmKind.PATIENT_SILENT, subject=f"patient:{home.patient_id}")
        enrol_watchdog(conn, gateway_id="dog", meter_id="dog-cuff", enrolled_on=clock.now().date(), now=clock.now())
    samples = await scrape(pool)

    assert {name for _, labels in samples for name, _ in labels} == {
        "channel",
        "fate",
        "gateway",
        "kind",
        "part",
        "state",
    }
    values = {value for _, labels in samples for _, value in labels}
    assert not any("patient:" in value or "Wang" in value or value in ("dog", home.cuff) for value in values)


async def test_a_scrape_reads_the_database_once(pool: Pool, home: Household, monkeypatch: pytest.MonkeyPatch) -> None:
    reads: list[Any] = []
    load = store.load_facts

    def counted(*args: Any, **more: Any) -> Any:
        reads.append(args)
        return load(*args, **more)

    monkeypatch.setattr(store, "load_facts", counted)
    await get(pool)
    await get(pool)

    assert len(reads) == 2


async def test_a_database_that_is_away_is_said_so(tmp_path: Path) -> None:
    with open_pool(f"host={tmp_path} dbname=none connect_timeout=1") as pool:
        answer = await get(pool)

    assert answer.status_code == 503


def rules() -> Iterator[dict[str, Any]]:
    for group in yaml.safe_load(RULES.read_text(encoding="utf-8"))["groups"]:
        yield from group["rules"]


def spoken_of(metric: str, label: str) -> set[str]:
    pattern = re.compile(rf'^homevigil_{metric}{{{label}="(\w+)"}} (?:== 1|> 0)$')
    return {found[1] for rule in rules() if (found := pattern.match(rule["expr"]))}


def test_there_is_one_alert_rule_for_each_state_that_needs_somebody_and_for_each_event() -> None:
    needing_house = {state for state, told in fleet_words.HOUSE.items() if told.gravity != "information"}
    needing_gateway = {state for state, told in fleet_words.GATEWAYS.items() if told.gravity != "information"}

    assert spoken_of("house_state", "state") == needing_house - {HouseState.NOBODY_YET}
    assert spoken_of("gateway_state", "state") == needing_gateway - {GatewayState.NOBODY_HEARD}  # said of the house
    assert spoken_of("alarms_open", "kind") == EVENTS - {
        AlarmKind.PUSH_DEAD,
        AlarmKind.GATEWAY_SUSPENDED,
    }  # said as states
    assert spoken_of("meters", "state") == {"silent", "waits_for_binding", "wants_consent"}
    assert spoken_of("patients", "state") == {"silent"}


async def test_every_rule_speaks_of_a_figure_that_is_there(pool: Pool, home: Household) -> None:
    there = {name for name, _ in await scrape(pool)}
    named = [(rule["alert"], re.findall(r"\bhomevigil_\w+", rule["expr"])) for rule in rules()]

    assert len({alert for alert, _ in named}) == len(named)
    assert [(alert, names) for alert, names in named if len(names) != 1 or names[0] not in there] == []
