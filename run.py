#!/usr/bin/env python3
"""The two commands of the README, `python3 run.py demo` and `python3 run.py test`, and `python3 run.py release`.

Standard library only, because it runs before anything is installed. It makes `.venv` beside itself from the hashed lock
files and hands over. It never touches the system, but for `test` as root on Debian, which installs the tools that the
suites need and says so.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent
VENV = ROOT / ".venv"
LOCKS = ROOT / "deploy" / "requirements"
STAMP = VENV / "homevigil.json"
OLDEST, NEWEST = (3, 11), (3, 13)
NODE_SUITES = (
    # folder with its own lock file, what npm brings there, how else the suite can run
    ("tests/timescale", "TimescaleDB's WASM build", ", or TIMESCALE_URL=postgresql://... python3 run.py test"),
    ("tests/validators", "the public validators of FHIR and AsyncAPI", ""),
)
REFERENCE = ROOT / "tests" / "reference" / ".venv"
WITH_KERNELS = ("server.judge", "server.rules.sweep")
"""Modules whose import compiles all kernels, where no earlier import has left them on disk."""

USAGE = """usage: python3 run.py demo [--until-alert --json] [--keep] [--data DIR] [...]
       python3 run.py test [--full] [pytest arguments]
       python3 run.py release [--machine aarch64] [--out DIR] [--sign-with KEY]

demo   the whole line on this machine, with simulated patients and meters (`python3 run.py demo --help` for more)
test   lint, types, import contracts and every test; as root on Debian it first installs the tools that are missing
       --full adds what takes too long for every merge: the radio on a real bluetoothd, in an emulated machine
release  what is installed in a home: for each type of machine a tar and a single file, in `dist`
"""

TOOLS = (
    # suite that needs it, programs or files of which one must be there, Debian packages
    ("the suites on a real mosquitto", ("mosquitto", "/usr/sbin/mosquitto"), "mosquitto"),
    ("radio: unmodified bleak against simulated meters", ("dbus-daemon",), "dbus-daemon"),
    ("chromium: the pages in a real browser", ("chromium", "chromium-browser", "google-chrome"), "chromium"),
    ("chromium: what Playwright's driver needs", ("/usr/lib/*/libatomic.so.1", "/lib/*/libatomic.so.1"), "libatomic1"),
    ("chromium: Chinese pages with Chinese glyphs", ("/usr/share/fonts/opentype/noto",), "fonts-noto-cjk"),
    ("reports: PDF by WeasyPrint", ("/usr/lib/*/libpangoft2-1.0.so.0",), "libpangoft2-1.0-0"),
    ("reports: PDF by WeasyPrint", ("/usr/lib/*/libharfbuzz-subset.so.0",), "libharfbuzz-subset0"),
    ("metrics: the alarm rules, judged by Prometheus itself", ("promtool",), "prometheus"),
    ("tshark: the codecs against an independent decoder", ("tshark",), "tshark"),
    ("faults: every call of the outbox to its files, as the kernel sees it", ("strace",), "strace"),
    ("faults: real processes with a wrong clock", ("/usr/lib/*/faketime/libfaketime.so.1",), "faketime"),
    ("faults: networks that are cut by the kernel", ("ip", "/usr/sbin/ip"), "iproute2"),
    ("installing a gateway: its user, its units", ("systemd-sysusers",), "systemd"),
    ("installing a gateway: the release for a Raspberry Pi", ("qemu-aarch64",), "qemu-user"),
    ("faults: networks that are cut by the kernel", ("nft", "/usr/sbin/nft"), "nftables"),
    ("timescale: the store on the WASM build of TimescaleDB", ("node",), "nodejs"),
    ("timescale: the store on the WASM build of TimescaleDB", ("npm",), "npm"),
    ("validators: FHIR and AsyncAPI, judged by others", ("npm",), "npm"),
)

FULL_TOOLS = (
    ("the radio on a real bluetoothd", ("qemu-system-x86_64",), "qemu-system-x86"),
    ("the radio on a real bluetoothd", ("mmdebstrap",), "mmdebstrap"),
    ("the radio on a real bluetoothd", ("mkfs.ext4", "/usr/sbin/mkfs.ext4"), "e2fsprogs"),
)

FULL = (
    # what it proves, how long it takes, what it is called with
    ("the radio on a real bluetoothd", "10 to 20 minutes, the first time 2 more", ("-m", "tests.machine", "test")),
)
"""What --full adds to the suite of every merge. A further long ring is a further row."""


def main(arguments: list[str]) -> int:
    """Set up what the command needs and run it; returns the exit code."""
    refuse_other_pythons()
    if not arguments or arguments[0] in ("-h", "--help"):
        print(USAGE, end="")
        return 0 if arguments else 2
    command, rest = arguments[0], arguments[1:]
    if command == "demo":
        python = prepare("demo")
        sys.stdout.flush()
        sys.stderr.flush()
        os.execv(python, [str(python), "-m", "homevigil", "demo", *rest])
    if command == "test":
        return run_tests(rest)
    if command == "release":
        build = [str(prepare("test")), "-m", "deploy.release", *rest]
        return subprocess.run(build, cwd=ROOT, env=plain_environment(), check=False).returncode
    say(f"unknown command {command!r}\n{USAGE}")
    return 2


def refuse_other_pythons() -> None:
    here = tuple(sys.version_info[:2])
    if not OLDEST <= here <= NEWEST:
        sys.exit(
            f"HomeVigil runs on Python 3.11, 3.12 and 3.13; this is {here[0]}.{here[1]} ({sys.executable}). "
            "Start it with one of those, for example: python3.11 run.py demo"
        )


# --- the virtual environment -------------------------------------------------------------------------------------------


def prepare(purpose: str) -> Path:
    """The interpreter of a `.venv` that has all of `purpose` ("demo" or "test"); returns at once when nothing changed."""
    python = VENV / "bin" / "python"
    wanted = fingerprint(purpose)
    if read_stamp().get(purpose) == wanted and python.exists():
        return python
    started = time.monotonic()
    say(f"Setting up {VENV.name} for {purpose} (once; the next start skips this)")
    uv = make_venv(python)
    lock = LOCKS / f"{purpose}.txt"
    steps = [
        (f"packages, from {lock.relative_to(ROOT)}", ["--require-hashes", "-r", str(lock)]),
        ("homevigil itself", ["--no-deps", "--no-build-isolation", "-e", str(ROOT)]),
    ]
    STAMP.unlink(missing_ok=True)
    for what, packages in steps:
        with timed(what):
            uv = install(python, uv, packages)
    # The test lock holds everything that the demo lock does, so a venv made for test serves both.
    served = ("demo", "test") if purpose == "test" else ("demo",)
    STAMP.write_text(json.dumps({each: fingerprint(each) for each in served}))
    say(f"  ready after {time.monotonic() - started:.1f} s")
    return python


def fingerprint(purpose: str) -> str:
    """What a finished venv is named by: lock, project metadata, interpreter and place. Any change means a new install."""
    digest = hashlib.sha256()
    for file in (LOCKS / f"{purpose}.txt", ROOT / "pyproject.toml"):
        digest.update(file.read_bytes())
    digest.update(f"{sys.version_info[:3]} {VENV}".encode())
    return digest.hexdigest()


def read_stamp() -> dict[str, str]:
    try:
        found = json.loads(STAMP.read_text())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def make_venv(python: Path) -> str | None:
    """Make `.venv` unless one for this Python is there. Returns the uv to install with, or None where only pip works."""
    uv = shutil.which("uv")
    if not is_our_python(python) and not (uv and make_venv_with_uv(uv)):
        make_venv_with_the_standard_library()
        uv = None
    if uv:
        return uv
    own_uv = VENV / "bin" / "uv"
    if own_uv.exists():
        return str(own_uv)
    with timed("uv, the installer"):
        pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        found = run_quietly([*pip, "--require-hashes", "-r", str(LOCKS / "uv.txt")])
    return str(own_uv) if found and own_uv.exists() else None


def is_our_python(python: Path) -> bool:
    """Whether `.venv` works and is of the running Python's version."""
    ask = "import sys; print(*sys.version_info[:3])"
    try:
        said = subprocess.run([str(python), "-c", ask], capture_output=True, text=True, check=False, timeout=60)
    except OSError:
        return False
    return said.returncode == 0 and said.stdout.split() == [str(part) for part in sys.version_info[:3]]


def make_venv_with_uv(uv: str) -> bool:
    return run_quietly([uv, "venv", "--clear", "--python", sys.executable, str(VENV)])


def make_venv_with_the_standard_library() -> None:
    version = f"{sys.version_info[0]}.{sys.version_info[1]}"
    missing = (
        f"This Python ({sys.executable}) cannot make virtual environments: its venv module is not installed.\n"
        f"On Debian and Ubuntu, as root:\n\n    apt install python{version}-venv\n\nthen run the same command again."
    )
    try:
        import ensurepip  # noqa: F401  Debian splits it off into python3.x-venv
        import venv
    except ImportError:
        sys.exit(missing)
    with timed("a virtual environment"):
        try:
            venv.EnvBuilder(clear=True, symlinks=True, with_pip=True).create(VENV)
        except subprocess.CalledProcessError:
            shutil.rmtree(VENV, ignore_errors=True)
            sys.exit(missing)


def install(python: Path, uv: str | None, packages: list[str]) -> str | None:
    """Install with uv, and with pip where uv is absent or fails. Returns the uv that worked."""
    if uv:
        if (
            subprocess.run(
                [uv, "pip", "install", "--quiet", "--python", str(python), *packages], check=False
            ).returncode
            == 0
        ):
            return uv
        say("  uv could not install (its message is above); trying pip")
    if not run_quietly([str(python), "-m", "pip", "--version"]):
        run_quietly([str(python), "-m", "ensurepip"])
    pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *packages]
    if subprocess.run(pip, check=False, stdout=sys.stderr).returncode != 0:
        sys.exit("The packages could not be installed; the installer's message is above. Is the network there?")
    return None


# --- the tests ---------------------------------------------------------------------------------------------------------


def run_tests(arguments: list[str]) -> int:
    """Static checks, then pytest (which gets `arguments`), whose last line is the last line of output; then what is in FULL."""
    is_full = "--full" in arguments
    tools = TOOLS + FULL_TOOLS if is_full else TOOLS
    missing = missing_tools(tools)
    if missing and os.geteuid() == 0 and shutil.which("apt-get"):
        install_tools(missing)
        missing = missing_tools(tools)
    python = prepare("test")
    compiling = start_compiling(python)
    notes = [f"{suite}\n      to enable it:  sudo apt-get install {package}" for suite, package in missing]
    notes += install_node_suites(missing)
    notes += install_reference()
    if not static_checks(python):
        compiling.kill()
        compiling.wait()
        return 1
    with timed("the rules' kernels, compiled once for all"):
        compiling.wait()
    if notes:
        say("\nSkipped on this machine:")
        for note in notes:
            say(f"  - {note}")
    tests = [str(python), "-m", "pytest", *side_by_side(arguments), *arguments]
    code = subprocess.run(tests, cwd=ROOT, env=plain_environment(), check=False).returncode
    return run_full(python, code) if is_full else code


def run_full(python: Path, code: int) -> int:
    """The long rings, all of them whatever came before; returns the first code that is not 0."""
    told = [f"{'ok' if code == 0 else 'FAILED':<7}          the suite of every merge"]
    for what, how_long, arguments in FULL:
        say(f"\n{what} ({how_long})")
        began = time.monotonic()
        ended = subprocess.run([str(python), *arguments], cwd=ROOT, env=plain_environment(), check=False).returncode
        told.append(f"{'ok' if ended == 0 else 'FAILED':<7} {time.monotonic() - began:6.0f} s  {what}")
        code = code or ended
    say("\n" + "\n".join(told))
    return code


def side_by_side(arguments: list[str]) -> list[str]:
    """As many workers as cores, up to four, each file's tests in one; a debugger or another wish has its way."""
    cores = min(os.cpu_count() or 1, 4)
    has_a_wish = any(each.startswith(("-n", "--numprocesses", "--pdb", "-p", "--dist")) for each in arguments)
    in_our_order = ["--dist", "loadfile", "--no-loadscope-reorder"]  # tests/conftest.py puts the longest files first
    return [] if has_a_wish or cores == 1 else ["-n", str(cores), *in_our_order]


def start_compiling(python: Path) -> subprocess.Popen[bytes]:
    """Compile the rules' kernels beside the installations and static checks that follow, which leave a core idle.

    It takes twenty seconds, once for a tree; else every worker would spend them at the same time, when it starts.
    """
    command = [str(python), "-c", f"import {', '.join(WITH_KERNELS)}"]
    # What is wrong with them, the tests say better.
    return subprocess.Popen(
        command, cwd=ROOT, env=plain_environment(), stdout=subprocess.DEVNULL, stderr=subprocess.STDOUT
    )


def static_checks(python: Path) -> bool:
    """Format, lint, types and import contracts; all of them run, so that one look shows all there is to mend."""
    bin_ = python.parent
    checks = {
        "ruff check": [str(bin_ / "ruff"), "check", "--quiet"],
        "ruff format": [str(bin_ / "ruff"), "format", "--check", "--quiet"],
        "mypy --strict": [str(bin_ / "mypy"), "--strict", "--no-error-summary"],
        "import contracts": [str(bin_ / "lint-imports"), "--no-cache"],
    }
    failed = []
    for name, command in checks.items():
        started = time.monotonic()
        done = subprocess.run(command, cwd=ROOT, env=plain_environment(), check=False, capture_output=True, text=True)
        say(f"{name:<18} {'ok' if done.returncode == 0 else 'FAILED':<7} {time.monotonic() - started:5.1f} s")
        if done.returncode != 0:
            failed.append(name)
            say(done.stdout + done.stderr)
    if failed:
        say(f"FAILED: {', '.join(failed)}. The tests were not started.")
    return not failed


def plain_environment() -> dict[str, str]:
    """This environment without settings that a developer's own gateway or server may have left in it.

    The tests start hundreds of processes. Where Python may not write bytecode beside its sources, each of them would compile
    every module anew, which doubles its start: so it is kept in the venv.
    """
    plain = {key: value for key, value in os.environ.items() if not key.startswith("HOMEVIGIL_")}
    if plain.pop("PYTHONDONTWRITEBYTECODE", ""):
        plain.setdefault("PYTHONPYCACHEPREFIX", str(VENV / "bytecode"))
    return plain


def missing_tools(tools: tuple[tuple[str, tuple[str, ...], str], ...] = TOOLS) -> list[tuple[str, str]]:
    """(suite, Debian package) for each tool that is not here."""

    def is_here(place: str) -> bool:
        return any(Path("/").glob(place[1:])) if place.startswith("/") else shutil.which(place) is not None

    return [(suite, package) for suite, places, package in tools if not any(is_here(place) for place in places)]


def install_tools(missing: list[tuple[str, str]]) -> None:
    packages = sorted({package for _, package in missing})
    say(f"Installing with apt-get, because the tests use them: {' '.join(packages)}")
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for command in (
        ["apt-get", "update", "-q"],
        ["apt-get", "install", "-q", "-y", "--no-install-recommends", *packages],
    ):
        with timed(" ".join(command[:2])):
            done = subprocess.run(command, env=environment, check=False, capture_output=True, text=True)
        if done.returncode != 0:
            say(f"  {' '.join(command)} failed:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")


def install_node_suites(missing: list[tuple[str, str]]) -> list[str]:
    """What npm brings, each from its own lock file. Returns a note for each that could not be had."""
    if any(package in ("nodejs", "npm") for _, package in missing):
        return []
    return [note for suite in NODE_SUITES if (note := install_node_suite(*suite))]


def install_node_suite(where: str, what: str, instead: str) -> str:
    """Install one; a note if it could not be had, else nothing."""
    folder = ROOT / where
    stamp = folder / "node_modules" / ".homevigil-lock"
    wanted = hashlib.sha256((folder / "package-lock.json").read_bytes()).hexdigest()
    is_elsewhere = bool(instead and os.environ.get("TIMESCALE_URL"))
    if is_elsewhere or (stamp.exists() and stamp.read_text() == wanted):
        return ""
    with timed(f"{what}, by npm"):
        command = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--legacy-peer-deps"]
        done = subprocess.run(command, cwd=folder, check=False, capture_output=True, text=True)
    if done.returncode != 0:
        say(done.stderr[-1000:])
        return f"{where}: npm could not fetch {what}\n      to enable it:  (cd {where} && npm ci --legacy-peer-deps){instead}"
    stamp.write_text(wanted)
    return ""


def install_reference() -> list[str]:
    """The program that glucose figures are compared with, in a venv of its own. Returns a note if it could not be had."""
    text = (LOCKS / "reference.txt").read_text()
    stamp = REFERENCE / "homevigil-lock"
    wanted = hashlib.sha256(f"{text} {sys.version_info[:2]} {REFERENCE}".encode()).hexdigest()
    if stamp.exists() and stamp.read_text() == wanted:
        return []
    with timed("the reference for glucose figures (iglu-python)"):
        problem = make_reference(text)
    if problem:
        say(problem[-1000:])
        return [
            "reference: pip could not fetch the pinned iglu-python and its data\n"
            "      to enable it:  python3 run.py test, with the network there"
        ]
    stamp.write_text(wanted)
    return []


def make_reference(lock: str) -> str:
    """The venv from wheels, and iglu-python's source archive (it has the data) in `data`. Returns what went wrong."""
    import venv

    archive = re.search(r"^iglu-python==.*?(?=^\S|\Z)", lock, re.MULTILINE | re.DOTALL)
    if archive is None:
        return "deploy/requirements/reference.txt has no iglu-python"
    pip = [str(REFERENCE / "bin" / "python"), "-m", "pip", "--quiet", "--disable-pip-version-check"]
    try:
        venv.EnvBuilder(clear=True, symlinks=True, with_pip=True).create(REFERENCE)
    except (OSError, subprocess.CalledProcessError) as e:
        return str(e)
    source = REFERENCE / "iglu-python.txt"
    source.write_text(archive[0])
    from_source = ["--no-deps", "--no-build-isolation", "--no-binary", ":all:", "-r", str(source)]
    for arguments in (
        ["install", "--require-hashes", "--only-binary", ":all:", "-r", str(LOCKS / "reference.txt")],
        ["download", "--require-hashes", *from_source, "-d", str(REFERENCE / "data")],
    ):
        done = subprocess.run([*pip, *arguments], check=False, capture_output=True, text=True)
        if done.returncode != 0:
            return done.stdout + done.stderr
    return ""


# --- small things ------------------------------------------------------------------------------------------------------


class timed:
    """Says what is being waited for, and how long it took."""

    def __init__(self, what: str) -> None:
        self.what = what

    def __enter__(self) -> None:
        self.started = time.monotonic()
        print(f"  {self.what} ... ", end="", file=sys.stderr, flush=True)

    def __exit__(self, *_: object) -> None:
        print(f"{time.monotonic() - self.started:.1f} s", file=sys.stderr, flush=True)


def run_quietly(command: list[str]) -> bool:
    try:
        return subprocess.run(command, check=False, capture_output=True).returncode == 0
    except OSError:
        return False


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
