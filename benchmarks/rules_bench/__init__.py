"""The race of `python -m benchmarks.rules`: a cohort, twenty rules, the engines that a user would pick instead of ours.

Nothing here imports the product but `ours`, which is how ours takes part, and the peer that borrows the embedded PostgreSQL.
"""
