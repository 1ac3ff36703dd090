"""The catalog in force in a test's database, without an account that approves it."""

import psycopg

from server.rules.load import load_catalog
from server.store.rule_book import enter


def put_in_force(url: str) -> None:
    """As it is in a house that judged before there were approvals. The alarm of a new house is gone without a trace."""
    with psycopg.connect(url, prepare_threshold=None) as conn:
        enter(conn, load_catalog())
        conn.execute(
            """insert into rule_approval (rule_id, version, sha256, approved_at)
               select rule_id, version, sha256, now() from rule_version"""
        )
        conn.execute("truncate alarm restart identity")
