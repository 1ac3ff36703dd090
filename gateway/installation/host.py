"""What a release needs of the machine around it: user, folders, settings file, commands, units; and systemd's words.

Units and commands are symlinks through `/opt/homevigil/current`, so that moving that link moves them too; but for those that
watch over a new release, which are the last proven one's. All of systemd is behind `_systemctl`.
With a `root` other than `/` nothing of the running machine is touched.
"""

import json
import os
import re
import shutil
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from gateway.installation import account
from gateway.installation.tree import Release, Tree, replace_link

UNIT: Final = "homevigil-gateway.service"
COMMANDS: Final = ("homevigil-gateway", "homevigil-gateway-release")
CURRENT: Final = Path("/opt/homevigil/current")
PROVEN: Final = Path("/opt/homevigil/proven")
WATCHES: Final = ("homevigil-trial.path", "homevigil-trial.service")
"""Units that judge a release, and are therefore never those of the release that is judged."""
ANSWER_WITHIN_S: Final = 120.0
"""A start may take the unit's TimeoutStartSec; past this systemd itself hangs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """A machine, or the folder that stands for one. Without `systemctl` there is no service to start."""

    root: Path = Path("/")
    systemctl: str | None = "systemctl"
    steady_s: float = 10.0
    """For so long the same process must have run before a release counts as healthy."""
    through: tuple[str, ...] = ()
    """What programs of a release are run with, where the machine that they are for is not this one: an emulator."""

    @property
    def tree(self) -> Tree:
        return Tree(self.root / "opt/homevigil")

    # -- files ---------------------------------------------------------------------------------------------------------

    def prepare(self, release: Release) -> None:
        """User, folders and settings file; whatever of them is there stays as it is, but for the modes of the folders."""
        account.make_account(self.root, release.path / "sysusers.conf")
        who = account.account(self.root)
        assert who is not None, "systemd-sysusers has made it"
        state, configuration = self.root / account.STATE, self.root / account.SETTINGS.parent
        for folder, mode in ((state, 0o700), (configuration, 0o755)):
            folder.mkdir(parents=True, exist_ok=True)
            folder.chmod(mode)
        self._give(state, who.uid, who.gid)
        self._give_settings(release, who.gid)

    def link(self, release: Release) -> None:
        """Commands and units of the release, beside those that are there: whichever `current` leads to finds its own."""
        commands, units = self.root / "usr/local/bin", self.root / "etc/systemd/system"
        for folder in (commands, units):
            folder.mkdir(parents=True, exist_ok=True)
        for name in COMMANDS:
            replace_link(commands / name, CURRENT / "bin" / name)
        for unit in sorted((release.path / "units").iterdir()):
            through = PROVEN if unit.name in WATCHES else CURRENT
            replace_link(units / unit.name, through / "units" / unit.name)
            for target in re.findall(r"^WantedBy=(\S+)", unit.read_text(), re.MULTILINE):
                wants = units / f"{target}.wants"
                wants.mkdir(exist_ok=True)
                replace_link(wants / unit.name, Path("..") / unit.name)

    def tidy(self, release: Release) -> None:
        """Take away the units that the release, which is to stay, does not have."""
        there = {unit.name for unit in (release.path / "units").iterdir()}
        for link in self._our_links(self.root / "etc/systemd/system"):
            if link.name not in there:
                link.unlink()

    def unlink(self) -> None:
        """Take away what `link` has made, of whichever release."""
        units = self.root / "etc/systemd/system"
        for link in [*self._our_links(units), *(self.root / "usr/local/bin" / name for name in COMMANDS)]:
            link.unlink(missing_ok=True)

    def _our_links(self, units: Path) -> list[Path]:
        """Units whose symlink leads to a release, and the symlinks by which targets want them."""
        places = {CURRENT, PROVEN}
        ours = [link for link in units.iterdir() if link.is_symlink() and places & {*link.readlink().parents}]
        names = {link.name for link in ours}
        wants = [link for link in units.glob("*.wants/*") if link.is_symlink() and link.name in names]
        return ours + [link for link in wants if link.readlink().parent == Path("..")]

    def _give_settings(self, release: Release, gid: int) -> None:
        """A settings file to fill in, if there is none. A person's own is never written to."""
        target = self.root / account.SETTINGS
        if target.exists():
            return
        fresh = target.with_name(f".{target.name}.new")
        shutil.copyfile(release.path / "gateway.env", fresh)
        fresh.chmod(0o640)
        self._give(fresh, 0, gid)
        fresh.rename(target)

    def _give(self, path: Path, uid: int, gid: int) -> None:
        if os.geteuid() == 0:  # in a folder that stands for a machine, an ordinary person may try all the rest
            os.chown(path, uid, gid)

    # -- the service ---------------------------------------------------------------------------------------------------

    def start(self) -> str:
        """Start what `current` leads to, or start it anew. Returns what is wrong with it: nothing if it is well."""
        if self.systemctl is None:
            return ""
        return self.restart() or self._watch()

    def restart(self) -> str:
        """Start anew every unit that is started with the machine, the gateway last. Returns what systemd has against it."""
        self._systemctl("daemon-reload")
        self._systemctl("reset-failed", UNIT)  # its restarts are counted anew: those before were another release's
        units = self.root / "etc/systemd/system"
        wanted = {link.name for link in self._our_links(units) if link.parent != units}
        there = {unit.name for unit in (self.tree.place / "current" / "units").iterdir()}
        done = self._systemctl("restart", *sorted(wanted & there - {UNIT}), UNIT)
        return "" if done.returncode == 0 else f"systemd could not start it: {done.stderr.strip() or 'no reason given'}"

    def stop(self) -> None:
        if self.systemctl is not None:
            self._systemctl("stop", *(unit.name for unit in self._our_links(self.root / "etc/systemd/system")))

    def reload(self) -> None:
        if self.systemctl is not None:
            self._systemctl("daemon-reload")

    @property
    def is_configured(self) -> bool:
        """Whether this gateway has a name: it was enrolled, or a person has written the settings."""
        is_enrolled = (self.root / account.IDENTITY / "gateway.json").exists()
        return is_enrolled or bool(account.settings(self.root).get("HOMEVIGIL_GATEWAY_ID"))

    def status(self) -> dict[str, object] | None:
        """What `homevigil-gateway status` says of the running gateway; None if it says nothing that can be read."""
        release = self.tree.current
        assert release is not None
        done = self.run_python(release, "-m", "gateway", "status", "--json", as_service=True)
        try:
            said = json.loads(done.stdout)
        except ValueError:
            return None
        return said if done.returncode == 0 and isinstance(said, dict) else None

    def run_python(
        self, release: Release, *arguments: str, as_service: bool = False
    ) -> "subprocess.CompletedProcess[str]":
        """Run the Python of a release; as the service's user it can neither read nor spoil what is not the service's."""
        command = [*self.through, str(release.python), "-I", *arguments]
        who = account.account(self.root) if as_service and os.geteuid() == 0 else None
        return subprocess.run(
            command,
            env={**os.environ, **account.settings(self.root)} if as_service else None,
            cwd="/",
            preexec_fn=None if who is None else lambda: account.become(who),
            capture_output=True,
            text=True,
            check=False,
            timeout=ANSWER_WITHIN_S,
        )

    def _watch(self) -> str:
        """Ready is not yet well: a service that falls over after a second has been ready."""
        pid = self._shown()["MainPID"]
        until = time.monotonic() + self.steady_s
        while time.monotonic() < until:
            shown = self._shown()
            if (shown["ActiveState"], shown["MainPID"]) != ("active", pid):
                return "it was ready and fell over again"
            time.sleep(min(0.5, self.steady_s))
        said = self.status()
        return "" if said is not None and said.get("running") is True else f"its status is not well: {said}"

    def _shown(self) -> dict[str, str]:
        said = self._systemctl("show", "--property=ActiveState,MainPID", UNIT).stdout
        return {"ActiveState": "", "MainPID": ""} | dict(
            line.split("=", 1) for line in said.splitlines() if "=" in line
        )

    def _systemctl(self, *words: str) -> "subprocess.CompletedProcess[str]":
        assert self.systemctl is not None
        return subprocess.run(
            [self.systemctl, *words], capture_output=True, text=True, check=False, timeout=ANSWER_WITHIN_S
        )
