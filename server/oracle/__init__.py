"""The rules once more, in plain Python and by other means: slow, without arrays, sharing nothing with the engine it checks.

Written from the clinical definition (docs/explanation/safety) with dates, lists and fractions. Where the engine walks arrays
once, this asks each question from the beginning; where the engine trusts a mark that intake has stored, this looks at the
measurement itself; where the engine sees a part of a history, this is given all that matters. It is no second opinion on what
is right for a patient: it says what the written rules say, so that a mistake in one of the two shows as a difference.

Start at `alerts.alerts_of`. No array library, no I/O, no clock, nothing of `server.rules` (contracts in pyproject.toml).
"""
