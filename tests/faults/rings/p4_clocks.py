"""P4: a home whose gateway has a wrong wall clock: a day off, in 1970, in 2040; stepped while it runs, restarted with another.

The meters, their records and the database are in true time, so where each record belongs is known. No reading may be lost, none
may count for rules at a wrong time, none has a reason to be in quarantine: within one boot every time can be found exactly.
"""

import random
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import psycopg
from households import Household

from faults.meters import enrol
from faults.simulated_meters import SimulatedMeters
from faults.trial import BadBuild, Ring, Tally, Trial
from faults.world import TrialFailedError, World
from faults.wrong_clocks import WrongClock, forget, why_not
from gateway.outbox import read_counts
from server.clock import now
from server.people.accounts import add_user
from server.store.enrolment import bind_meter
from server.store.intake import check_accounts
from vitals.errors import UnavailableError

ZONE: Final = "Asia/Shanghai"
DAY: Final = timedelta(days=1)
RIGHT: Final = "right"
GLUCOMETER_ID: Final = "F0:00:00:08:00:01"
LIVE_CRITICAL, OLD_CRITICAL = 190, 185
"""Systolic; the live one must alarm, the old one asks for a review."""
NEAR: Final = timedelta(minutes=2)
COUNTS: Final = ("synced", "corrected", "trusted", "received")
"""Of a time of these qualities rules make something; the others say themselves that they may be wrong."""
START_S: Final = 40.0
QUIET_S: Final = 60.0
QUIET_BAD_S: Final = 25.0


ERRORS: Final = ("a day behind", "a day ahead", "1970", "2040", "ten years ahead")
"""What a box shows that boots with an old time, none, or a mad one."""


def _off_by(error: str) -> timedelta:
    """By how much such a clock is off just now."""
    known = {
        "right": timedelta(),
        "a day behind": -DAY,
        "a day ahead": DAY,
        "1970": datetime(1970, 1, 2, tzinfo=UTC) - now(),
        "2040": datetime(2040, 1, 1, tzinfo=UTC) - now(),
        "ten years ahead": 3652 * DAY,
    }
    return known[error]


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What is wrong in one trial. `how` the gateway's clock changes from `first` to `then`; `server`: what the clock of the
    server's machine shows; `is_server_late`: the server starts only after that change; `is_critical_early`: the live critical
    value is measured before it."""

    first: str
    then: str
    how: str
    server: str
    is_server_late: bool
    cuff_off_s: int
    is_critical_early: bool


HOWS: Final = ("stepped", "stepped in a session", "restarted")


def plan(trial: Trial) -> Plan:
    """Each kind of thing has its turn; the rest is drawn."""
    rng = trial.rng
    return Plan(
        first=ERRORS[trial.number % len(ERRORS)],
        then=rng.choice((RIGHT, *ERRORS)),
        how=HOWS[trial.number % len(HOWS)],
        server=rng.choice(ERRORS) if trial.number % 2 else RIGHT,
        is_server_late=rng.random() < 0.5,
        cuff_off_s=rng.choice((0, 0, 3600, -5400, 400 * 86_400)),
        is_critical_early=trial.number // 2 % 2 == 0,
    )


@dataclass(slots=True, kw_only=True)
class Home:
    """One home and its clinic, with the truth about every measurement: `truth` by kind and value, which never repeats."""

    world: World
    plan: Plan
    sims: SimulatedMeters
    clock: WrongClock
    household: Household
    truth: dict[tuple[str, float], datetime] = field(default_factory=dict)
    pids: list[int] = field(default_factory=list)

    def pressure(self, systolic: int, at: datetime) -> None:
        self.sims.measure("cuff", at, systolic_mmhg=systolic, diastolic_mmhg=85, pulse_bpm=70)
        self.truth["blood_pressure", float(systolic)] = at

    def glucose(self, mg_dl: int, at: datetime) -> None:
        self.sims.measure("glucometer", at, glucose_mg_dl=mg_dl)
        self.truth["glucose", float(mg_dl)] = at

    def start_server(self) -> None:
        settings = self.world.server_environment()
        clock = WrongClock(file=self.world.trial.folder / "server.clock", off_by=_off_by(self.plan.server))
        fake = {} if self.plan.server == RIGHT else clock.environment
        self.world.start("server", "server", "run", "--role", "intake,judge,push", env=settings | fake)
        self._note_pid("server")
        self.world.until(
            lambda: "mqtt_listening" in self.world.log_of("server"), within_s=START_S, what="the server listens"
        )

    def start_gateway(self) -> None:
        outbox = self.world.trial.folder / "outbox.sqlite"
        settings = {"id": "gw-1", "zone": ZONE, "outbox": outbox, "mqtt_port": self.world.broker.port}
        env = {f"HOMEVIGIL_GATEWAY_{name.upper()}": str(value) for name, value in settings.items()}
        self.world.start("gateway", "gateway", "run", env=env | self.sims.environment | self.clock.environment)
        self._note_pid("gateway")

    def restart_gateway(self, off_by: timedelta) -> None:
        """Killed, and started again with its clock off by something else."""
        self.world.kill("gateway")
        self.clock.step(off_by)
        self.world.start_again("gateway")
        self._note_pid("gateway")

    def until_all_kept(self) -> None:
        self.world.until(
            lambda: self.counts().get("kept") == len(self.truth),
            within_s=self._patience_s,
            what="the gateway keeps every record",
        )

    def until_settled(self) -> None:
        """Every reading is answered for, everybody due is judged, and who is to be told has been."""
        self.until_all_kept()
        self.world.until(
            lambda: self.counts().get("unconfirmed") == 0 and self._is_judged(),
            within_s=self._patience_s,
            what="every reading is answered for and judged, and people are told",
        )

    def counts(self) -> dict[str, int]:
        """What the outbox counts, from its file; empty while that is being made."""
        try:
            counts = read_counts(self.world.trial.folder / "outbox.sqlite")
        except UnavailableError:
            return {}
        return {"kept": counts.kept, "unconfirmed": counts.unconfirmed}

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.world.database_url) as conn:
            return conn.execute(query.encode()).fetchall()

    def _is_judged(self) -> bool:
        due = "select 1 from due where due_at <= now()"
        waiting = "select 1 from push where state = 'pending' and due_at <= now()"
        return self.rows(f"select exists({due}) or exists({waiting})") == [(False,)]

    def _note_pid(self, name: str) -> None:
        process = self.world.children[name].process
        assert process is not None
        self.pids.append(process.pid)

    @property
    def _patience_s(self) -> float:
        return QUIET_S if self.world.trial.bad is None else QUIET_BAD_S


def run(trial: Trial) -> Tally:
    """One trial; see `Ring.run`."""
    drawn = plan(trial)
    with ExitStack() as stack:
        world = stack.enter_context(World(trial=trial))
        with psycopg.connect(world.database_url) as conn:
            household = _move_in(conn)
        meters = [
            {"name": "cuff", "kind": "blood_pressure", "index": 1, "clock": {"offset_s": drawn.cuff_off_s}},
            {"name": "glucometer", "kind": "glucose", "index": 1},
        ]
        sims = stack.enter_context(SimulatedMeters(world, meters, zone=ZONE))
        clock = WrongClock(file=trial.folder / "gateway.clock", off_by=_off_by(drawn.first))
        home = Home(world=world, plan=drawn, sims=sims, clock=clock, household=household)
        world.on_exit(lambda: [forget(pid) for pid in home.pids])
        stuck: tuple[str, ...] = ()
        try:
            _live_through(home, trial.rng)
        except TrialFailedError as e:
            stuck = (str(e),)
        return _reckon(home, stuck)


def _move_in(conn: psycopg.Connection[tuple[Any, ...]]) -> Household:
    household = enrol(conn)
    doctor = add_user(
        conn, login="doctor", display_name="D", role="doctor", password="a long password", language="en", now=now()
    )
    conn.execute("update patient set doctor_id = %s", (doctor,))
    bind_meter(
        conn,
        meter_id=GLUCOMETER_ID,
        user_slot=None,
        gateway_id=household.gateway_id,
        patient_id=household.patient_id,
        bound_by="campaign",
        now=household.since,
    )
    return household


def _live_through(home: Home, rng: random.Random) -> None:
    """Old records wait in the meters; the gateway starts wrong; people measure; its clock is changed; the server comes late."""
    drawn, moment = home.plan, now()
    home.pressure(OLD_CRITICAL, moment - timedelta(days=2, hours=rng.randint(1, 5)))
    for nth in range(rng.randint(1, 3)):
        home.pressure(131 + nth, moment - timedelta(hours=20 - nth, minutes=rng.randint(0, 50)))
        home.glucose(101 + nth, moment - timedelta(hours=26 - nth, minutes=rng.randint(0, 50)))
    if not drawn.is_server_late:
        home.start_server()
    home.start_gateway()
    if drawn.is_critical_early:
        home.pressure(LIVE_CRITICAL, now())
    if drawn.is_server_late:
        home.until_all_kept()
        _change_clock(home, rng)
        home.start_server()
    else:
        _change_clock(home, rng)
    home.glucose(121, now())
    if not drawn.is_critical_early:
        home.pressure(LIVE_CRITICAL, now())
    home.until_settled()


def _change_clock(home: Home, rng: random.Random) -> None:
    match home.plan.how:
        case "restarted":
            home.until_all_kept()  # what a cuff sends in the instant of a kill, nobody can save; that is tried elsewhere
            home.restart_gateway(_off_by(home.plan.then))
        case "stepped in a session":
            sent = home.sims.count("indicated")
            for nth in range(4):
                home.pressure(141 + nth, now() - timedelta(minutes=10 - nth))
            home.world.until(
                lambda: home.sims.count("indicated") > sent, within_s=START_S, what="the cuff is in a session"
            )
            home.clock.step(_off_by(home.plan.then))
        case _:
            home.clock.step(_off_by(home.plan.then))
            home.pressure(141, now() - timedelta(minutes=rng.randint(1, 9)))


# -- the reckoning -----------------------------------------------------------------------------------------------------


def _reckon(home: Home, stuck: tuple[str, ...]) -> Tally:
    """Compare what is stored and told with the truth."""
    readings = home.rows("select kind, coalesce(systolic_mmhg, glucose_mg_dl), measured_at, time_quality from reading")
    stored = [(kind, round(value)) for kind, value, *_ in readings]
    lost = [key for key in home.truth if key not in stored]
    doubled = len(stored) - len(set(stored))
    missed = _missed(home)
    with psycopg.connect(home.world.database_url) as conn:
        unbalanced = check_accounts(conn)
    failures = (
        *([f"not stored: {lost}"] if lost else []),
        *([f"{doubled} readings are stored twice"] if doubled else []),
        *_first(_misplaced(home, readings)),
        *_first([f"in quarantine: {reason}, {detail}" for reason, detail in home.rows(_QUARANTINED)]),
        *_wrong_alerts(home),
        *missed,
        *(f"the account does not balance: {each}" for each in unbalanced),
    )
    said = f"{home.plan}: " if failures or stuck else ""
    return Tally(
        trials=1,
        readings=len(home.truth),
        kills=home.world.kills,
        faults=2 + (home.plan.server != RIGHT) + home.plan.is_server_late + bool(home.plan.cuff_off_s),
        lost=len(lost),
        doubled=doubled,
        pushes=len(_TOLD),
        missed_pushes=len(missed),
        failures=tuple(said + each for each in (*failures, *stuck)),
    )


_QUARANTINED: Final = "select reason, detail from quarantine"


def _first(found: Sequence[str]) -> list[str]:
    """The first of many like failures, with how many there are."""
    return [f"{found[0]} (and {len(found) - 1} more)"] if found else []


def _misplaced(home: Home, readings: list[tuple[Any, ...]]) -> list[str]:
    found = []
    for kind, value, measured_at, quality in readings:
        true_at = home.truth.get((kind, round(value)))
        if true_at is None:
            found.append(f"nobody measured {kind} {value}")
        elif quality in COUNTS and abs(measured_at - true_at) > NEAR:
            found.append(f"{kind} {value:.0f} of {true_at} is stored at {measured_at} as {quality}")
    return found


_TOLD: Final = {"bp-critical": LIVE_CRITICAL, "bp-critical-late": OLD_CRITICAL}
"""The rules that must tell the doctor, and of which reading."""


def _missed(home: Home) -> list[str]:
    """Of the alerts that are due, those of which the doctor has no message."""
    told = home.rows(
        "select distinct e.rule_id from push p join episode e using (episode_id)"
        " where p.state = 'sent' and p.recipient like 'user:%' and p.step = 0"
    )
    return [f"the doctor was not told: {rule}" for rule in _TOLD if (rule,) not in told]


def _wrong_alerts(home: Home) -> list[str]:
    found = []
    for rule, started_at, state in home.rows("select rule_id, started_at, state from episode"):
        true_at = home.truth.get(("blood_pressure", float(_TOLD.get(rule, 0))))
        if true_at is None:
            found.append(f"an alert that nothing gives cause for: {rule}")
        elif abs(started_at - true_at) > NEAR:
            found.append(f"{rule} ({state}) lies at {started_at}, measured at {true_at}")
    return found


# -- mistakes that somebody could make ---------------------------------------------------------------------------------


def _unkept_clock_believed() -> None:
    """A wall clock that nobody keeps is believed, as long as it is not before this build."""
    from gateway import clock

    right = clock.tell

    def tell(wall: datetime, told: datetime | None, *, is_synchronised: bool) -> clock.Time:
        return right(wall, told, is_synchronised=is_synchronised or wall >= clock.RELEASED_AT)

    clock.tell = tell


def _servers_own_clock() -> None:
    """The server places, and tells gateways, by the clock of the machine on which it runs, not by the database's."""
    from server.store import intake

    intake.transaction_time = lambda conn: now()


def _judged_by_own_clock() -> None:
    """The judge takes its own clock for now."""
    from dataclasses import replace

    from server.store import judging

    take_due = judging.take_due

    def take(conn: judging.Connection, patient_id: int) -> judging.Taken | None:
        taken = take_due(conn, patient_id)
        return None if taken is None else replace(taken, now=now())

    judging.take_due = take


def _settled_by_the_wall() -> None:
    """What waits for the time is placed by the wall clock once the time is known."""
    from gateway import app
    from gateway.clock import Clock

    settled = app.settled
    app.settled = lambda one, **known: settled(one, **(known | {"now": Clock().wall()}))


RING: Final = Ring(
    name="P4",
    title="wrong clocks",
    makes="the gateway's wall clock a day off, in 1970, 2040, ten years ahead; stepped, also in a session; another after a kill; "
    "the server's own clock wrong; the server late; the cuff's clock wrong",
    small=3,
    full=200,
    run=run,
    at_once=3,
    mostly_waits=True,
    why_not=why_not,
)
BAD: Final = (
    BadBuild(
        name="unkept-clock-believed",
        breaks="a gateway believes its wall clock though nobody keeps it",
        ring="P4",
        trials=4,
        switch_on=_unkept_clock_believed,
    ),
    BadBuild(
        name="servers-own-clock",
        breaks="the time that counts is that of the server's machine, not the database's",
        ring="P4",
        trials=4,
        switch_on=_servers_own_clock,
    ),
    BadBuild(
        name="judged-by-own-clock",
        breaks="the judge takes the clock of its machine for now",
        ring="P4",
        trials=6,
        switch_on=_judged_by_own_clock,
    ),
    BadBuild(
        name="settled-by-the-wall",
        breaks="readings that waited for the time are placed by the wall clock",
        ring="P4",
        trials=6,
        switch_on=_settled_by_the_wall,
    ),
)
