"""What is said to people through other companies' channels: that there is something, never what. Pure.

No value, no diagnosis, no name, no rule: whoever reads the message over a shoulder, or at the company that carries it, learns
that somebody has to do with a clinic. What it is about stands behind the link, where whoever opens it is known.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

from server.push.texts import LANGUAGES, Text

Topic = Literal["alert", "critical", "reminder", "again", "escalation", "breach", "break_glass", "retraction", "test"]
Audience = Literal["patient", "clinic"]
TOPICS: Final[tuple[Topic, ...]] = (
    *("alert", "critical", "reminder", "again", "escalation", "breach", "break_glass", "retraction", "test"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Words:
    """`link`: where it says what it is about. `is_urgent`: somebody is to look at it now."""

    title: str
    body: str
    link: str | None = None
    is_urgent: bool = False

    @property
    def whole(self) -> str:
        """What is said below the title, the link in a line of its own."""
        return self.body if self.link is None else f"{self.body}\n{self.link}"


_PATIENT: Final[Mapping[str, Mapping[str, Words]]] = {
    "zh": {
        "alert": Words(title="家守：诊所给您留了消息", body="请打开您的页面查看。"),
        "critical": Words(
            title="家守：诊所有重要消息，请马上查看",
            body="请马上打开您的页面。如果感觉很不舒服，请立即拨打急救电话。",
        ),
        "reminder": Words(title="家守：诊所的提醒", body="请打开您的页面查看今天的安排。"),
        "retraction": Words(title="家守：之前的消息有更新", body="请打开您的页面查看。"),
        "test": Words(title="家守：测试消息", body="收到这条消息，说明以后能通过这里找到您。无需做任何事。"),
    },
    "en": {
        "alert": Words(title="HomeVigil: a message from your clinic", body="Please open your page to read it."),
        "critical": Words(
            title="HomeVigil: an important message from your clinic, please read it now",
            body="Please open your page now. If you feel very unwell, call the emergency services at once.",
        ),
        "reminder": Words(
            title="HomeVigil: a reminder from your clinic", body="Please open your page to see today's plan."
        ),
        "retraction": Words(
            title="HomeVigil: an earlier message has changed", body="Please open your page to read it."
        ),
        "test": Words(
            title="HomeVigil: a test message",
            body="If you can read this, we can reach you here. There is nothing to do.",
        ),
    },
}

_CLINIC: Final[Mapping[str, Mapping[str, Words]]] = {
    "zh": {
        "alert": Words(title="家守：工作列表有新事项", body="请打开工作列表查看。"),
        "critical": Words(title="家守：有紧急事项待处理", body="请立即打开并处理。"),
        "again": Words(title="家守：仍有事项未确认", body="请打开工作列表处理。"),
        "escalation": Words(title="家守：无人确认，请您接手", body="有事项一直无人确认，请打开并处理。"),
        "breach": Words(title="家守：紧急事项超时未决定", body="规定时间内无人作出决定，请立即打开并处理。"),
        "break_glass": Words(title="家守：有人紧急打开了档案", body="请在收件箱中查看是谁、为什么。"),
        "retraction": Words(title="家守：之前的事项已撤回", body="后续数据改变了判断，请打开查看。"),
        "test": Words(title="家守：测试消息", body="收到这条消息，说明此渠道可用。"),
    },
    "en": {
        "alert": Words(title="HomeVigil: a new item in your worklist", body="Please open your worklist."),
        "critical": Words(title="HomeVigil: an urgent item is waiting", body="Please open it and decide now."),
        "again": Words(title="HomeVigil: an item is still not acknowledged", body="Please see to it in your worklist."),
        "escalation": Words(
            title="HomeVigil: nobody has acknowledged, please take over",
            body="An item has not been acknowledged by anybody. Please open it and see to it.",
        ),
        "breach": Words(
            title="HomeVigil: an urgent item is overdue",
            body="Nobody has decided within the agreed time. Please open it and decide now.",
        ),
        "break_glass": Words(
            title="HomeVigil: a record was opened in an emergency",
            body="Your inbox says who it was, and why.",
        ),
        "retraction": Words(
            title="HomeVigil: an earlier item was withdrawn",
            body="What came in later has changed the judgement. Please open it.",
        ),
        "test": Words(title="HomeVigil: a test message", body="If you can read this, this channel works."),
    },
}

_URGENT: Final = ("critical", "escalation", "breach")

_OTHERS: Final = {"zh": "本消息同时代表其他事项。", "en": "This message stands for other items, too."}

_TOPIC_OF: Final[Mapping[str, Topic]] = {
    "plan": "reminder",
    "reminder": "again",
    "escalation": "escalation",
    "breach": "breach",
    "break_glass": "break_glass",
    "retraction": "retraction",
}


def topic_of(kind: str, *, is_urgent: bool) -> Topic:
    """What a message of the queue is about, as far as the outside may know."""
    return _TOPIC_OF.get(kind, "critical" if is_urgent else "alert")


def text_of(kind: str, audience: Audience, *, is_urgent: bool) -> Text:
    """What the ledger keeps of a message that goes out: the words themselves, without the link."""
    topic = topic_of(kind, is_urgent=is_urgent)
    said = {language: say(topic, audience, language) for language in LANGUAGES}
    return {language: {"title": words.title, "body": words.body} for language, words in said.items()}


def say(topic: Topic, audience: Audience, language: str, *, link: str | None = None, has_others: bool = False) -> Words:
    """The words for one place; `has_others`: it stands for more than one message."""
    said = (_PATIENT if audience == "patient" else _CLINIC)["en" if language == "en" else "zh"]
    words = said.get(topic, said["alert"])
    more = _OTHERS["en" if language == "en" else "zh"] if has_others else ""
    gap = " " if language == "en" else ""
    body = gap.join(filter(None, (words.body, more)))
    return Words(title=words.title, body=body, link=link, is_urgent=topic in _URGENT)
