"""Hears which patients' worklist rows have changed: LISTEN on one connection, for a whole process.

What is heard is a hint and names numbers of patients, never what changed; whoever hears it reads again, through the door of the
person who looks. What rings while nobody listens is lost, so `hear` says "all" after every connecting.
"""

from collections.abc import Collection
from typing import Final

import psycopg
from psycopg.rows import scalar_row

from server.store.postgres import PATIENCE, Connection, OpenPool, load_sql
from vitals.errors import UnavailableError

_SQL: Final = load_sql("news")


class Ear:
    """Listens on a connection of its own to where `pool` leads. Used by one thread."""

    def __init__(self, pool: OpenPool) -> None:
        self._address = pool.conninfo if isinstance(pool.conninfo, str) else pool.conninfo()
        self._conn: Connection | None = None

    def hear(self, timeout_s: float) -> frozenset[int] | None:
        """The patients of whom something changed within `timeout_s`; `None`: of anybody something may have changed.

        Raises `UnavailableError` if nothing can be heard.
        """
        try:
            if self._conn is None:
                self._conn = psycopg.connect(
                    self._address, autocommit=True, application_name="homevigil news", **PATIENCE
                )
                self._conn.execute(_SQL["listen"])
                return None
            rung = self._conn.notifies(timeout=timeout_s, stop_after=1)
            return frozenset(int(each.payload) for each in rung if each.payload.isdigit())
        except psycopg.Error as e:
            self.close()
            raise UnavailableError(f"database: {type(e).__name__}: {str(e).strip()[:200]}") from e

    def close(self) -> None:
        if self._conn is not None:
            self._conn.close()
            self._conn = None


def users_seeing(conn: Connection, patient_ids: Collection[int], *, among: Collection[int]) -> frozenset[int]:
    """Those of the users `among` who see one of these patients."""
    with conn.cursor(row_factory=scalar_row) as cursor:
        values = {"patient_ids": list(patient_ids), "user_ids": list(among)}
        return frozenset(cursor.execute(_SQL["users_seeing"], values).fetchall())
