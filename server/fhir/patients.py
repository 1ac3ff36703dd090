"""A patient as a FHIR Patient, by what the clinic knows; what it does not know is left out."""

from collections.abc import Mapping
from typing import Final

from server.fhir import codes
from server.fhir.codes import Resource, coded
from server.store.worklist import PanelPatient

IDENTIFIER_TYPES: Final = "http://terminology.hl7.org/CodeSystem/v2-0203"
LANGUAGES: Final[Mapping[str, str]] = {"zh": "zh-CN", "en": "en"}


def patient(each: PanelPatient) -> Resource:
    identifier = {
        "type": coded(IDENTIFIER_TYPES, "MR"),
        "system": "urn:homevigil:patient",
        "value": str(each.patient_id),
    }
    person: Resource = {
        "resourceType": "Patient",
        "id": str(each.patient_id),
        "meta": {"profile": [f"{codes.PHD}/PhdPatient"]},
        "identifier": [identifier],
        "active": True,
        "name": [{"text": each.name}],
        "communication": [{"language": coded("urn:ietf:bcp:47", LANGUAGES[each.language]), "preferred": True}],
    }
    if each.sex:
        person["gender"] = each.sex
    if each.birth_date:
        person["birthDate"] = each.birth_date.isoformat()
    if each.phone:
        person["telecom"] = [{"system": "phone", "value": each.phone}]
    return person
