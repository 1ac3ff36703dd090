"""Text messages by Aliyun (阿里云短信), as a plug-in of Apprise: `SendSms` of 2017-05-25, signed with ACS3-HMAC-SHA256.

    aliyunsms://ACCESS_KEY_ID:ACCESS_KEY_SECRET@SIGN_NAME/TEMPLATE_CODE/{to}

In mainland China the text of a message is a template that the carrier has approved; what may differ is a variable of it, named by
`?param=`, which gets our title. A template without variables needs none. `?endpoint=` leads to another region or a proxy.
"""

import hashlib
import hmac
import json
import re
import secrets
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import quote, urlsplit

import requests
from apprise import NotifyBase
from apprise.manager_plugins import NotificationManager

from server import clock

ENDPOINT: Final = "https://dysmsapi.aliyuncs.com"
ACTION: Final = "SendSms"
VERSION: Final = "2017-05-25"
ALGORITHM: Final = "ACS3-HMAC-SHA256"

_CODE: Final = re.compile(r"[A-Za-z0-9_.-]{1,40}")


class NotifyAliyunSms(NotifyBase):  # type: ignore[misc]  # of Apprise's classes mypy knows nothing
    """One template, one number."""

    service_name = "Aliyun SMS"
    service_url = "https://www.aliyun.com/product/sms"
    secure_protocol = "aliyunsms"
    setup_url = "https://help.aliyun.com/zh/sms/"
    title_maxlen = 250
    body_maxlen = 500
    request_rate_per_sec = 0
    templates = ("{schema}://{user}:{password}@{host}/{template}/{targets}",)
    template_tokens: Mapping[str, Any] = {
        "user": {"name": "Access Key ID", "type": "string", "required": True},
        "password": {"name": "Access Key Secret", "type": "string", "private": True, "required": True},
        "host": {"name": "Signature", "type": "string", "required": True},
        "template": {"name": "Template Code", "type": "string", "required": True},
        "targets": {"name": "Telephone number", "type": "string", "required": True},
    }

    def __init__(
        self, sign_name: str, template_code: str, number: str, param: str = "", endpoint: str = ENDPOINT, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        if not (self.user and self.password and sign_name and template_code and number):
            raise TypeError("aliyunsms://KEY_ID:KEY_SECRET@SIGN_NAME/TEMPLATE_CODE/{to} needs all of these")
        if not endpoint.startswith(("https://", "http://")):
            raise TypeError("an endpoint is a web address")
        self.sign_name = sign_name
        self.template_code = template_code
        self.number = number
        self.param = param
        self.endpoint = endpoint
        self.out_id = ""

    def send(self, body: str, title: str = "", **_: Any) -> bool:
        """Ask for it once; True where Aliyun answers `OK`."""
        query = {"PhoneNumbers": self.number, "SignName": self.sign_name, "TemplateCode": self.template_code}
        if self.param:
            query["TemplateParam"] = json.dumps({self.param: title or body}, ensure_ascii=False)
        if self.out_id:
            query["OutId"] = self.out_id  # comes back in the carrier's receipt, so that a repeat is known again
        headers = signed(
            self.user,
            self.password,
            host=urlsplit(self.endpoint).netloc,
            query=query,
            at=clock.now(),
            nonce=secrets.token_hex(16),
        )
        try:
            answer = requests.post(
                f"{self.endpoint}/?{canonical_query(query)}",
                headers=headers,
                timeout=self.request_timeout,
                verify=self.verify_certificate,
                allow_redirects=False,
            )
        except requests.RequestException as e:
            self.logger.warning("Aliyun SMS: error=%s", type(e).__name__)
            return False
        code = _code_of(answer)
        if code != "OK":
            self.logger.warning("Aliyun SMS: error=%s", code)
        return code == "OK"

    def url(self, privacy: bool = False, *args: Any, **kwargs: Any) -> str:
        secret = self.pprint(self.password, privacy, mode="secret", safe="")
        user = self.pprint(self.user, privacy, safe="")
        number = self.pprint(self.number, privacy, safe="")
        host, template = quote(self.sign_name, safe=""), quote(self.template_code, safe="")
        return f"{self.secure_protocol}://{user}:{secret}@{host}/{template}/{number}"

    @property
    def url_identifier(self) -> tuple[str, ...]:
        return (self.secure_protocol, self.user, self.sign_name, self.template_code, self.number)

    @staticmethod
    def parse_url(url: str) -> dict[str, Any] | None:
        found = NotifyBase.parse_url(url, verify_host=False)
        if not found:
            return None
        rest = NotifyBase.split_path(found["fullpath"])
        query = found.get("qsd", {})
        found["sign_name"] = NotifyBase.unquote(found["host"])
        found["template_code"] = rest[0] if rest else ""
        found["number"] = rest[1] if len(rest) > 1 else ""
        found["param"] = query.get("param", "")
        found["endpoint"] = NotifyBase.unquote(query.get("endpoint", "")) or ENDPOINT
        return dict(found)


def install() -> None:
    """Make Apprise know the scheme; twice is once."""
    known = NotificationManager()
    if "aliyunsms" not in known.schemas():
        known.add(NotifyAliyunSms, schemas=("aliyunsms",))


def signed(
    key_id: str,
    key_secret: str,
    *,
    host: str,
    query: Mapping[str, str],
    at: datetime,
    nonce: str,
    action: str = ACTION,
    version: str = VERSION,
) -> dict[str, str]:
    """The headers of a POST with an empty body, as Aliyun's "V3 request structure and signature" has it."""
    nothing = hashlib.sha256(b"").hexdigest()
    headers = {
        "host": host,
        "x-acs-action": action,
        "x-acs-content-sha256": nothing,
        "x-acs-date": at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "x-acs-signature-nonce": nonce,
        "x-acs-version": version,
    }
    names = ";".join(sorted(headers))
    lines = "".join(f"{name}:{headers[name]}\n" for name in sorted(headers))
    asked = "\n".join(("POST", "/", canonical_query(query), lines, names, nothing))
    said = f"{ALGORITHM}\n{hashlib.sha256(asked.encode()).hexdigest()}"
    signature = hmac.new(key_secret.encode(), said.encode(), hashlib.sha256).hexdigest()
    authorization = f"{ALGORITHM} Credential={key_id},SignedHeaders={names},Signature={signature}"
    return {**headers, "Authorization": authorization}


def canonical_query(query: Mapping[str, str]) -> str:
    """Sorted, each byte outside RFC 3986's unreserved ones escaped."""
    return "&".join(f"{quote(name, safe='~')}={quote(query[name], safe='~')}" for name in sorted(query))


def _code_of(answer: requests.Response) -> str:
    try:
        code = answer.json().get("Code", "")
    except (ValueError, AttributeError):
        code = ""
    return code if isinstance(code, str) and _CODE.fullmatch(code) else str(answer.status_code)
