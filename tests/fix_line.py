"""The whole line on real parts: PostgreSQL, mosquitto, D-Bus, Bumble, and our own processes, with a few people on it."""

import json
import shutil
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from homevigil.demo.neighbourhood import Neighbourhood, neighbourhood
from homevigil.embedded.postgres import temporary_folder
from server.store.intake import check_accounts


@pytest.fixture
def living_line(bus_address: str, request: pytest.FixtureRequest) -> Iterator[Neighbourhood]:
    """The line in a folder of its own; at the end every account must balance. (`bus_address` says what a missing bus means.)

    A test may name the broker by an indirect parameter.
    """
    folder = temporary_folder()
    with neighbourhood(folder, patients=3, days=25, seed=7, broker=getattr(request, "param", "mosquitto")) as living:
        yield living
        with psycopg.connect(living.line.database_url) as conn:
            assert check_accounts(conn) == ()
    shutil.rmtree(folder)


def outbox_of(living: Neighbourhood) -> dict[str, Any]:
    """What the gateway's own command says of its outbox."""
    command = [sys.executable, "-m", "gateway", "outbox", "--json"]
    said = subprocess.run(command, env=dict(living.line.environment_of("gateway")), capture_output=True, check=True)
    return dict(json.loads(said.stdout))


def ask(living: Neighbourhood, path: str) -> Any:
    """GET from the API as the doctor, over HTTP."""
    body = json.dumps({"login": living.doctor.login, "password": living.doctor.password}).encode()
    url = living.line.web_url
    login = urllib.request.Request(f"{url}/api/v1/login", data=body, headers={"Content-Type": "application/json"})
    with urllib.request.urlopen(login, timeout=10) as answer:
        token = json.load(answer)["token"]
    asked = urllib.request.Request(f"{url}{path}", headers={"Authorization": f"Bearer {token}"})
    with urllib.request.urlopen(asked, timeout=10) as answer:
        return json.load(answer)
