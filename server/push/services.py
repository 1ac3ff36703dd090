"""Which ways out of the house there are, by the scheme of their Apprise URL, and what an address looks like there. Pure.

A scheme that is not here is refused: among Apprise's are ones that write to this machine's own screen and log, and ones for which
nobody has asked what leaves the house by them.
"""

import re
from collections.abc import Mapping
from typing import Final
from urllib.parse import quote

from server.push import browsers
from server.push.browsers import read_subscription
from vitals.errors import MalformedError

PLACE: Final = "{to}"
"""Where in a channel's URL the address of a person goes."""

SERVICES: Final[Mapping[str, str]] = {
    browsers.SCHEME: "webpush",
    **dict.fromkeys(("mailto", "mailtos"), "email"),
    **dict.fromkeys(
        (
            *(
                "aliyunsms",
                "bulksms",
                "burstsms",
                "clickatell",
                "d7sms",
                "httpsms",
                "msgbird",
                "nexmo",
                "plivo",
                "seven",
            ),
            *("sfr", "sinch", "smseagle", "smseagles", "smsmgr", "sns", "spugpush", "twilio", "voipms"),
        ),
        "sms",
    ),
    **dict.fromkeys(
        (
            *(
                "bark",
                "barks",
                "dingtalk",
                "feishu",
                "json",
                "jsons",
                "lark",
                "line",
                "matrix",
                "matrixs",
                "mmost",
                "mmosts",
            ),
            *(
                "ntfy",
                "ntfys",
                "pushdeer",
                "pushdeers",
                "pushplus",
                "qq",
                "rocket",
                "rockets",
                "schan",
                "signal",
                "signals",
            ),
            *("slack", "tgram", "wechat", "wecombot", "whatsapp", "wpush", "wxpusher", "zulip"),
        ),
        "chat",
    ),
}
"""Kind of channel by scheme."""

ADDRESS_MAX: Final = 254
_EMAIL: Final = re.compile(r"[A-Za-z0-9._%+-]{1,64}@[A-Za-z0-9-]{1,63}(\.[A-Za-z0-9-]{1,63})+")
_PHONE: Final = re.compile(r"\+?[0-9]{6,15}")
_CHAT: Final = re.compile(r"[A-Za-z0-9._@#:+-]{1,128}")
_SCHEME: Final = re.compile(r"([a-z0-9]{2,20})://")


def service_of(url: str) -> tuple[str, str]:
    """`(service, kind)` of a channel's URL. Raises `MalformedError`, which never repeats the URL: it holds secrets."""
    found = _SCHEME.match(url)
    service = found[1] if found else ""
    if service not in SERVICES:
        raise MalformedError("channel_url", f"a channel's address begins with one of: {', '.join(sorted(SERVICES))}")
    if any(ord(each) < 0x20 or ord(each) == 0x7F for each in url) or len(url) > 2000:
        raise MalformedError("channel_url", "an address is one line of at most 2000 characters")
    return service, SERVICES[service]


def checked_address(kind: str, address: str) -> str:
    """A person's address for a kind of channel, as it is kept. Raises `MalformedError`, which does not repeat it."""
    if kind == "webpush":
        return read_subscription(address).as_text()
    said = address.strip()
    if kind == "sms":
        said = re.sub(r"[ ()-]", "", said)
    pattern = {"email": _EMAIL, "sms": _PHONE, "chat": _CHAT}[kind]
    if len(said) > ADDRESS_MAX or not pattern.fullmatch(said):
        raise MalformedError("contact_address", _WANTED[kind])
    return said


def filled(url: str, address: str | None) -> str:
    """The URL with the address in its place, which it cannot break out of."""
    return url if address is None else url.replace(PLACE, quote(address, safe=""))


def masked(kind: str, address: str | None) -> str:
    """So much of an address that its owner knows it again."""
    if address is None:
        return ""
    if kind == "webpush":
        return read_subscription(address).host
    if kind == "email":
        name, _, host = address.partition("@")
        return f"{name[:1]}…@{host}"
    return f"…{address[-3:]}"


_WANTED: Final = {
    "email": "give an e-mail address such as li@clinic.example",
    "sms": "give a telephone number of 6 to 15 digits, such as +8613800000000",
    "chat": "give the name or number that the service knows the person by: letters, digits and . _ @ # : + -",
}
