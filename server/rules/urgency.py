"""Which rules are urgent: those that may end in the highest priority, so that somebody must act within minutes.

An urgent rule passes quiet hours, is told at once whatever else was just told, sleeps for a day at most, and has the clock of ten
minutes. It is so from its first finding on: an unconfirmed critical pressure is of medium priority and urgent all the same.
"""

from server.rules.rule import Rule, SingleValueRule


def is_urgent(rule: Rule) -> bool:
    """IEC 60601-1-8, table 1: high is for what is prompt and may not be reversible. What arrived late is none of it."""
    if rule.priority == "high":
        return True
    confirm = rule.when.confirm if isinstance(rule, SingleValueRule) else None
    return confirm is not None and confirm.priority == "high"
