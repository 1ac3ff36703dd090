"""What travels over MQTT, as an AsyncAPI 3 document: the topics, who sends on them, and the schema of each message.

The schemas are those by which both ends decode (`vitals`), so the description cannot say something else than the code does. It
describes the server: `receive` is what gateways send, `send` what they are sent.
"""

from functools import cache
from importlib import metadata
from typing import Any, Final

import msgspec
from fastapi import APIRouter

from vitals.envelope import MAX_BYTES_TAKEN, Envelope, Receipt
from vitals.reading import Reading
from vitals.remote_config import MAX_BYTES, RemoteConfig
from vitals.topics import PREFIX, Channel

router: Final = APIRouter(include_in_schema=False)

REF: Final = "#/components/schemas/{name}"

STATUS: Final[dict[str, Any]] = {
    "title": "Status",
    "description": "How the box is, every minute; the last will says `offline` alone. Further members: docs/reference/wire.md.",
    "type": "object",
    "required": ["state"],
    "properties": {
        "state": {"enum": ["online", "offline"]},
        "outbox": {"type": "object", "description": "numbers for the server to hold against its own books"},
        "asks": {"type": "object", "description": "a question to be sent back with the time"},
        "meters": {"type": "object", "description": "by meter: when heard, when read, battery, failures"},
        "config": {"type": "object", "description": "what became of the last document on `config`"},
    },
}
DIAGNOSIS: Final[dict[str, Any]] = {
    "title": "Diagnosis",
    "description": "How the box is, in detail, when `config` asks for it; without anything of a patient.",
    "type": "object",
}

MESSAGES: Final[dict[Channel, tuple[str, str, str]]] = {
    Channel.READINGS: ("receive", "Envelope", f"1 to 100 numbered readings, at most {MAX_BYTES_TAKEN} bytes."),
    Channel.STATUS: ("receive", "Status", "Retained: what is known of a gateway that says nothing now."),
    Channel.DIAGNOSTICS: ("receive", "Diagnosis", "Only when asked."),
    Channel.RECEIPTS: ("send", "Receipt", "What is committed; the only thing that lets a gateway confirm."),
    Channel.CONFIG: ("send", "RemoteConfig", f"Retained: one whole document, at most {MAX_BYTES} bytes."),
}
"""By channel: what the server does there, the schema of the message, what to know of it."""


@router.get("/asyncapi.json")
def show_asyncapi() -> dict[str, Any]:
    """The MQTT side, described by AsyncAPI 3."""
    return describe()


@cache
def describe() -> dict[str, Any]:
    """The whole document."""
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "HomeVigil over MQTT",
            "version": metadata.version("homevigil"),
            "description": "MQTT 5, QoS 1, TLS with a certificate for each gateway. No patient is named anywhere.",
            "license": {"name": "Apache-2.0"},
        },
        "defaultContentType": "application/json",
        "servers": {
            "clinic": {
                "host": "{host}",
                "protocol": "secure-mqtt",
                "protocolVersion": "5",
                "variables": {"host": {"description": "the clinic's broker", "default": "clinic.example:8883"}},
                "security": [{"type": "X509", "description": "the certificate that the clinic gave to this gateway"}],
            }
        },
        "channels": {channel.value: _channel(channel) for channel in Channel},
        "operations": {f"{MESSAGES[channel][0]}_{channel.value}": _operation(channel) for channel in Channel},
        "components": {"schemas": _schemas()},
    }


def _channel(channel: Channel) -> dict[str, Any]:
    _, schema, says = MESSAGES[channel]
    return {
        "address": f"{PREFIX}/{{gateway}}/{channel.value}",
        "description": says,
        "parameters": {"gateway": {"description": "1 to 64 letters, digits and `:._-`; it names no patient"}},
        "messages": {schema: {"name": schema, "payload": {"$ref": REF.format(name=schema)}}},
    }


def _operation(channel: Channel) -> dict[str, Any]:
    action, _, says = MESSAGES[channel]
    is_retained = channel in (Channel.STATUS, Channel.CONFIG)
    return {
        "action": action,
        "summary": says,
        "channel": {"$ref": f"#/channels/{channel.value}"},
        "bindings": {"mqtt": {"qos": 1, "retain": is_retained, "bindingVersion": "0.2.0"}},
    }


def _schemas() -> dict[str, Any]:
    _, schemas = msgspec.json.schema_components([Envelope, Reading, Receipt, RemoteConfig], ref_template=REF)
    # A row is decoded by itself, so that a bad one costs its neighbours nothing; in the envelope's own type it is bytes.
    schemas["Row"]["properties"]["reading"] = {"$ref": REF.format(name="Reading")}
    return {**_as_draft_7(schemas), "Status": STATUS, "Diagnosis": DIAGNOSIS}


def _as_draft_7(schema: Any) -> Any:
    """The same as AsyncAPI reads it: draft 7 instead of 2020-12, of a discriminator the name alone, and ECMA's `$` for `\\Z`."""
    if isinstance(schema, list):
        return [_as_draft_7(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    said = {name: _as_draft_7(value) for name, value in schema.items()}
    if isinstance(tagged := said.get("discriminator"), dict):
        said["discriminator"] = tagged["propertyName"]
    if isinstance(pattern := said.get("pattern"), str):
        said["pattern"] = pattern.replace(r"\Z", "$")
    if "prefixItems" in said:
        said["items"], said["additionalItems"] = said.pop("prefixItems"), False
    return said
