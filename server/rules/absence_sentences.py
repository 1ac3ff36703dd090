"""What was not measured, in one plain sentence with its numbers, in English and Chinese. Computes nothing."""

from datetime import date

from server.rules.absence_conditions import Schedule
from server.rules.episodes import Language
from server.rules.sentences import KINDS

_MONTHS = (
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
)


def silence(days: int, *, since: date | None, unknown_days: int) -> dict[Language, str]:
    """`Nothing measured for 7 days (since 2 March)`; `since`: the last day that has a reading, None: there was none yet."""
    en = f"Nothing measured for {_days(days)}"
    en += " (since enrolment)" if since is None else f" (since {since.day} {_MONTHS[since.month - 1]})"
    zh = f"已 {days} 天没有测量"
    zh += "（自登记以来）" if since is None else f"（自 {since.month} 月 {since.day} 日以来）"
    if unknown_days:
        en += f"; on {unknown_days} more {'day' if unknown_days == 1 else 'days'} the home could not be heard"
        zh += f"；另有 {unknown_days} 天无法接收到家中数据"
    return {"en": en, "zh": zh}


def schedule(when: Schedule, *, measured_days: int, needed_days: int, unknown_days: int) -> dict[Language, str]:
    """`Blood pressure measured on 2 of the last 7 days (4 agreed)`."""
    what = KINDS[when.of]
    often = f" {when.readings_per_day} times" if when.readings_per_day > 1 else ""
    en = f"{what['en'].capitalize()} measured{often} on {measured_days} of the last {_days(when.of_days)}"
    en += f" ({needed_days} agreed)"
    often_zh = f"至少 {when.readings_per_day} 次" if when.readings_per_day > 1 else ""
    zh = f"最近 {when.of_days} 天中有 {measured_days} 天测量了{what['zh']}{often_zh}（约定 {needed_days} 天）"
    if unknown_days:
        en += f"; on {_days(unknown_days)} the home could not be heard"
        zh += f"；其中 {unknown_days} 天无法接收到家中数据"
    return {"en": en, "zh": zh}


def _days(number: int) -> str:
    return "1 day" if number == 1 else f"{number} days"
