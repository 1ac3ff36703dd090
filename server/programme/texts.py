"""What a patient is reminded of, in the words of a nurse, in every language at once. Pure.

No value, no name and no medicine is in it: it may be shown on a locked phone. It says what to do, never how much to take.
"""

from collections.abc import Mapping
from typing import Final

from server.programme.reminding import AGAIN
from server.rules.occasions import Occasion

Text = Mapping[str, Mapping[str, str]]

_GREETINGS: Final = (
    ("11:00", {"en": "Good morning.", "zh": "早上好！"}),
    ("14:00", {"en": "Hello.", "zh": "中午好！"}),
    ("18:00", {"en": "Good afternoon.", "zh": "下午好！"}),
    ("24:00", {"en": "Good evening.", "zh": "晚上好！"}),
)
_TITLES: Final = {
    "blood_pressure": {"en": "Time for your blood pressure", "zh": "该量血压了"},
    "glucose": {"en": "Time for your glucose", "zh": "该测血糖了"},
    "weight": {"en": "Time to weigh yourself", "zh": "该称体重了"},
    "oxygen_saturation": {"en": "Time for your oxygen", "zh": "该测血氧了"},
    "temperature": {"en": "Time for your temperature", "zh": "该量体温了"},
}
_PRESSURE: Final = {
    1: {
        "en": "Please sit quietly for five minutes, leaning back, then take your blood pressure.",
        "zh": "请靠着椅背安静坐五分钟，然后量血压。",
    },
    2: {
        "en": "Please sit quietly for five minutes, leaning back, then take your blood pressure twice, a minute apart.",
        "zh": "请靠着椅背安静坐五分钟，然后量两次血压，中间休息一分钟。",
    },
    3: {
        "en": "Please sit quietly for five minutes, leaning back, then take your blood pressure three times, a minute apart.",
        "zh": "请靠着椅背安静坐五分钟，然后量三次血压，每次之间休息一分钟。",
    },
}
_GLUCOSE: Final = {
    "fasting": {"en": "Please test your glucose now, before breakfast.", "zh": "请在吃早饭之前测一次血糖。"},
    "before_meal": {"en": "Please test your glucose now, before you eat.", "zh": "请在饭前测一次血糖。"},
    "after_meal": {
        "en": "Please test your glucose about two hours after your meal.",
        "zh": "请在饭后两小时左右测一次血糖。",
    },
    "bedtime": {"en": "Please test your glucose before you go to bed.", "zh": "请在睡觉之前测一次血糖。"},
    None: {"en": "Please test your glucose now.", "zh": "请现在测一次血糖。"},
}
_OTHERS: Final = {
    "weight": {
        "en": "Please weigh yourself, in light clothes and on a hard floor.",
        "zh": "请穿轻便的衣服，把体重秤放在硬地面上称一次体重。",
    },
    "oxygen_saturation": {
        "en": "Please warm your hand, sit still, and measure your oxygen.",
        "zh": "请把手捂暖，坐着不动，测一次血氧。",
    },
    "temperature": {"en": "Please take your temperature.", "zh": "请量一次体温。"},
}
_AGAIN_TITLE: Final = {"en": "Once more, please", "zh": "请再量一次"}
_AGAIN: Final = {
    "en": "Thank you, your first reading has arrived. Please rest a minute and measure again: two tell your doctor more.",
    "zh": "谢谢，刚才的数据已经收到。请休息一分钟再量一次，两次放在一起，医生看得更准。",
}
_MEDICINE_TITLE: Final = {"en": "Time for your medicine", "zh": "该吃药了"}
_MEDICINE: Final = {
    "en": "It is time for what you take at {clock}. If you have taken it already, all is well: leave it at that."
    " If you are not sure what to take, ask your clinic.",
    "zh": "到 {clock} 服药的时间了。如果已经吃过，就不用再吃了。不清楚该怎么吃时，请问您的诊所。",
}


def reminder(occasion: Occasion, step: int) -> Text:
    """Title and body of a reminder."""
    if step == AGAIN:
        return _text(_AGAIN_TITLE, _AGAIN)
    greeting = next(words for until, words in _GREETINGS if occasion.clock < until)
    if occasion.kind == "medicine":
        body = {language: said.format(clock=occasion.clock) for language, said in _MEDICINE.items()}
        return _text(_MEDICINE_TITLE, body, greeting)
    return _text(_TITLES[occasion.of], _what(occasion), greeting)


def _what(occasion: Occasion) -> Mapping[str, str]:
    if occasion.of == "blood_pressure":
        return _PRESSURE[occasion.readings]
    return _GLUCOSE[occasion.slot] if occasion.of == "glucose" else _OTHERS[occasion.of]


def _text(title: Mapping[str, str], body: Mapping[str, str], greeting: Mapping[str, str] | None = None) -> Text:
    joined = {"en": " ", "zh": ""}
    return {
        language: {
            "title": title[language],
            "body": f"{greeting[language]}{joined[language]}{body[language]}" if greeting else body[language],
        }
        for language in title
    }
