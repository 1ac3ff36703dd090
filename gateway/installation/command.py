"""`./install` and `homevigil-gateway-release`: install, upgrade, roll back, list, prune, uninstall. No address is asked, ever."""

import argparse
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from gateway.installation import account, machine, steps
from gateway.installation.bundle import Bundle, unpack
from gateway.installation.host import Host
from gateway.installation.steps import NotInstalledError
from gateway.installation.tree import BusyError, NoSuchReleaseError
from gateway.installation.wheels import NotWholeError

EXAMPLES = """examples:
  sudo homevigil-gateway-release upgrade homevigil-gateway-0.2.0-aarch64.tar
  sudo homevigil-gateway-release rollback
  homevigil-gateway-release list
"""
INCOMING = "incoming-"
UNDONE = 1
"""What was asked for was not done; what ran before runs."""


def main(arguments: Sequence[str]) -> int:
    """The exit code: 0 done, 1 not done and nothing lost."""
    asked = _parser().parse_args(arguments)
    host = Host(
        root=asked.root.resolve(),
        systemctl=asked.systemctl if asked.systemctl or asked.root != Path("/") else "systemctl",
        steady_s=asked.steady_s,
        through=tuple(shlex.split(asked.through)),
    )
    os.umask(0o022)  # the service's user reads what root writes here
    verbs: dict[str, Callable[[argparse.Namespace, Host], int]] = {
        "install": _install,
        "upgrade": _upgrade,
        "rollback": _rollback,
        "list": _list,
        "prune": _prune,
        "uninstall": _uninstall,
    }
    try:
        return verbs[asked.verb](asked, host)
    except (NotInstalledError, NotWholeError, NoSuchReleaseError, BusyError) as e:
        print(e, file=sys.stderr)
    except PermissionError as e:
        print(f"{e}: start it as root, with sudo", file=sys.stderr)
    except OSError as e:
        print(
            f"{e}: is there room on the disk? (df -h) Nothing that runs has been changed; say it again", file=sys.stderr
        )
    except subprocess.CalledProcessError as e:
        print(f"{e}: {e.stderr}", file=sys.stderr)
    return UNDONE


def _install(asked: argparse.Namespace, host: Host) -> int:
    bundle = Bundle.at(asked.bundle.resolve())
    here = machine.look(host.tree.place)
    against = machine.refusals(here, built_for=bundle.machine, pythons=bundle.pythons)
    if host.root == Path("/"):
        against += machine.refusals_to_run(here)
    for sentence in against:
        print(sentence, file=sys.stderr)
    if against:
        return UNDONE
    for sentence in machine.advices(here):
        print(f"advice: {sentence}")
    print(f"{bundle.version} for {bundle.machine}: every file is whole; {bundle.check(host.root)}")
    steps.install(bundle, host, print, again=asked.again)
    return 0


def _upgrade(asked: argparse.Namespace, host: Host) -> int:
    """What is here judges the file; what is in it installs itself: so any version follows any other."""
    with host.tree.alone():
        for left in host.tree.place.glob(f"{INCOMING}*"):  # of somebody who was cut off
            shutil.rmtree(left)
    with tempfile.TemporaryDirectory(prefix=INCOMING, dir=host.tree.place) as folder:
        bundle = unpack(asked.file, Path(folder))
        bundle.check(host.root)
        options = [f"--root={host.root}", f"--steady-s={host.steady_s}", f"--through={shlex.join(host.through)}"]
        options += [] if host.systemctl is None else [f"--systemctl={host.systemctl}"]
        return subprocess.run([str(bundle.path / "install"), *options], check=False).returncode


def _rollback(asked: argparse.Namespace, host: Host) -> int:
    with host.tree.alone():
        release = host.tree.previous if asked.name is None else host.tree.named(asked.name)
        if release is None:
            raise NoSuchReleaseError(
                "no other release ran here before: `homevigil-gateway-release list` says which there are"
            )
        steps.run(release, host, print)
    return 0


def _list(asked: argparse.Namespace, host: Host) -> int:
    current, previous = host.tree.current, host.tree.previous
    for release in host.tree.releases():
        is_current = current is not None and current.name == release.name
        is_previous = previous is not None and previous.name == release.name
        print(f"{release.name}{'  runs' if is_current else '  ran before' if is_previous else ''}")
    return 0


def _prune(asked: argparse.Namespace, host: Host) -> int:
    with host.tree.alone():
        for gone in host.tree.prune(kept=asked.keep):
            print(f"removed {gone.name}")
    return 0


def _uninstall(asked: argparse.Namespace, host: Host) -> int:
    """Releases, commands and units go. Readings and settings go only if that was said twice."""
    state, settings = host.root / account.STATE, host.root / account.SETTINGS
    if asked.purge == 1:
        print(
            f"--purge deletes {state} with the readings that were not sent yet, which are nowhere else, and the gateway's key. "
            "Nothing has been done. If you mean it: --purge --purge",
            file=sys.stderr,
        )
        return UNDONE
    with host.tree.alone():
        host.stop()
        host.unlink()
        host.reload()
        shutil.rmtree(host.tree.place)
        if asked.purge:
            shutil.rmtree(state, ignore_errors=True)
            settings.unlink(missing_ok=True)
    print("uninstalled" + ("" if asked.purge else f"; {state} and {settings} are still there"))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="homevigil-gateway-release",
        description="Releases of the gateway on this machine: at most three, of which one runs.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="COMMAND")
    install = _verb(
        verbs, "install", "put the release in a folder on this machine and let it run (what ./install does)"
    )
    install.add_argument("--bundle", type=Path, required=True, help="the folder of the release")
    install.add_argument("--again", action="store_true", help="unpack it anew although it is here already")
    upgrade = _verb(verbs, "upgrade", "take a newer release, or any other, from its tar; versions may be skipped")
    upgrade.add_argument("file", type=Path, help="homevigil-gateway-VERSION-MACHINE.tar")
    rollback = _verb(verbs, "rollback", "let the release run that ran before")
    rollback.add_argument("name", nargs="?", help="or the one of this name")
    _verb(verbs, "list", "which releases are here, and which runs")
    prune = _verb(verbs, "prune", "remove the oldest releases, never the one that runs or the one that ran before")
    prune.add_argument("--keep", type=int, default=3, help="how many stay (3)")
    uninstall = _verb(verbs, "uninstall", "take the gateway off this machine; readings and settings stay")
    uninstall.add_argument("--purge", action="count", default=0, help="said twice: readings and settings go too")
    return parser


def _verb(
    verbs: "argparse._SubParsersAction[argparse.ArgumentParser]", name: str, does: str
) -> argparse.ArgumentParser:
    verb = verbs.add_parser(name, help=does, description=does)
    verb.add_argument(
        "--root", type=Path, default=Path("/"), help="a folder that stands for the machine: no service is started"
    )
    verb.add_argument("--systemctl", default=None, help=argparse.SUPPRESS)
    verb.add_argument("--steady-s", type=float, default=10.0, help=argparse.SUPPRESS)
    verb.add_argument("--through", default="", help=argparse.SUPPRESS)
    return verb
