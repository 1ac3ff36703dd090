"""How long to wait before trying again. Pure: the caller counts failures, draws the fraction and does the waiting."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Backoff:
    """Doubles from `first_s` up to `longest_s`; the second half of each delay is random, so that a street of gateways does not
    knock in step after a power cut."""

    first_s: float
    longest_s: float

    def __post_init__(self) -> None:
        assert 0 < self.first_s <= self.longest_s, (self.first_s, self.longest_s)

    def delay_s(self, failures: int, fraction: float = 1.0) -> float:
        """Seconds to wait after `failures` failures in a row (0: none yet, do not wait). `fraction` in [0, 1]."""
        assert failures >= 0, failures
        assert 0.0 <= fraction <= 1.0, fraction
        if failures == 0:
            return 0.0
        whole = min(self.longest_s, self.first_s * 2.0 ** min(failures - 1, 30))
        return whole * (0.5 + 0.5 * fraction)
