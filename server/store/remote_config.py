"""What the clinic wants of its gateways, until it is published; and the diagnoses that they send when asked.

Pairing codes lie here, as they do in the gateway: whoever can read this database can read every reading anyway.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

import msgspec
from psycopg import DataError
from psycopg.rows import class_row

from server.store.postgres import Connection, load_sql
from vitals.remote_config import RemoteConfig, decode_config, encode_config

SQL: Final = load_sql("remote_config")

AT_A_TIME: Final = 100
PATIENCE: Final = timedelta(minutes=1)
"""A gateway says how it is every minute, and at once when it has taken a document: one that was sent may still be on its way."""
DIAGNOSES_KEPT: Final = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What a gateway is to do. `published_at`: None if it has not been published yet. `said`: what the gateway says of it,
    unchecked."""

    config: RemoteConfig
    changed_at: datetime | None
    published_at: datetime | None
    heard_at: datetime | None
    said: Mapping[str, Any] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Diagnosis:
    """What a gateway has answered, and when."""

    request: str
    received_at: datetime
    document: Mapping[str, Any]


def change(conn: Connection, gateway_id: str, changed: Callable[[RemoteConfig], RemoteConfig]) -> RemoteConfig:
    """Write the gateway's document anew as `changed` makes it of the one before; its revision is one higher."""
    before = _document(conn.execute(SQL["lock"], {"gateway_id": gateway_id}).fetchone())
    config = msgspec.structs.replace(changed(before), revision=before.revision + 1)
    document = encode_config(config).decode()
    conn.execute(SQL["write"], {"gateway_id": gateway_id, "revision": config.revision, "document": document})
    return config


def wanted(conn: Connection, gateway_id: str) -> Wanted:
    """What the gateway is to do, and what it says of that; an empty document if nothing was ever set."""
    row = conn.execute(SQL["lock"], {"gateway_id": gateway_id}).fetchone()
    heard = conn.execute(SQL["said"], {"gateway_id": gateway_id}).fetchone()
    assert heard is not None, gateway_id
    return Wanted(
        config=_document(row),
        changed_at=None if row is None else row[2],
        published_at=None if row is None else row[3],
        heard_at=heard[0],
        said=heard[1] if isinstance(heard[1], dict) else None,
    )


def unpublished(conn: Connection) -> Sequence[tuple[str, RemoteConfig]]:
    """The documents that are to be published, oldest first, with their gateways."""
    rows = conn.execute(SQL["unpublished"], {"limit": AT_A_TIME}).fetchall()
    return [(str(gateway_id), _decoded(document)) for gateway_id, document in rows]


def published(conn: Connection, gateway_id: str, revision: int) -> None:
    """This document has been given to the broker. One that was written meanwhile stays to be published."""
    conn.execute(SQL["published"], {"gateway_id": gateway_id, "revision": revision})


def heard(conn: Connection, gateway_id: str, revision: int) -> None:
    """The gateway names this revision as the last that it was sent."""
    conn.execute(SQL["publish_again"], {"gateway_id": gateway_id, "revision": revision, "patience": PATIENCE})


def keep_diagnosis(conn: Connection, gateway_id: str, request: str, document: str) -> bool:
    """Keep what a gateway has answered, JSON text, beside the few before it; False for what PostgreSQL cannot hold."""
    try:
        with conn.transaction():
            answer = {"gateway_id": gateway_id, "request": request, "document": document}
            conn.execute(SQL["keep_diagnosis"], answer)
    except DataError:
        return False
    conn.execute(SQL["forget_diagnoses"], {"gateway_id": gateway_id, "kept": DIAGNOSES_KEPT})
    return True


def newest_diagnosis(conn: Connection, gateway_id: str) -> Diagnosis | None:
    with conn.cursor(row_factory=class_row(Diagnosis)) as cursor:
        return cursor.execute(SQL["diagnosis"], {"gateway_id": gateway_id}).fetchone()


def _document(row: tuple[Any, ...] | None) -> RemoteConfig:
    return RemoteConfig() if row is None else _decoded(row[1])


def _decoded(document: object) -> RemoteConfig:
    return decode_config(json.dumps(document).encode())[0]
