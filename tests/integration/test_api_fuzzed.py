"""The whole API and the FHIR facade as every role, with whatever its own description allows and forbids (schemathesis): no answer
is a mistake of ours, and none is other than described.

What is asked about exists as often as not: ids of the database stand in for those that are drawn.
"""

from collections.abc import Mapping
from typing import Any, get_args

import pytest
import schemathesis
from fix_clinic import Clinic
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.core.failures import Failure
from schemathesis.schemas import APIOperation
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from server.people.accounts import Role

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
EXAMPLES, EXAMPLES_FULL = 5, 1000
"""Of each operation and role."""
NOBODY = "nobody"


def ids_of(clinic: Clinic) -> Mapping[str, list[str]]:
    """What there is, by the name of the parameter that asks for it."""
    doctor = clinic.add_user("dr-lin")
    known: dict[str, list[str]] = {"patient_id": [], "episode_id": [], "reading_id": [], "push_id": []}
    for name in ("王芳", "陌生人"):
        patient, episode = clinic.high_patient(name, doctor if name == "王芳" else None)
        known["patient_id"].append(str(patient))
        known["episode_id"].append(str(episode))
    clinic.deliver()
    for name, sql in (
        ("reading_id", "select reading_id as id from reading limit 3"),
        ("push_id", "select push_id as id from push limit 3"),
    ):
        known[name] += [str(row["id"]) for row in clinic.rows(sql)]
    known["observation_id"] = known["reading_id"]
    known["rule_id"] = ["bp-above-140-90-3-days", "bp-critical"]
    return known


def ask(
    operation: APIOperation[Any, Any, Any, Any], known: Mapping[str, list[str]], headers: dict[str, str], n: int
) -> None:
    modes = [GenerationMode.POSITIVE, GenerationMode.NEGATIVE]

    @seed(20261122)
    @settings(
        max_examples=n,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(data=st.data())
    def run(data: st.DataObject) -> None:
        mode = data.draw(st.sampled_from(modes))
        case = data.draw(operation.as_strategy(generation_mode=mode))
        for name in case.path_parameters or {}:
            if name in known and data.draw(st.booleans()):
                case.path_parameters[name] = data.draw(st.sampled_from(known[name]))
        case.call_and_validate(headers=headers, checks=CHECKS)

    run()


@pytest.mark.parametrize("role", [*get_args(Role), NOBODY])
def test_no_request_is_answered_by_a_mistake_or_by_something_that_is_not_described(
    clinic: Clinic, role: str, request: pytest.FixtureRequest
) -> None:
    known = ids_of(clinic)
    headers = {}
    if role != NOBODY:
        own = int(known["patient_id"][0])
        if role == "patient":
            clinic.add_user("as-patient", role, patient_id=own)  # type: ignore[arg-type]
        else:
            clinic.put_on_panel(clinic.add_user(f"as-{role}", role), own)  # type: ignore[arg-type]
        headers = {"Authorization": clinic.client(f"as-{role}").headers["Authorization"]}
    schema = schemathesis.openapi.from_url(f"{clinic.url}/openapi.json")
    full = request.config.getoption("--full")

    wrong = []
    for result in schema.get_all_operations():
        operation = result.ok()
        if operation.path == "/api/v1/logout":
            continue
        try:
            ask(operation, known, headers, EXAMPLES_FULL if full else EXAMPLES)
        except* Failure as e:
            wrong += [f"{operation.label}: {each}" for each in e.exceptions]
    assert wrong == [], "\n".join(wrong)
