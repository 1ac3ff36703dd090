"""The first lines of the gateway as a single file: unpack the wheels for this Python into the user's cache, once, and run.

For trying a gateway without installing it. What is unpacked is named by its digest, so another build never meets it.
"""

import hashlib
import json
import os
import platform
import sys
import tempfile
import zipfile
from pathlib import Path

from gateway.installation.wheels import NotWholeError, list_name, read_list, unpack_all


def site() -> Path:
    """The folder of unpacked wheels; made if it is not there."""
    with zipfile.ZipFile(sys.path[0]) as archive:
        built_for = json.loads(archive.read("bundle.json"))["machine"]
        if platform.machine() != built_for:
            sys.exit(f"this file is for {built_for} and this machine is {platform.machine()}")
        if list_name() not in archive.namelist():
            sys.exit(
                f"this file has nothing for Python {sys.version_info[0]}.{sys.version_info[1]}: start it with another python3.x"
            )
        listed = archive.read(list_name())
        base = os.environ.get("XDG_CACHE_HOME")
        cache = (Path(base) if base else Path.home() / ".cache") / "homevigil" / "single-file"
        place = cache / hashlib.sha256(listed).hexdigest()[:32]
        if not place.exists():
            cache.mkdir(parents=True, exist_ok=True, mode=0o700)
            fresh = Path(tempfile.mkdtemp(prefix=".", dir=cache))
            unpack_all(read_list(listed.decode()), archive.read, fresh)
            try:
                fresh.rename(place)
            except OSError:  # another start was faster; ours is not needed
                if not place.exists():
                    raise
    return place


if __name__ == "__main__":
    try:
        unpacked = site()
    except NotWholeError as e:
        sys.exit(str(e))
    for name in [each for each in sys.modules if each.partition(".")[0] == "gateway"]:
        del sys.modules[name]  # the few modules beside this one make room for the whole
    sys.path[0] = str(unpacked)
    from gateway.cli import main

    main()
