"""Ranges of ICD-10 codes."""

import pytest

from server.rules.icd10 import range_of
from vitals.errors import MalformedError


@pytest.mark.parametrize(
    ("text", "inside", "outside"),
    [
        ("I10-I15", ("I10", "I11.0", "I15", "I15.9"), ("I09.9", "I16", "E10", "")),
        ("E11", ("E11", "E11.65"), ("E10.9", "E12")),
        ("I50.1", ("I50.1", "I50.12"), ("I50", "I50.2")),
        ("E10-E14", ("E10", "E14.9"), ("E15", "E09")),
    ],
)
def test_a_range_has_in_it_what_lies_under_its_codes(
    text: str, inside: tuple[str, ...], outside: tuple[str, ...]
) -> None:
    codes = range_of(text)
    assert str(codes) == text
    assert all(code in codes for code in inside)
    assert not any(code in codes for code in outside)


@pytest.mark.parametrize("text", ["", "i10", "I1", "I15-I10", "I10-", "diabetes", "I10,I11"])
def test_what_is_no_code_is_refused(text: str) -> None:
    with pytest.raises(MalformedError, match="no ICD-10 code"):
        range_of(text)
