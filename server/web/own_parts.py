"""What other rooms put on the patient's own page: each a function that says its part as markup, or nothing.

A part answers its own forms, under the patient's own address. Only that which tells this device needs a script, and brings it.
"""

from collections.abc import Callable
from datetime import datetime
from typing import Final

from markupsafe import Markup

from server.store.postgres import Connection
from server.store.worklist import LinkedPatient
from server.web.own_browser import browser_part
from server.web.own_consents import consents_part
from server.web.own_plan import plan_part
from server.web.own_record import record_part
from server.web.words import Words

Part = Callable[[Connection, LinkedPatient, str, Words, datetime], Markup]
"""Whose page, the token of its link, in which language, and when."""

PARTS: Final[tuple[Part, ...]] = (plan_part, browser_part, consents_part, record_part)
"""In the order in which they stand on the page, after what was measured."""
