"""What is said to whom, in every language at once. Pure.

The patient hears the rule's own words. The doctor hears the rule's title and why, in one sentence. A webhook leaves our house
and says neither name nor value: it is told which alert of which patient, by their numbers.
"""

from collections.abc import Mapping
from enum import IntEnum
from typing import Any, Final

from server.rules.rule import RuleSet

LANGUAGES: Final = ("en", "zh")

Text = Mapping[str, Mapping[str, str]]
"""By language: `title` and `body`."""


class Step(IntEnum):
    """The first telling of an alert; whatever follows counts on from OPENING, a later retraction down from RETRACTION."""

    OPENING = 0
    RETRACTION = -1


_PATIENT_TITLE: Final = {"en": "A message from your clinic", "zh": "来自您诊所的提醒"}
_WEBHOOK_TITLE: Final = {"en": "Call to the clinic's own system", "zh": "通知机构自有系统"}
_REMINDER: Final = {"en": "Not yet acknowledged: {title}", "zh": "尚未确认：{title}"}
_ESCALATION: Final = {"en": "Nobody has acknowledged: {title}", "zh": "无人确认，请处理：{title}"}
_UNDELIVERED: Final = {"en": "Could not be delivered, please see to it: {title}", "zh": "未能送达，请处理：{title}"}
_AGAIN: Final = {"en": "Again: {title}", "zh": "再次出现：{title}"}
_RAISED: Final = {"en": "Now urgent: {title}", "zh": "已升级，请立即处理：{title}"}
_AWAKE: Final = {"en": "Snooze is over: {title}", "zh": "暂缓时间已到：{title}"}
_WORSE: Final = {"en": "Worse than when it was snoozed: {title}", "zh": "比暂缓时更严重：{title}"}
_BREACH: Final = {"en": "No decision within 10 minutes: {title}", "zh": "10 分钟内无处理决定：{title}"}
_RETRACTION: Final = {"en": "Withdrawn: {title}", "zh": "已撤回：{title}"}
_RETRACTED: Final = {
    "en": "Readings that came later have changed this alert; it no longer holds. It said: {sentence}",
    "zh": "后续收到的读数改变了判断，此提醒不再成立。原内容：{sentence}",
}


def to_patient(rules: RuleSet, rule_id: str) -> Text:
    """The rule's message to the patient; for a critical one with the emergency number and the symptoms."""
    message = rules.by_id(rule_id).patient_message
    assert message is not None, f"{rule_id} tells the patient without a message"  # refused when rules are loaded
    said: Mapping[Any, str] = message
    return {language: {"title": _PATIENT_TITLE[language], "body": said[language]} for language in LANGUAGES}


def to_doctor(rules: RuleSet, rule_id: str, sentence: Mapping[Any, str], *, again: bool = False) -> Text:
    """Title and why; `again`: the episode had been over or taken back."""
    frame = _AGAIN if again else dict.fromkeys(LANGUAGES, "{title}")
    return _framed(rules, rule_id, frame, sentence)


def raised(rules: RuleSet, rule_id: str, sentence: Mapping[Any, str]) -> Text:
    """To the doctor once more, because the alert has become more urgent."""
    return _framed(rules, rule_id, _RAISED, sentence)


def reminder(rules: RuleSet, rule_id: str, sentence: Mapping[Any, str]) -> Text:
    """To the doctor again, because nobody has acknowledged."""
    return _framed(rules, rule_id, _REMINDER, sentence)


def escalation(rules: RuleSet, rule_id: str, sentence: Mapping[Any, str]) -> Text:
    """To the next in line, because nobody has acknowledged."""
    return _framed(rules, rule_id, _ESCALATION, sentence)


def awake(rules: RuleSet, rule_id: str, sentence: Mapping[Any, str], *, is_worse: bool) -> Text:
    """To the doctor, of what was snoozed: its time is over, or it is worse than it was then."""
    return _framed(rules, rule_id, _WORSE if is_worse else _AWAKE, sentence)


def breach(rules: RuleSet, rule_id: str, sentence: Mapping[Any, str]) -> Text:
    """To whoever can still decide, because nobody has in time."""
    return _framed(rules, rule_id, _BREACH, sentence)


def undelivered(said: Text) -> Text:
    """To the clinic's desk, of a message that has not reached somebody else."""
    return {
        language: {
            "title": _UNDELIVERED[language].format(title=said.get(language, {}).get("title", "")),
            "body": said.get(language, {}).get("body", ""),
        }
        for language in LANGUAGES
    }


def retraction(rules: RuleSet, rule_id: str, sentence: Mapping[Any, str]) -> Text:
    """To whoever had been told what is no longer true."""
    said = {language: _RETRACTED[language].format(sentence=sentence.get(language, "")) for language in LANGUAGES}
    return _framed(rules, rule_id, _RETRACTION, said)


def to_webhook() -> Text:
    """What is noted of a webhook's call, whose content is ids alone."""
    return {language: {"title": _WEBHOOK_TITLE[language], "body": ""} for language in LANGUAGES}


def _framed(rules: RuleSet, rule_id: str, frame: Mapping[str, str], body: Mapping[Any, str]) -> Text:
    title = _title(rules, rule_id)
    return {
        language: {"title": frame[language].format(title=title[language]), "body": body.get(language, "")}
        for language in LANGUAGES
    }


def _title(rules: RuleSet, rule_id: str) -> Mapping[Any, str]:
    """The rule's title; of a rule that is no longer among the rules, its id."""
    for rule in rules.rules:
        if rule.id == rule_id:
            return rule.title
    return dict.fromkeys(LANGUAGES, rule_id)
