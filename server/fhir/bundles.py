"""Several resources in one: the answer to a search, a patient's whole record, an error."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from uuid import UUID

from server.fhir.codes import Resource
from server.fhir.dates import instant


def searchset(base: str, resources: Iterable[Resource], *, self_url: str, next_url: str | None) -> Resource:
    """One page of a search. `base` is where resources are read, without a slash at its end."""
    links = [{"relation": "self", "url": self_url}]
    if next_url:
        links.append({"relation": "next", "url": next_url})
    bundle: Resource = {"resourceType": "Bundle", "type": "searchset", "link": links}
    if entries := [_entry(base, each) for each in resources]:
        bundle["entry"] = [{**entry, "search": {"mode": "match"}} for entry in entries]
    return bundle


def collection(base: str, resources: Sequence[Resource], *, bundle_id: UUID, now: datetime) -> Resource:
    """A whole record, to be taken along."""
    return {
        "resourceType": "Bundle",
        "id": str(bundle_id),
        "type": "collection",
        "timestamp": instant(now),
        "entry": [_entry(base, each) for each in resources],
    }


def outcome(code: str, said: str) -> Resource:
    """What went wrong, by FHIR's own codes for it."""
    return {
        "resourceType": "OperationOutcome",
        "issue": [{"severity": "error", "code": code, "diagnostics": said}],
    }


def _entry(base: str, resource: Resource) -> Resource:
    return {"fullUrl": f"{base}/{resource['resourceType']}/{resource['id']}", "resource": resource}
