"""The shared nouns of HomeVigil: what a meter measured, how it is named, carried and graded.

Standard library and msgspec only. No I/O, no clock, no randomness: every room may import `vitals`, and `vitals`
imports no room.
"""
