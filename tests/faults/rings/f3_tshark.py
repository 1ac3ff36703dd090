"""F3: random frames of the standard profiles, read by us and by Wireshark's tshark, which shares no line with us.

Every known difference is written down in `golden.against_tshark` with its evidence (docs/explanation/crash-states-and-fuzzing).
"""

import shutil
from typing import Final

from fix_tshark import NO_TSHARK, dissect
from golden import against_tshark

from faults.fuzz import mistakes
from faults.trial import BadBuild, Ring, Size, Tally, Trial

FRAMES: Final = {Size.SMALL: 120, Size.FULL: 1_000}
"""Of each characteristic, in one trial."""


def run(trial: Trial) -> Tally:
    """Frames of every characteristic, dissected in one capture."""
    for build in BAD:
        if build.name == trial.bad:
            build.switch_on()
    rng = trial.rng
    frames = [
        (characteristic, against_tshark.frame(characteristic, rng))
        for characteristic in against_tshark.CHARACTERISTICS
        for _ in range(FRAMES[trial.size])
    ]
    found = [
        _difference(characteristic, frame, told)
        for (characteristic, frame), told in zip(frames, dissect(frames, folder=trial.folder), strict=True)
    ]
    return Tally(trials=1, inputs=len(frames), failures=tuple(each for each in found if each)[:20])


def _difference(characteristic: str, frame: bytes, told: dict[str, str]) -> str | None:
    try:
        against_tshark.assert_agrees(characteristic, frame, told)
    except (AssertionError, ValueError, KeyError) as e:
        return f"{characteristic} {frame.hex()}: {type(e).__name__}: {e}"
    return None


RING: Final = Ring(
    name="F3",
    title="The decoders against tshark",
    makes="random frames of every characteristic that tshark knows, every flag and any value",
    small=2,
    full=20,
    run=run,
    why_not=lambda: None if shutil.which("tshark") else NO_TSHARK,
)

BAD: Final = (
    BadBuild(
        name="glucose-nibbles-swapped",
        breaks="type and location of a sample are read from each other's half of the byte; every length and number is right",
        ring="F3",
        trials=1,
        switch_on=mistakes.swaps_type_and_location,
    ),
)
