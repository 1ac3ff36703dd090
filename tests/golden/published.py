"""What a published or captured frame is to a test: its bytes, its source, and what it says."""

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """A frame with its source; `is_canonical` says that encoding what was decoded gives the same bytes."""

    source: str
    characteristic: str
    frame: str
    expected: dict[str, Any] = field(default_factory=dict)
    is_canonical: bool = True

    @property
    def raw(self) -> bytes:
        return bytes.fromhex(self.frame)
