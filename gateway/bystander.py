"""The diagnosis of a box whose gateway may not even start: from its settings, its outbox and the journal, by a bystander.

What a running gateway knows alone (its radio, its sessions) is in its log and in the status at the clinic.
"""

from dataclasses import asdict
from typing import Any

from gateway import diagnostics
from gateway.clock import Clock
from gateway.config import load_settings
from gateway.errors import OutboxVersionError
from gateway.file_lock import is_locked
from gateway.health import look_at_machine
from gateway.outbox import read_counts, read_remembered, read_setting
from gateway.remote_config import kept_config, secrets_of
from gateway.user_codes import UserCodes
from vitals.errors import UnavailableError
from vitals.remote_config import RemoteConfig


def look_at_box() -> dict[str, Any]:
    """Everything that can be had from outside; what cannot is said to be so. Raises `SettingsError`."""
    settings, clock = load_settings(), Clock()
    status: dict[str, Any] = {
        "running": settings.outbox.exists() and is_locked(settings.outbox),
        "clock": "synchronised" if clock.is_believable() else "not synchronised",
        "machine": look_at_machine(settings.outbox.parent).describe() | {"throttling": diagnostics.throttling()},
    }
    remembered, config = [], RemoteConfig()
    try:
        status["outbox"] = asdict(read_counts(settings.outbox))
        remembered = read_remembered(settings.outbox)
        config = kept_config(lambda name: read_setting(settings.outbox, name))
    except (OutboxVersionError, UnavailableError, OSError) as e:
        status["outbox"] = {"wrong": str(e)}
    status["config"] = {"in_force": config.revision}
    return diagnostics.bundle(
        now=clock.now(),
        settings=settings,
        status=status,
        remembered=remembered,
        counted={},
        lines=diagnostics.journal(),
        secrets={*secrets_of(config), *UserCodes(settings.outbox.parent).secrets()},
    )
