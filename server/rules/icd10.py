"""Ranges of ICD-10 codes, as a clinician writes them: `I10`, `E11.9`, `I10-I15`. Knows no disease."""

import re
from dataclasses import dataclass
from typing import Final

from vitals.errors import MalformedError

_CODE: Final = re.compile(r"[A-Z][0-9]{2}(\.[0-9A-Z]{1,4})?")


@dataclass(frozen=True, slots=True, kw_only=True)
class CodeRange:
    """From the category `first` to `last`, both with all that lies under them: I10-I15 has I15.9 in it, and not I16."""

    first: str
    last: str

    def __contains__(self, code: str) -> bool:
        return self.first <= code and code[: len(self.last)] <= self.last

    def __str__(self) -> str:
        return self.first if self.first == self.last else f"{self.first}-{self.last}"


def range_of(text: str) -> CodeRange:
    """One code or a range of them; raises `MalformedError` (`icd10`)."""
    first, is_range, last = text.partition("-")
    if not is_range:
        last = first
    if not _CODE.fullmatch(first) or not _CODE.fullmatch(last) or first > last:
        raise MalformedError(
            "icd10", f"{text!r} is no ICD-10 code such as I10 or E11.9, nor a range such as I10-I15", text
        )
    return CodeRange(first=first, last=last)
