"""P5: judges and senders are killed while alerts open; the clinic's own system is busy or late for one call in ten.

A trial: a clinic whose patients each measure one critical value within a few seconds, one judge and two senders as real
processes, killed three times at random. Each patient's alert must have told the doctor, the patient and the clinic's system;
each under one id.
"""

import json
import random
import time
from collections import Counter
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

import psycopg
from households import Household, enrol

from faults.clinic_system import SECRET, ClinicSystem
from faults.trial import BadBuild, Ring, Tally, Trial
from faults.world import TrialFailedError, World
from server.clock import now
from server.intake import Intake
from server.people.accounts import add_user
from server.store.postgres import open_pool
from server.store.pushes import add_webhook
from vitals.errors import UnavailableError

PATIENTS: Final = 14
KILLS: Final = 3
FEED_S: Final = 2.5
QUIET_WITHIN_S: Final = 60.0
TOLD: Final = ("doctor", "patient", "clinic's system")
RAW_REPEATS_MAX: Final = 0.10
"""Of all calls: a sender that dies after the call and before its note must call again, with the same id."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Something at `at_s` after the start: a patient measures (`subject` is its number), or a process is killed or comes back."""

    at_s: float
    what: str
    subject: str


def run(trial: Trial) -> Tally:
    rng = trial.rng
    clinic = ClinicSystem(random.Random(rng.random()))
    try:
        with World(trial=trial) as world:
            homes = _move_in(world, clinic)
            roles = {"judge": "judge", "sender-1": "push", "sender-2": "push"}
            env = world.server_environment(webhook_allow_private="true")
            for name, role in roles.items():
                world.start(name, "faults.hasty", "run", "--role", role, env=env)
            try:
                _live_through(world, homes, plan(rng, list(roles)))
                world.until(
                    lambda: _is_quiet(world),
                    within_s=QUIET_WITHIN_S,
                    what="everything due is judged and everybody told",
                )
            except TrialFailedError as e:
                return _tally(world, clinic, homes, (str(e),))
            time.sleep(0.2)  # a call that was taken while its sender died is on no list of ours: let it arrive
            return _tally(world, clinic, homes, ())
    finally:
        clinic.close()


def plan(rng: random.Random, processes: list[str]) -> list[Event]:
    """What happens when: every patient measures once; processes die and come back within half a second."""
    events = [Event(at_s=rng.uniform(0, FEED_S), what="measure", subject=str(number)) for number in range(PATIENTS)]
    free_from = dict.fromkeys(processes, 0.0)
    for _ in range(KILLS):
        name = rng.choice(processes)
        at_s = max(rng.uniform(0.6, FEED_S + 1.5), free_from[name])
        back_s = at_s + rng.uniform(0, 0.5)
        free_from[name] = back_s + 0.05
        events += [Event(at_s=at_s, what="kill", subject=name), Event(at_s=back_s, what="start", subject=name)]
    return sorted(events, key=lambda event: event.at_s)


def _move_in(world: World, clinic: ClinicSystem) -> list[Household]:
    moment = now()
    with psycopg.connect(world.database_url) as conn:
        doctor = add_user(
            conn,
            login="doctor",
            display_name="Doctor",
            role="doctor",
            password="a long password",
            language="en",
            now=moment,
        )
        add_webhook(conn, url=clinic.url, secret=SECRET)
        day = (moment - timedelta(days=60)).date()
        return [enrol(conn, enrolled_on=day, doctor_id=doctor) for _ in range(PATIENTS)]


def _live_through(world: World, homes: list[Household], events: list[Event]) -> None:
    started = time.monotonic()
    with open_pool(world.database_url, max_size=2) as pool:
        for event in events:
            time.sleep(max(0.0, started + event.at_s - time.monotonic()))
            match event.what:
                case "kill":
                    world.kill(event.subject)
                case "start":
                    world.start_again(event.subject)
                case "measure":
                    home = homes[int(event.subject)]
                    reading = home.pressure(now() - timedelta(seconds=5), systolic=186, diastolic=112)
                    try:
                        Intake(pool).take(home.envelope(reading), topic_gateway=home.gateway_id)
                    except UnavailableError as e:
                        raise TrialFailedError(f"the trial's own database: {e}") from e


def _is_quiet(world: World) -> bool:
    due = "select 1 from due where due_at <= now()"
    waiting = "select 1 from push where state = 'pending' and due_at <= now()"
    with psycopg.connect(world.database_url) as conn:
        row = conn.execute(f"select exists({due}) or exists({waiting})").fetchone()
    return row == (False,)


def _tally(world: World, clinic: ClinicSystem, homes: list[Household], failures: tuple[str, ...]) -> Tally:
    inbox = _inbox(world)
    calls: dict[int, set[str]] = {home.patient_id: set() for home in homes}
    for call_id, body in clinic.bodies.items():
        calls[json.loads(body)["data"]["patient_id"]].add(call_id)
    missed: list[str] = []
    doubled: list[str] = []
    for home in homes:
        reached = {
            "doctor": inbox[home.patient_id, "doctor"],
            "patient": inbox[home.patient_id, "patient"],
            "clinic's system": len(calls[home.patient_id]),
        }
        missed += [f"patient {home.patient_id}: the {who} was not told" for who in TOLD if reached[who] == 0]
        doubled += [
            f"patient {home.patient_id}: the {who} was told {reached[who]} times under different ids"
            for who in TOLD
            if reached[who] > 1
        ]
    unsigned = tuple(f"a call without a right signature: {each}" for each in clinic.unsigned)
    return Tally(
        trials=1,
        readings=len(homes),
        kills=world.kills,
        faults=clinic.faults,
        pushes=len(homes) * len(TOLD),
        missed_pushes=len(missed),
        doubled_pushes=len(doubled),
        repeated_pushes=sum(clinic.calls.values()) - len(clinic.calls),
        failures=(*failures, *missed, *doubled, *unsigned),
    )


def _inbox(world: World) -> Counter[tuple[int, str]]:
    """How many messages each has of each patient, among those that are shown."""
    query = (
        "select patient_id, case when recipient = 'patient' then 'patient' else 'doctor' end"
        " from push where channel = 'inbox' and state = 'sent'"
    )
    with psycopg.connect(world.database_url) as conn:
        return Counter((patient_id, who) for patient_id, who in conn.execute(query))


# -- mistakes that somebody could make ---------------------------------------------------------------------------------


def _marked_before_sent() -> None:
    """A message is noted as sent in the transaction that takes it; what dies on the way is never sent."""
    from server.push.dispatch import Dispatcher
    from server.store import pushes
    from server.store.postgres import in_transaction

    def send_due(self: Dispatcher) -> int:
        def take(conn: pushes.Connection) -> tuple[pushes.Leased, ...]:
            leased = self._take(conn)
            pushes.mark_sent(conn, [message.push_id for message in leased])
            return leased

        leased = in_transaction(self._pool, take)
        for message in leased:
            self._channel.send(message)
        return len(leased)

    Dispatcher.send_due = send_due  # type: ignore[method-assign]


def _new_id_each_try() -> None:
    """Every call gets an id of its own, so that nobody can know a repeated one again."""
    from dataclasses import replace
    from uuid import uuid4  # noqa: TID251 - the mistake itself

    from server.push.webhook import WebhookChannel

    send = WebhookChannel.send
    WebhookChannel.send = lambda self, message: send(self, replace(message, push_id=uuid4()))  # type: ignore[method-assign]


def _any_answer_is_well() -> None:
    """Whatever the other side answers, the message counts as sent."""
    from server.push.channels import Sent
    from server.push.webhook import WebhookChannel

    send = WebhookChannel.send

    def always_sent(self: WebhookChannel, message: object) -> Sent:
        send(self, message)  # type: ignore[arg-type]
        return Sent()

    WebhookChannel.send = always_sent  # type: ignore[method-assign, assignment]


def _due_forgotten_first() -> None:
    """What is due is deleted in a transaction of its own before the judging: a judge that dies between has judged nobody."""
    from server import judge
    from server.store import judging
    from server.store.postgres import in_transaction

    held: list[judging.Taken] = []

    def judge_patient(self: judge.Judge, patient_id: int) -> bool:
        def take(conn: judging.Connection) -> judging.Taken | None:
            taken = judging.take_due(conn, patient_id)
            if taken is not None:
                conn.execute("delete from due where due_id = any(%s)", (list(taken.due_ids),))
            return taken

        taken = in_transaction(self._pool, take)
        if taken is None:
            return False
        time.sleep(0.15)  # a slow judging, as after a long absence
        held.append(taken)
        return in_transaction(self._pool, lambda conn: judge.judge_in(conn, patient_id, self._rules))

    original = judging.take_due

    def take_due(conn: judging.Connection, patient_id: int) -> judging.Taken | None:
        return held.pop() if held else original(conn, patient_id)

    judge.Judge.judge_patient = judge_patient  # type: ignore[method-assign]
    judge.store.take_due = take_due


def _gives_up_at_once() -> None:
    """One try, and the message is dead."""
    from server.push import dispatch

    dispatch.ATTEMPTS_MAX = 1  # type: ignore[misc]


RING: Final = Ring(
    name="P5",
    title="judges and senders killed, a busy clinic",
    makes="kill -9 of judge and senders, 5 % of calls answered 503, 5 % answered too late",
    small=4,
    full=500,
    run=run,
    at_once=4,
)

BAD: Final = (
    BadBuild(
        name="marked-before-sent",
        breaks="a message is noted as sent before it is sent",
        ring="P5",
        trials=10,
        switch_on=_marked_before_sent,
    ),
    BadBuild(
        name="new-id-each-try",
        breaks="each call to the clinic's system has an id of its own",
        ring="P5",
        trials=10,
        switch_on=_new_id_each_try,
    ),
    BadBuild(
        name="any-answer-is-well",
        breaks="a call counts as delivered whatever was answered",
        ring="P5",
        trials=10,
        switch_on=_any_answer_is_well,
    ),
    BadBuild(
        name="due-forgotten-first",
        breaks="what is due is deleted before it has been judged",
        ring="P5",
        trials=20,
        switch_on=_due_forgotten_first,
    ),
    BadBuild(
        name="gives-up-at-once",
        breaks="a message that fails once is never tried again",
        ring="P5",
        trials=10,
        switch_on=_gives_up_at_once,
    ),
)
