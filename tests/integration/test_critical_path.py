"""The critical pathway of clinical 1.5 with the server's own processes, each of which is killed before the next step is due."""

from collections.abc import Callable
from datetime import timedelta
from time import monotonic

import pytest
from running_server import WAIT_S, environment, running
from wards import MINUTE, Ward, alert, ask, let_pass, make_ward

from server.clock import now
from server.intake import Intake
from server.store.postgres import Bell, Pool, transaction

SECOND = timedelta(seconds=1)
ROLES = "judge,push"


@pytest.fixture
def ward(pool: Pool) -> Ward:
    """The clinic's own system is not called: it is on no machine of the test's."""
    with transaction(pool) as conn:
        ward = make_ward(conn, pool)
        conn.execute("update webhook set active = false")
    return ward


def sent(ward: Ward) -> list[tuple[str, str, int]]:
    """`(recipient, kind, how often tried)` of what was sent, by who and step."""
    names = {f"user:{ward.doctor_id}": "doctor", f"user:{ward.nurse_id}": "nurse", "clinic": "desk"}
    rows = ask(ward.pool, "select recipient, kind, attempts from push where state = 'sent' order by step, recipient")
    return [(names.get(who, who), kind, attempts) for who, kind, attempts in rows]


def work_until(ward: Ward, database_url: str, is_done: Callable[[], bool]) -> None:
    """Start judge and sender, and kill both with SIGKILL as soon as `is_done`."""
    bell, until = Bell(database_url, "push"), monotonic() + WAIT_S
    with running(ROLES, environment(database_url)) as server:
        while not is_done():
            assert monotonic() < until, (sent(ward), server.lines)
            bell.wait(0.2)
        server.process.kill()
    bell.close()


def test_nothing_of_the_critical_pathway_is_lost_or_doubled_though_every_process_is_killed(
    ward: Ward, database_url: str
) -> None:
    reading = ward.home.pressure(now().replace(microsecond=0) - 5 * SECOND, 192, 124)
    assert Intake(ward.pool).take(ward.home.envelope(reading), topic_gateway=ward.home.gateway_id) is not None

    work_until(ward, database_url, lambda: len(sent(ward)) == 2)
    assert [who for who, _, _ in sent(ward)] == ["patient", "doctor"]
    assert alert(ward, "bp-critical")["priority"] == "medium"

    let_pass(ward, 5 * MINUTE)  # nobody repeats, and no process runs
    work_until(ward, database_url, lambda: len(sent(ward)) == 3)
    assert alert(ward, "bp-critical")["priority"] == "high"

    let_pass(ward, 5 * MINUTE)  # nobody acknowledges or decides, and no process runs
    work_until(ward, database_url, lambda: len(sent(ward)) == 7)
    assert sorted((who, kind) for who, kind, _ in sent(ward)) == [
        ("desk", "breach"),
        ("desk", "escalation"),
        ("doctor", "breach"),
        ("doctor", "opening"),
        ("doctor", "opening"),
        ("nurse", "escalation"),
        ("patient", "opening"),
    ]
    assert {attempts for _, _, attempts in sent(ward)} == {1}
    assert ask(ward.pool, "select count(*) from sla_breach") == [(1,)]
    assert ask(ward.pool, "select count(*) from push where state = 'pending'") == [(0,)]
    assert ask(ward.pool, "select reason from episode_transition order by transition_id") == [
        ("found",),
        ("raised",),
        ("not_answered",),
    ]
