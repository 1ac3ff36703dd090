"""What the facade can do, as a CapabilityStatement: said once, and followed by the endpoints that read it."""

from collections.abc import Mapping
from datetime import datetime
from typing import Final

from server.fhir.codes import Resource

SEARCHES: Final[Mapping[str, Mapping[str, str]]] = {
    "Patient": {"_id": "token"},
    "Device": {"patient": "reference"},
    "Observation": {"patient": "reference", "code": "token", "date": "date", "_lastUpdated": "date"},
    "DetectedIssue": {"patient": "reference", "identified": "date"},
    "Task": {"patient": "reference", "authored-on": "date"},
    "Communication": {"patient": "reference", "sent": "date"},
}
"""By resource, what may be searched by; `_count` besides, everywhere."""

NEEDS_PATIENT: Final = frozenset(SEARCHES) - {"Patient"}
"""Who wants everybody's asks for a bulk export."""

BULK: Final = "http://hl7.org/fhir/uv/bulkdata/OperationDefinition/group-export"


def statement(*, base: str, version: str, now: datetime) -> Resource:
    """The CapabilityStatement of the server under `base`."""
    resources = [_resource(name, searches) for name, searches in SEARCHES.items()]
    group = {
        "type": "Group",
        "interaction": [{"code": "read"}],
        "operation": [{"name": "export", "definition": BULK}],
    }
    return {
        "resourceType": "CapabilityStatement",
        "status": "active",
        "date": now.isoformat(timespec="seconds"),
        "kind": "instance",
        "software": {"name": "HomeVigil", "version": version},
        "implementation": {
            "description": "Readings of people who measure at home, and what became of them",
            "url": base,
        },
        "fhirVersion": "4.0.1",
        "format": ["application/fhir+json"],
        "implementationGuide": ["http://hl7.org/fhir/uv/phd/ImplementationGuide/hl7.fhir.uv.phd"],
        "rest": [{"mode": "server", "security": _security(base), "resource": [*resources, group]}],
    }


def _security(base: str) -> Resource:
    """SMART Backend Services: a token for a signed assertion."""
    system = "http://terminology.hl7.org/CodeSystem/restful-security-service"
    return {
        "service": [{"coding": [{"system": system, "code": "SMART-on-FHIR"}]}],
        "extension": [
            {
                "url": "http://fhir-registry.smarthealthit.org/StructureDefinition/oauth-uris",
                "extension": [{"url": "token", "valueUri": f"{base}/auth/token"}],
            }
        ],
    }


def _resource(name: str, searches: Mapping[str, str]) -> Resource:
    params = [{"name": each, "type": kind} for each, kind in {**searches, "_count": "number"}.items()]
    return {
        "type": name,
        "interaction": [{"code": "read"}, {"code": "search-type"}],
        "versioning": "no-version",
        "readHistory": False,
        "searchParam": params,
    }
