"""Runs the roles that were asked for, in one process, until it is told to end: then within five seconds.

Each role is a loop in a thread of its own (the web a server on the event loop). Every role can be run in many processes but
intake, whose name at the broker is its own. A role that dies takes the process with it, so that whoever supervises sees it.
"""

import asyncio
import os
import signal
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING, Any, Final, TypeVar

import structlog

from server import clock
from server.config import Settings
from server.errors import SchemaError, UnavailableError, VaultError
from server.loops import loops_of

if TYPE_CHECKING:
    from fastapi import FastAPI

    from server.people.house import House
    from server.store.postgres import OpenPool, Pool
    from server.trust.office import ClaimOffice

log = structlog.get_logger()

T = TypeVar("T")

ROLES: Final = ("intake", "judge", "push", "web", "watch")
"""What runs unless something else is asked for; `enrol` is run besides, where the clinic has an authority of its own."""
ALL_ROLES: Final = (*ROLES, "enrol")
END_WITHIN_S: Final = 2.5
"""How long loops may take to end; what they were doing then is rolled back by PostgreSQL and done again by another."""

WEB_END_WITHIN_S: Final = 2
WAIT_S: Final = 2.0


def run(settings: Settings, roles: frozenset[str]) -> int:
    """Run `roles` until SIGINT or SIGTERM; returns the exit code: 0 when told to end, 1 when a role died."""
    return asyncio.run(_run(settings, roles))


async def _run(settings: Settings, roles: frozenset[str]) -> int:
    stop = threading.Event()
    ending = asyncio.Event()
    loop = asyncio.get_running_loop()

    def end() -> None:
        stop.set()
        ending.set()

    for each in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(each, end)
    if not await _schema_is_there(settings, roles, ending):
        return 0 if ending.is_set() else 1
    with _open(settings) as pool:
        if roles & {"judge", "web", "watch"} and not await _rules_are_entered(pool, ending):
            return 0
        log.info("started", roles=sorted(roles))
        is_well = await _until_ended(_roles(settings, roles, pool, stop, ending), end, ending)
    log.info("ended", well=is_well)
    return 0 if is_well else 1


async def _until_ended(roles: Coroutine[None, None, None], end: Callable[[], None], ending: asyncio.Event) -> bool:
    """Run the roles until they are told to end or one of them dies; True if none did."""
    running = asyncio.create_task(roles, name="roles")
    told = asyncio.create_task(ending.wait(), name="told to end")
    await asyncio.wait({running, told}, return_when=asyncio.FIRST_COMPLETED)
    end()
    await asyncio.wait({running, told}, timeout=END_WITHIN_S)
    if not running.done():
        log.warning("ended_late", after_s=END_WITHIN_S)
        running.cancel()
        await asyncio.wait({running})
        return True
    if (death := running.exception()) is not None:
        log.error("role_died", exc_info=death)
    return death is None


async def _roles(
    settings: Settings, roles: frozenset[str], pool: "OpenPool", stop: threading.Event, ending: asyncio.Event
) -> None:
    async with asyncio.TaskGroup() as group:
        for name, loop in loops_of(settings, roles, pool, stop).items():
            group.create_task(_in_thread(name, loop), name=name)
        if "web" in roles:
            web = await _in_thread("web app", lambda: _web(settings, pool))
            group.create_task(_serve(web, settings.web_host, settings.web_port, ending), name="web")
        if "enrol" in roles:
            desk, options = await _in_thread("enrol app", lambda: _desk(settings, pool))
            group.create_task(_serve(desk, settings.enrol_host, settings.enrol_port, ending, **options), name="enrol")


async def _in_thread(name: str, work: Callable[[], T]) -> T:
    """Await `work` in a thread that does not keep the process alive: at the end nothing in memory is worth waiting for.

    `asyncio.to_thread` would be waited for at the end, whatever it does: imports alone take seconds.
    """
    loop = asyncio.get_running_loop()
    done: asyncio.Future[T] = loop.create_future()

    def finish(how: Callable[[], None]) -> None:
        if not done.cancelled():
            how()

    def target() -> None:
        try:
            result = work()
            how = partial(done.set_result, result)
        except BaseException as e:  # noqa: BLE001 - it is not swallowed: it is raised where the role is awaited
            e.add_note(f"in role {name}")
            how = partial(done.set_exception, e)
        with suppress(RuntimeError):  # the event loop has not waited for us
            loop.call_soon_threadsafe(finish, how)

    threading.Thread(target=target, name=name, daemon=True).start()
    return await done


def _web(settings: Settings, pool: "OpenPool") -> "FastAPI":
    from server.asgi import create_app

    token = settings.metrics_token
    return create_app(
        pool,
        now=clock.now,
        secure_cookies=settings.has_secure_cookies,
        clinic_phone=settings.clinic_phone,
        public_url=settings.public_url,
        house=_house(settings),
        glucose_unit=settings.glucose_unit,
        clinical_years=settings.retention_clinical_years,
        allow_private=settings.webhook_allow_private,
        metrics_token=token.get_secret_value() if token else None,
        claim_office=_claim_office(settings),
    )


def _claim_office(settings: Settings) -> "ClaimOffice | None":
    """What the page for new gateways needs, where the settings name it. Raises `UnavailableError` for a key that is none."""
    from pathlib import Path

    from server.trust import claim_key
    from server.trust.authority import INTAKE
    from server.trust.folders import Secrets
    from server.trust.office import ClaimOffice

    path = None if settings.claims_key_file is None else Path(settings.claims_key_file)
    if path is None and settings.secrets is not None:
        beside = Secrets(Path(settings.secrets)).claims_file
        path = beside if os.access(beside, os.R_OK) else None
    if path is None or settings.enrol_public_host is None:
        return None
    return ClaimOffice(
        key=claim_key.read(path),
        host=settings.enrol_public_host,
        port=settings.enrol_port,
        reserved=(INTAKE, settings.watchdog_id),
    )


def _house(settings: Settings) -> "House | None":
    """The house's own sign-in, where the settings name one."""
    from server.people.house import House

    if settings.oidc_issuer is None:
        return None
    if settings.oidc_client_id is None or settings.oidc_client_secret is None or settings.public_url is None:
        raise UnavailableError(
            "HOMEVIGIL_SERVER_OIDC_ISSUER needs HOMEVIGIL_SERVER_OIDC_CLIENT_ID, HOMEVIGIL_SERVER_OIDC_CLIENT_SECRET and"
            " HOMEVIGIL_SERVER_PUBLIC_URL"
        )
    return House(
        issuer=settings.oidc_issuer,
        client_id=settings.oidc_client_id,
        client_secret=settings.oidc_client_secret.get_secret_value(),
        login_claim=settings.oidc_login_claim,
    )


def _desk(settings: Settings, pool: "Pool") -> "tuple[FastAPI, dict[str, Any]]":
    """The door for new gateways, and how it speaks TLS. Raises `UnavailableError` where there is no authority."""
    import ssl
    from pathlib import Path

    from server.store.postgres import in_transaction
    from server.trust.desk import ShowingProtocol, create_desk
    from server.trust.folders import Secrets

    if settings.secrets is None:
        raise UnavailableError("the role enrol needs HOMEVIGIL_SERVER_SECRETS; `server ca init` makes what it holds")
    secrets = Secrets(Path(settings.secrets))
    secrets.check()

    def write_list() -> None:
        in_transaction(pool, lambda conn: secrets.write_list(conn, now=clock.now()))

    # Whoever was killed after it had admitted somebody may not have come to it. Without the database the weekly timer does.
    try:
        write_list()
    except (UnavailableError, OSError) as e:
        log.warning("revoked_not_listed", reason=str(e))
    desk = create_desk(
        pool,
        secrets.authority(),
        mqtt_host=settings.enrol_public_host,
        mqtt_port=settings.enrol_mqtt_port,
        on_revoked=write_list,
        now=clock.now,
        claim_key=secrets.claim_key,
    )
    return desk, {
        "http": ShowingProtocol,
        "ssl_certfile": secrets.enrol_certificate,
        "ssl_keyfile": secrets.enrol_key,
        "ssl_ca_certs": str(secrets.authority_certificate),
        "ssl_cert_reqs": ssl.CERT_OPTIONAL,
    }


async def _serve(app: "FastAPI", host: str, port: int, ending: asyncio.Event, **options: Any) -> None:
    """One application of ours over HTTP, until told to end."""
    import uvicorn

    class Server(uvicorn.Server):
        @contextmanager
        def capture_signals(self) -> Iterator[None]:
            """Signals are heard by the process as a whole (`_run`)."""
            yield

    server = Server(
        uvicorn.Config(
            app,
            host=host,
            port=port,
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=WEB_END_WITHIN_S,
            **options,
        )
    )

    async def end_with_us() -> None:
        await ending.wait()
        if (newsroom := getattr(app.state, "newsroom", None)) is not None:
            newsroom.close()  # open pages would otherwise be waited for
        server.should_exit = True

    watching = asyncio.create_task(end_with_us(), name="told to end")
    with suppress(SystemExit):  # uvicorn's way to say that the port is taken
        await server.serve()
    watching.cancel()
    if not ending.is_set():
        raise UnavailableError(f"the web server ended by itself; is {host}:{port} taken?")


@contextmanager
def _open(settings: Settings) -> "Iterator[OpenPool]":
    from server.store.postgres import open_pool

    pool = open_pool(settings.database_url.get_secret_value(), min_size=2, max_size=settings.pool_size)
    try:
        yield pool
    finally:
        pool.close(timeout=0)  # its workers do not keep the process either


async def _schema_is_there(settings: Settings, roles: frozenset[str], ending: asyncio.Event) -> bool:
    """Wait for the database and its migrations; False if told to end before, or if the database is not one for us."""
    from server.store.migrate import pending

    while not ending.is_set():
        try:
            missing = await asyncio.to_thread(pending, settings.database_url.get_secret_value())
            if not missing:
                if roles != {"enrol"}:  # that door opens nothing, so it need not have the key
                    await asyncio.to_thread(_check_vault, settings)
                return True
            log.warning("schema_behind", missing=missing, do="python -m server migrate", retry_in_s=WAIT_S)
        except UnavailableError as e:
            log.warning("database_unavailable", reason=str(e), retry_in_s=WAIT_S)
        except VaultError as e:
            log.error("vault_refused", reason=str(e))  # noqa: TRY400 - the sentence says it all
            return False
        except SchemaError as e:
            log.error("schema_refused", reason=str(e))  # noqa: TRY400 - the sentence says it all
            return False
        await _wait(ending, WAIT_S)
    return False


def _check_vault(settings: Settings) -> None:
    """Raises `VaultError` where nothing could be opened or sealed."""
    from server.store import vault
    from server.store.postgres import transaction

    with _open(settings) as pool, transaction(pool) as conn:
        vault.check(conn)


async def _rules_are_entered(pool: "Pool", ending: asyncio.Event) -> bool:
    """Enter the rules that this build brings, as soon as the database answers; False if told to end before."""
    from server.rules.load import load_catalog
    from server.store.postgres import in_transaction
    from server.store.rule_book import enter

    rules = await asyncio.to_thread(load_catalog)
    while not ending.is_set():
        try:
            await asyncio.to_thread(in_transaction, pool, lambda conn: enter(conn, rules))
        except UnavailableError as e:
            log.warning("database_unavailable", reason=str(e), retry_in_s=WAIT_S)
            await _wait(ending, WAIT_S)
        else:
            return True
    return False


async def _wait(event: asyncio.Event, timeout_s: float) -> None:
    try:
        await asyncio.wait_for(event.wait(), timeout_s)
    except TimeoutError:
        return
