"""The race of `python -m benchmarks.rules`: a cohort, twenty rules, the engines that a user would pick instead of ours.

Everything here is the peers' side and the judges' bench; it imports nothing of the product but the embedded PostgreSQL.
"""
