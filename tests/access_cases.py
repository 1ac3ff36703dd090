"""Every address of the app asked by everybody about everybody: the cases of the access matrix, and how they are asked.

A case is (who asks, address, about whom). Paths, queries and bodies are filled with the ids of the patient asked about, or with
one's own patient's id beside the other's rows. Bodies come from the API's own description, so that a new endpoint is asked, too.
"""

import asyncio
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from urllib.parse import urlencode

from fastapi import FastAPI
from fastapi.routing import APIRoute

from server import clock
from server.asgi import ROUTERS

NOT_ASKED = frozenset(
    {
        "POST /logout",  # ends the session that asks
        "POST /api/v1/logout",
        "GET /login/house",  # leads elsewhere, where there is an elsewhere
        "GET /worklist/stream",  # never ends; names nobody
        "POST /account/password",
        "POST /account/sessions/end",  # ends the sessions of whoever asks (test_api_door)
        "POST /admin/users/{user_id}/{deed}",  # ends the sessions of whoever asks (test_admin_users)
        "POST /admin/users/{user_id}/role",
        "POST /api/v1/users/{user_id}/role",
        "POST /api/v1/users/{user_id}/reset",
        "POST /api/v1/users/{user_id}/close",
        "POST /api/v1/users/{user_id}/sign-out",
        "POST /break-glass",  # opens a stranger's record, as it should (test_panels)
        "POST /api/v1/break-glass",
        "POST /api/v1/login",
        "POST /login",
        "GET /login/house/back",  # ways in that nobody is signed in for: after some requests they wait (test_signing_in)
        "POST /login/passkey/ask",
        "POST /login/passkey",
        "POST /fhir/auth/token",
        "POST /erasures/{request_id}/confirm",  # somebody would be gone in the middle (test_erasure_requests)
        "POST /api/v1/erasure-requests/{request_id}/confirm",
    }
)
AT_ONCE = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Somebody asked about: `ids` by the names that paths, queries and bodies give them."""

    kind: str
    ids: Mapping[str, str]
    markers: frozenset[str] = frozenset()
    """What only those who see the patient may read: names, telephone, ids of rows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asker:
    """Somebody who asks; `token` None: nobody is signed in. `sees`: the kinds of targets that are theirs."""

    name: str
    role: str
    token: str | None = None
    csrf_token: str = ""
    sees: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    asker: Asker
    target: Target
    method: str
    route: str
    path: str
    query: str
    body: bytes
    headers: tuple[tuple[str, str], ...]
    is_mixed: bool
    """One's own patient is named beside the other's row."""

    @property
    def asked(self) -> str:
        return f"{self.path}?{self.query} {self.body.decode()}"

    def __str__(self) -> str:
        return f"{self.asker.name}: {self.method} {self.asked} ({self.target.kind})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    case: Case
    status: int
    headers: tuple[tuple[str, str], ...]
    body: str

    def bare(self) -> tuple[int, tuple[tuple[str, str], ...], str]:
        """Without what was asked, which an answer may repeat."""
        body = self.body.replace(self.case.path, "·")
        for each in set(self.case.target.ids.values()):
            body = body.replace(each, "·") if len(each) > len("1234567") else body
        body = re.sub(r'(name="csrf_token" value=|datetime=)"[^"]*"', "", body)
        headers = tuple(sorted((name, value) for name, value in self.headers if name != "content-length"))
        return self.status, headers, body


def routes() -> list[APIRoute]:
    return [each for router in ROUTERS for each in router.routes if isinstance(each, APIRoute)]


def named(route: APIRoute) -> str:
    (method,) = route.methods
    return f"{method} {route.path}"


@dataclass(slots=True, kw_only=True)
class Matrix:
    """All cases about one clinic."""

    app: FastAPI
    askers: Sequence[Asker]
    targets: Sequence[Target]
    fixed: Mapping[str, str] = field(default_factory=dict)
    """What stands in a path beside the ids of somebody."""

    def cases(self) -> Iterator[Case]:
        own = next(each for each in self.targets if each.kind == "own")
        for route in routes():
            if named(route) in NOT_ASKED:
                continue
            for asker in self.askers:
                for target in self.targets:
                    yield self.case(route, asker, target, target.ids)
                    slots = set(re.findall(r"{(\w+)}", route.path)) & set(target.ids)
                    if len(slots) > 1 and target is not own:  # one's own patient's id beside the other's row
                        yield self.case(route, asker, target, {**target.ids, "patient_id": own.ids["patient_id"]})

    def case(self, route: APIRoute, asker: Asker, target: Target, ids: Mapping[str, str]) -> Case:
        (method,) = route.methods
        values = {**self.fixed, **ids}
        path = re.sub(r"{(\w+)(?::\w+)?}", lambda found: values[found.group(1)], route.path)
        queries = _names(route.dependant, "query_params")
        pairs = [(name, values[name]) for name in sorted(queries & set(ids))]
        headers = [("host", "test"), ("if-match", '"1"'), ("accept", "*/*")]
        is_page = not route.include_in_schema
        if asker.token is not None:
            headers.append(
                ("cookie", f"homevigil={asker.token}") if is_page else ("authorization", f"Bearer {asker.token}")
            )
        body = b""
        if method != "GET" and (is_page or route.body_field is not None):
            if is_page or route.path == "/fhir/auth/token":
                headers.append(("content-type", "application/x-www-form-urlencoded"))
                body = urlencode(_form(route, {**FORM, **values, "csrf_token": asker.csrf_token})).encode()
            else:
                headers.append(("content-type", "application/json"))
                body = json.dumps(self._json(route, method, values)).encode()
        return Case(
            asker=asker,
            target=target,
            method=method,
            route=named(route),
            path=path,
            query=urlencode(pairs),
            body=body,
            headers=tuple(headers),
            is_mixed=ids is not target.ids,
        )

    def _json(self, route: APIRoute, method: str, values: Mapping[str, str]) -> object:
        described = self.app.openapi()
        operation = described["paths"][route.path][method.lower()]
        schema = operation["requestBody"]["content"]["application/json"]["schema"]
        return _filled(schema, described, "", values)

    def ask(self, cases: Sequence[Case]) -> list[Answer]:
        """The answers, in the order of the cases."""

        async def run() -> list[Answer]:
            gate = asyncio.Semaphore(AT_ONCE)

            async def one(case: Case) -> Answer:
                async with gate:
                    return await ask_once(self.app, case)

            return list(await asyncio.gather(*(one(case) for case in cases)))

        return asyncio.run(run())


FORM = {
    "if_match": '"1"',
    "snooze_for": "1h",
    "resolution": "advised",
    "is_useful": "yes",
    "note": "called",
    "reason": "trial",
    "result": "reached",
    "outcome": "reached",
    "watch": "as_rule",
    "times": "1",
    "masked": "no",
    "answer": "{}",
    "is_read": "yes",
    "sha256": "0" * 64,
    "occasion": "x",
    "said": "done",
    "begin": "0",
}


def _names(dependant: Any, kind: str) -> set[str]:
    found = set()
    for each in getattr(dependant, kind):
        found |= set(getattr(each.field_info.annotation, "model_fields", {})) or {each.alias}
    return found.union(*(_names(each, kind) for each in dependant.dependencies))


def _form(route: APIRoute, values: Mapping[str, str]) -> list[tuple[str, str]]:
    names = _names(route.dependant, "body_params") | {
        "csrf_token"
    }  # a page that reads its form by itself declares none
    return [(name, values[name]) for name in sorted(names) if name in values]


def _filled(schema: Mapping[str, Any], described: Mapping[str, Any], name: str, values: Mapping[str, str]) -> object:
    """Something that fits the schema, about whom `values` names."""
    while "$ref" in schema:
        schema = described["components"]["schemas"][schema["$ref"].rsplit("/", 1)[1]]
    known = values.get(name.removeprefix("to_"))
    kind = schema.get("type")
    if known is not None and kind in ("integer", "string"):
        return int(known) if kind == "integer" else known
    for options in ("anyOf", "oneOf", "allOf"):
        if options in schema:
            return _filled(schema[options][0], described, name, values)
    if "const" in schema or "enum" in schema or ("default" in schema and name not in values):
        return schema.get("const", schema.get("default", schema.get("enum", [None])[0]))
    match kind:
        case "object":
            needed = {
                each for each in schema.get("properties", {}) if each in schema.get("required", ()) or each in values
            }
            return {each: _filled(schema["properties"][each], described, each, values) for each in sorted(needed)}
        case "array":
            item = schema.get("items", {})
            return [_filled(item, described, name, values)] if schema.get("minItems", 0) or name in values else []
        case "integer" | "number":
            return schema.get("minimum", 1)
        case "boolean":
            return True
    if schema.get("format") == "date-time":
        return (clock.now() + timedelta(hours=2)).isoformat()
    return "said by telephone"


async def ask_once(app: FastAPI, case: Case) -> Answer:
    sent: list[Mapping[str, Any]] = []
    asked = iter([{"type": "http.request", "body": case.body, "more_body": False}])

    async def receive() -> Mapping[str, Any]:
        return next(asked, {"type": "http.disconnect"})

    async def send(message: Mapping[str, Any]) -> None:
        sent.append(message)

    await app(
        {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": case.method,
            "path": case.path,
            "raw_path": case.path.encode(),
            "query_string": case.query.encode(),
            "root_path": "",
            "scheme": "http",
            "headers": [(name.encode(), value.encode()) for name, value in case.headers],
            "server": ("test", 80),
            "client": ("192.0.2.1", 5555),
        },
        receive,
        send,
    )
    start, *rest = sent
    return Answer(
        case=case,
        status=start["status"],
        headers=tuple((name.decode(), value.decode()) for name, value in start["headers"]),
        body=b"".join(message.get("body", b"") for message in rest).decode("utf-8", "replace"),
    )
