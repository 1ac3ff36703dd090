"""Builds the appliance from Debian's packages, once: a kernel, a small initramfs and a root file system.

Where packages come from is this machine's own apt configuration, read when it is needed. The result is kept in the user's
cache folder until these files, or the suite's package lists, change. Nothing of the machine that builds is changed.
"""

import fcntl
import gzip
import hashlib
import json
import lzma
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

SUITES: Final = ("trixie", "bookworm")
"""Debian's, and with it Raspberry Pi OS's: the first is the one that is tested at every merge with --full."""

GUEST: Final = Path(__file__).parent / "guest"
PACKAGES: Final = ("bluez", "busybox-static", "dbus", "kmod", "socat")
WATCHED: Final = ("bluez", "dbus")
"""Whose versions are told, with that of the kernel."""

MODULES: Final = (
    "crypto",
    "arch/x86/crypto",
    "lib",
    "net/bluetooth",
    "net/rfkill",
    "net/core",
    "drivers/bluetooth",
    "drivers/net/virtio_net.ko",
    "drivers/net/net_failover.ko",
    "drivers/char/virtio_console.ko",
)
"""What of the kernel's modules goes into the root file system: Bluetooth, the ciphers of pairing, the lines to the host."""

BOOT_MODULES: Final = ("virtio_pci", "virtio_blk", "ext4")
ROOT_MIB: Final = 1024
LEFT_OUT: Final = ("/usr/share/doc/*", "/usr/share/man/*", "/usr/share/locale/*", "/usr/share/info/*")


class CannotBuildError(Exception):
    """The sentence says what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """A finished appliance in `folder`: vmlinuz, initrd.gz, root.ext4."""

    folder: Path
    suite: str
    made_from: str
    lists: str
    kernel: str
    packages: dict[str, str]

    def __str__(self) -> str:
        return f"{self.suite}: kernel {self.kernel}, BlueZ {self.packages['bluez']}"


def build(suite: str, *, anew: bool = False) -> Image:
    """The appliance of `suite`: the kept one if nothing has changed since, else a new one. Says what it does.

    Raises `CannotBuildError`.
    """
    place = cache() / suite
    place.parent.mkdir(parents=True, exist_ok=True)
    with _alone(place.with_suffix(".lock")):
        kept = _kept(place)
        if anew or kept is None or kept.made_from != recipe():
            return _make(suite, place, _package_lists(suite))
        try:
            lists = _package_lists(suite)
        except CannotBuildError as e:
            _say(f"{e}\n  so the machine is as it was built: {kept}")
            return kept
        return kept if kept.lists == lists else _make(suite, place, lists)


def cache() -> Path:
    """Where finished appliances lie."""
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "homevigil" / "machine"


def recipe() -> str:
    """What an appliance is made from on our side: this module and the guest's files."""
    digest = hashlib.sha256()
    for file in (Path(__file__), *sorted(GUEST.iterdir())):
        digest.update(file.name.encode() + b"\0" + file.read_bytes())
    return digest.hexdigest()


# --- what is there


def _kept(place: Path) -> Image | None:
    try:
        return Image(folder=place, **json.loads((place / "image.json").read_text()))
    except (OSError, ValueError, TypeError):
        return None


def _package_lists(suite: str) -> str:
    """The digest of the suite's list of lists, which changes when any of its packages does."""
    with tempfile.TemporaryDirectory(prefix="homevigil-lists-") as folder:
        file = Path(folder) / "InRelease"
        url = f"{_mirror()}/dists/{suite}/InRelease"
        # apt's own downloader knows this machine's proxies and passwords.
        done = _run("/usr/lib/apt/apt-helper", "download-file", url, str(file))
        if done.returncode != 0 or not file.exists():
            raise CannotBuildError(f"the package lists of {suite} cannot be read: {done.stderr.strip()[-500:]}")
        return hashlib.sha256(file.read_bytes()).hexdigest()


def _mirror() -> str:
    """Where this machine's apt gets Debian's packages from."""
    wanted = "$(ORIGIN)|$(LABEL)|$(REPO_URI)"
    done = _run("apt-get", "indextargets", "--format", wanted, "Created-By: Packages")
    for line in done.stdout.splitlines():
        origin, label, uri = line.split("|")
        if (origin, label) == ("Debian", "Debian"):
            return uri.rstrip("/")
    raise CannotBuildError("apt on this machine knows no mirror of Debian; run `apt-get update`, on a Debian")


@contextmanager
def _alone(lock: Path) -> Iterator[None]:
    """Two builds at once would be one too many."""
    with lock.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


# --- the making


def _make(suite: str, place: Path, lists: str) -> Image:
    _refuse_what_cannot_build()
    began = time.monotonic()
    _say(f"building the machine of {suite} from Debian's packages (two to four minutes, then kept in {place.parent})")
    work = Path(tempfile.mkdtemp(prefix=f"{suite}-", dir=place.parent))
    try:
        with _timed("Debian's packages"):
            _debootstrap(suite, work)
        with _timed("kernel modules, initramfs and root file system"):
            image = _assemble(suite, place, work, lists)
        shutil.rmtree(place, ignore_errors=True)
        (work / "image").rename(place)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    _say(f"  built in {time.monotonic() - began:.0f} s, {_mib(place)} MiB: {image}")
    return image


def _refuse_what_cannot_build() -> None:
    if platform.machine() != "x86_64":
        raise CannotBuildError(f"the machine is built on x86_64, and this is {platform.machine()}")
    if os.geteuid() != 0:
        raise CannotBuildError(
            f"building needs root, for a Debian in a folder: sudo {sys.executable} -m tests.machine build"
        )
    lacking = [name for name in ("mmdebstrap", "mkfs.ext4", "apt-get", "dpkg-deb") if shutil.which(name) is None]
    if lacking:
        raise CannotBuildError(
            f"{', '.join(lacking)} not found; to have them: sudo apt-get install mmdebstrap e2fsprogs"
        )


def _debootstrap(suite: str, work: Path) -> None:
    """`work/root` is a minimal Debian; `work/kernel` its kernel, unpacked only: installing it would build an initramfs."""
    fetch_kernel = (
        'cd "$1/.." && export APT_CONFIG="$MMDEBSTRAP_APT_CONFIG" && '
        "apt-get -q download $(apt-cache depends --important linux-image-amd64 | sed -n 's/^ *Depends: //p' | head -n1)"
    )
    _checked(
        "nice", "mmdebstrap", "--quiet", "--mode=root", "--variant=minbase", f"--include={','.join(PACKAGES)}",
        "--aptopt=Apt::Install-Recommends false", *(f"--dpkgopt=path-exclude={each}" for each in LEFT_OUT),
        f"--customize-hook={fetch_kernel}", suite, str(work / "root"), _mirror(),
    )  # fmt: skip
    (package,) = work.glob("linux-image-*.deb")
    _checked("dpkg-deb", "-x", str(package), str(work / "kernel"))


def _assemble(suite: str, place: Path, work: Path, lists: str) -> Image:
    root, out = work / "root", work / "image"
    out.mkdir()
    (vmlinuz,) = (work / "kernel" / "boot").glob("vmlinuz-*")
    version = vmlinuz.name.removeprefix("vmlinuz-")
    shutil.copy(vmlinuz, out / "vmlinuz")
    modules = _modules(work / "kernel", version)
    _initramfs(root, modules, version, work, out / "initrd.gz")
    _keep_modules(modules, root / "usr" / "lib" / "modules" / version)
    _checked("chroot", str(root), "depmod", version)
    for name in ("init", "control"):
        shutil.copy(GUEST / name, root / "usr" / "local" / "sbin" / name)
    # Without systemd a call to a bluetoothd that is not running would be answered by an activation that fails.
    (root / "usr/share/dbus-1/system-services/org.bluez.service").unlink()
    packages = _versions(root)
    shutil.rmtree(root / "var" / "cache" / "apt")
    shutil.rmtree(root / "var" / "lib" / "apt" / "lists")
    file = out / "root.ext4"
    with file.open("wb") as empty:
        empty.truncate(ROOT_MIB << 20)
    _checked("mkfs.ext4", "-q", "-F", "-O", "^has_journal", "-d", str(root), str(file))
    image = Image(folder=place, suite=suite, made_from=recipe(), lists=lists, kernel=version, packages=packages)
    kept = {key: value for key, value in asdict(image).items() if key != "folder"}
    (out / "image.json").write_text(json.dumps(kept, indent=1))
    return image


def _modules(kernel: Path, version: str) -> Path:
    """The folder with the kernel's modules, wherever its package puts them."""
    places = [kernel / "usr" / "lib" / "modules" / version, kernel / "lib" / "modules" / version]
    return next(place for place in places if place.exists())


def _initramfs(root: Path, modules: Path, version: str, work: Path, out: Path) -> None:
    """busybox and the modules without which there is no root file system, in the order in which they need one another.

    The chroot's own modprobe and cpio are asked, so that this machine needs neither.
    """
    whole = root / "usr" / "lib" / "modules" / version
    shutil.copytree(modules, whole, symlinks=True)
    _checked("chroot", str(root), "depmod", version)
    asked = _checked("chroot", str(root), "modprobe", "-S", version, "--show-depends", "-a", *BOOT_MODULES)
    order = list(dict.fromkeys(line.split()[1] for line in asked.splitlines() if line.startswith("insmod")))
    tree = root / "initramfs"
    for name in ("bin", "proc", "dev", "newroot", "modules"):
        (tree / name).mkdir(parents=True)
    shutil.copy(root / "usr" / "bin" / "busybox", tree / "bin" / "busybox")
    for applet in ("sh", "mount", "insmod", "sleep", "switch_root"):
        (tree / "bin" / applet).symlink_to("busybox")
    names = []
    for module in order:
        file = root / module.lstrip("/")
        plain = lzma.decompress(file.read_bytes()) if file.suffix == ".xz" else file.read_bytes()
        names.append(file.name.removesuffix(".xz"))
        (tree / "modules" / names[-1]).write_bytes(plain)
    (tree / "modules" / "order").write_text("".join(f"{name}\n" for name in names))
    shutil.copy(GUEST / "initramfs", tree / "init")
    archive = subprocess.run(
        ["chroot", str(root), "sh", "-c", "cd /initramfs && find . | busybox cpio -o -H newc"],
        capture_output=True, check=True,
    ).stdout  # fmt: skip
    out.write_bytes(gzip.compress(archive, compresslevel=1))
    shutil.rmtree(tree)
    shutil.rmtree(whole)


def _keep_modules(modules: Path, place: Path) -> None:
    for name in MODULES:
        for found in (modules / "kernel").glob(f"{name}*") if name.endswith(".ko") else [modules / "kernel" / name]:
            target = place / "kernel" / found.relative_to(modules / "kernel")
            target.parent.mkdir(parents=True, exist_ok=True)
            if found.is_dir():
                shutil.copytree(found, target)
            elif found.exists():
                shutil.copy(found, target)
    for listing in modules.glob("modules.*"):
        shutil.copy(listing, place / listing.name)


def _versions(root: Path) -> dict[str, str]:
    shown = _checked("chroot", str(root), "dpkg-query", "-W", "-f", "${Package} ${Version}\n", *WATCHED)
    return dict(line.split() for line in shown.splitlines())


# --- small things


def _run(*command: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(command, capture_output=True, text=True, check=False)


def _checked(*command: str) -> str:
    """What the command prints; raises with its last words."""
    done = _run(*command)
    if done.returncode != 0:
        raise CannotBuildError(f"{' '.join(command[:3])} failed:\n{done.stdout[-1000:]}{done.stderr[-2000:]}")
    return done.stdout


@contextmanager
def _timed(what: str) -> Iterator[None]:
    began = time.monotonic()
    print(f"  {what} ... ", end="", file=sys.stderr, flush=True)
    yield
    print(f"{time.monotonic() - began:.1f} s", file=sys.stderr, flush=True)


def _mib(folder: Path) -> int:
    return sum(file.stat().st_blocks for file in folder.iterdir()) * 512 >> 20


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
