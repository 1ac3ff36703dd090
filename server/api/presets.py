"""`/api/v1/patients/{id}/presets`: the rules that are usually chosen for such a patient, and a doctor's yes to them."""

from collections.abc import Mapping
from typing import Final, Self

from fastapi import APIRouter

from server.api import problems
from server.api.patients import PatientId
from server.api.shapes import Shape
from server.api.thresholds import ThresholdOut, ThresholdsOut
from server.people import panels, presets
from server.people.door import Changing, SignedIn
from server.people.presets import Applying, Proposal
from server.rules.presets import catalog_presets
from server.store.postgres import transaction
from server.store.rule_book import in_force

router: Final = APIRouter(prefix="/api/v1/patients/{patient_id}/presets", tags=["thresholds"])


class ProposalOut(Shape):
    """What a preset says of one rule. `is_so`: nothing would change. `is_by_hand`: somebody decided otherwise, and it stays."""

    rule_id: str
    is_watched: bool
    parameters: Mapping[str, float]
    because: str
    is_so: bool
    is_by_hand: bool

    @classmethod
    def of(cls, proposal: Proposal) -> Self:
        choice = proposal.choice
        return cls(
            rule_id=choice.rule_id,
            is_watched=choice.is_watched,
            parameters=dict(choice.parameters),
            because=choice.because,
            is_so=proposal.is_so,
            is_by_hand=proposal.is_by_hand,
        )


class ProposalsOut(Shape):
    """By the patient's conditions and age."""

    proposals: tuple[ProposalOut, ...]


@router.get("", responses=problems.NOT_FOUND)
def list_proposals(caller: SignedIn, patient_id: PatientId) -> ProposalsOut:
    """What the presets would choose for the patient; nothing is changed."""
    with transaction(caller.pool) as conn:
        panels.check(conn, user_id=caller.user_id, patient_id=patient_id)
        found = presets.proposals(
            conn,
            patient_id,
            rules=in_force(conn),
            presets=catalog_presets(),
            today=caller.now.date(),
        )
    return ProposalsOut(proposals=tuple(ProposalOut.of(each) for each in found))


@router.post("", responses=problems.CORRECTION)
def apply_presets(caller: Changing, patient_id: PatientId) -> ThresholdsOut:
    """A doctor says yes: what is not so yet is set, and the patient is judged by it at once. Twice does nothing more."""
    applying = Applying(
        patient_id=patient_id,
        user_id=caller.user_id,
        login=caller.session.login,
        role=caller.session.role,
        now=caller.now,
    )
    with transaction(caller.pool) as conn:
        rules = in_force(conn)
    versions = presets.apply(caller.pool, applying, rules=rules, presets=catalog_presets())
    return ThresholdsOut(thresholds=tuple(ThresholdOut.of(own) for own in versions))
