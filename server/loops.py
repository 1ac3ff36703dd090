"""The loops of the roles: what each is made of, and which library is imported only by the loop that needs it."""

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

from server.config import Settings

if TYPE_CHECKING:
    from server.push.channels import Channel
    from server.store.postgres import Pool


def loops_of(
    settings: Settings, roles: frozenset[str], pool: "Pool", stop: threading.Event
) -> dict[str, Callable[[], None]]:
    """The blocking loops of the roles, by name."""
    loops: dict[str, Callable[[], None]] = {}
    if "intake" in roles:
        loops["intake"] = lambda: _intake(settings, pool, stop)
    if "judge" in roles:
        loops["judge"] = lambda: _judge(settings, pool, stop)
    if "push" in roles:
        loops["push inbox"] = lambda: _push("inbox", settings, pool, stop)
        loops["push webhook"] = lambda: _push("webhook", settings, pool, stop)
        loops["push email"] = lambda: _push("email", settings, pool, stop)
        loops["push sms"] = lambda: _push("sms", settings, pool, stop)
        loops["push chat"] = lambda: _push("chat", settings, pool, stop)
        loops["push webpush"] = lambda: _push("webpush", settings, pool, stop)
        loops["push plans"] = lambda: _plan(settings, pool, stop)
    if "watch" in roles:
        loops["watch states"] = lambda: _watch_states(pool, stop)
        loops["watch heartbeat"] = lambda: _watch_heartbeat(settings, pool, stop)
        loops["watch recompute"] = lambda: _watch_recompute(pool, stop)
        loops["watch retention"] = lambda: _watch_retention(settings, pool, stop)
        loops["watch erasures"] = lambda: _watch_erasures(settings, pool, stop)
        loops["watch audit"] = lambda: _watch_audit(pool, stop)
        loops["watch anchors"] = lambda: _watch_anchors(settings, pool, stop)
    return loops


def _intake(settings: Settings, pool: "Pool", stop: threading.Event) -> None:
    from server.door import Door
    from server.intake import Intake

    Door(settings, Intake(pool), stop).run()


def _judge(settings: Settings, pool: "Pool", stop: threading.Event) -> None:
    from server.judge import Judge
    from server.rules.ready import warm_up
    from server.store.postgres import Bell

    warm_up()
    bell = Bell(settings.database_url.get_secret_value(), "due")
    try:
        Judge(pool).run(stop, bell)
    finally:
        bell.close()


def _push(name: str, settings: Settings, pool: "Pool", stop: threading.Event) -> None:
    from server.push.dispatch import Dispatcher
    from server.store.postgres import Bell

    channel = _channel(name, settings, pool)
    bell = Bell(settings.database_url.get_secret_value(), "push")
    try:
        Dispatcher(pool, channel).run(stop, bell)
    finally:
        bell.close()


def _channel(name: str, settings: Settings, pool: "Pool") -> "Channel":
    """A way out, whose library is imported by the loop that needs it."""
    match name:
        case "inbox":
            from server.push.inbox import Inbox

            return Inbox()
        case "webhook":
            from server.push.webhook import WebhookChannel

            return WebhookChannel(allow_private=settings.webhook_allow_private)
        case "email" | "sms" | "chat" | "webpush":
            from server.push.outside import OutsideChannel

            return OutsideChannel(
                pool, name, public_url=settings.public_url, allow_private=settings.webhook_allow_private
            )
    raise AssertionError(name)


def _plan(settings: Settings, pool: "Pool", stop: threading.Event) -> None:
    from server.programme.planner import Planner
    from server.store.postgres import Bell

    bell = Bell(settings.database_url.get_secret_value(), "plan")
    try:
        Planner(pool).run(stop, bell)
    finally:
        bell.close()


def _watch_states(pool: "Pool", stop: threading.Event) -> None:
    from server.watch.states import watch_states

    watch_states(pool, stop)


def _watch_heartbeat(settings: Settings, pool: "Pool", stop: threading.Event) -> None:
    from server.watch.heartbeat import beat

    beat(settings, pool, stop)


def _watch_recompute(pool: "Pool", stop: threading.Event) -> None:
    from server.watch.nightly import recompute_nightly

    recompute_nightly(pool, stop)


def _watch_retention(settings: Settings, pool: "Pool", stop: threading.Event) -> None:
    from server.watch.retention import keep_retention

    keep_retention(pool, stop, settings.folders_to_look_through)


def _watch_erasures(settings: Settings, pool: "Pool", stop: threading.Event) -> None:
    from server.watch.erasures import keep_looking

    keep_looking(pool, stop, settings.folders_to_look_through)


def _watch_audit(pool: "Pool", stop: threading.Event) -> None:
    from server.audit.sealing import keep_sealing

    keep_sealing(pool, stop)


def _watch_anchors(settings: Settings, pool: "Pool", stop: threading.Event) -> None:
    from server.audit.anchoring import keep_anchoring

    keep_anchoring(settings, pool, stop)
