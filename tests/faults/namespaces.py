"""Hosts made of network namespaces: a home, a broker and a database on a bridge, whose links the kernel cuts.

Unlike a proxy, nothing here ends a connection: packets vanish, and both ends must find that out by themselves. Needs root,
`ip` and `nft` (Debian: iproute2, nftables).
"""

import os
import shutil
import subprocess
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import count
from typing import Final, Self

HOSTS: Final = ("home", "broker", "database")
_numbers = count()

DROP: Final = "add table inet cut; add chain inet cut {hook} {{ type filter hook {hook} priority 0; policy accept; }}"


def why_not() -> str | None:
    """Why there can be no namespaces here, or None."""
    if os.geteuid() != 0:
        return "network namespaces need root"
    missing = [name for name in ("ip", "nft") if shutil.which(name, path=_PATH) is None]
    if missing:
        return f"{', '.join(missing)} not installed (Debian: iproute2, nftables)"
    probe = f"hvprobe{os.getpid()}"
    if not _succeeds("ip", "netns", "add", probe):
        return "the kernel makes no network namespace for us"
    link = f"{probe[-8:]}a"
    try:
        made = _succeeds("ip", "link", "add", link, "type", "veth", "peer", "name", "eth0", "netns", probe)
        return None if made else "the kernel makes no veth pair"
    finally:
        _succeeds("ip", "link", "del", link)  # the kernel takes its time to do so for a namespace, and we may ask again
        _succeeds("ip", "netns", "del", probe)


@dataclass(slots=True, kw_only=True)
class Hosts:
    """`with Hosts() as hosts`: each of `HOSTS` is a namespace with an address on one bridge; we are on it, too."""

    tag: str = field(init=False)
    subnet: str = field(init=False)
    _stack: ExitStack = field(default_factory=ExitStack, init=False)

    def __enter__(self) -> Self:
        number = (os.getpid() * 7 + next(_numbers)) % 60_000
        self.tag = f"hv{number:x}"
        self.subnet = f"10.{64 + number // 256 % 60}.{number % 256}"
        with ExitStack() as stack:
            _ip("link", "add", self.tag, "type", "bridge")
            stack.callback(_succeeds, "ip", "link", "del", self.tag)
            _ip("addr", "add", f"{self.subnet}.1/24", "dev", self.tag)
            _ip("link", "set", self.tag, "up")
            for host in HOSTS:
                name, ours = self.name(host), self._link(host)
                _ip("netns", "add", name)
                stack.callback(_succeeds, "ip", "netns", "del", name)
                _ip("link", "add", ours, "type", "veth", "peer", "name", "eth0", "netns", name)
                _ip("link", "set", ours, "master", self.tag, "up")
                _ip("-n", name, "addr", "add", f"{self.address(host)}/24", "dev", "eth0")
                _ip("-n", name, "link", "set", "eth0", "up")
                _ip("-n", name, "link", "set", "lo", "up")
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def name(self, host: str) -> str:
        return f"{self.tag}-{host}"

    def address(self, host: str) -> str:
        return f"{self.subnet}.{2 + HOSTS.index(host)}"

    def prefix(self, host: str) -> tuple[str, ...]:
        """What comes before a command that is to run on `host`."""
        return ("ip", "netns", "exec", self.name(host))

    # -- faults --------------------------------------------------------------------------------------------------------

    def drop(self, host: str, hooks: tuple[str, ...]) -> None:
        """Nothing comes in (`input`), goes out (`output`), or both; nobody is told."""
        for hook in hooks:
            self._nft(host, DROP.format(hook=hook) + f"; add rule inet cut {hook} oifname != lo iifname != lo drop")

    def drop_large(self, host: str, over_bytes: int) -> None:
        """Only small packets come through, as behind a tunnel whose size nobody was told."""
        self._nft(host, DROP.format(hook="input") + f"; add rule inet cut input meta length > {over_bytes} drop")

    def unplug(self, host: str) -> None:
        _ip("link", "set", self._link(host), "down")

    def heal(self, host: str) -> None:
        """End every fault of `host`."""
        self._nft(host, "flush ruleset")
        _ip("link", "set", self._link(host), "up")

    def _nft(self, host: str, rules: str) -> None:
        _run("ip", "netns", "exec", self.name(host), "nft", rules)

    def _link(self, host: str) -> str:
        return f"{self.tag}{host[0]}"


_PATH: Final = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"


def _ip(*words: str) -> None:
    _run("ip", *words)


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=os.environ | {"PATH": _PATH})
    if done.returncode != 0:
        raise OSError(f"{' '.join(command)}: {done.stderr.strip()}")


def _succeeds(*command: str) -> bool:
    done = subprocess.run(command, capture_output=True, check=False, env=os.environ | {"PATH": _PATH})
    return done.returncode == 0
