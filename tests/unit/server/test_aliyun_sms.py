"""Aliyun's signature, computed again from its specification by a server that believes nothing, and a published one."""

import hashlib
import hmac
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from urllib.parse import parse_qsl, quote, unquote

import pytest
from outside_world import Request, WebService, web_service

from server.push import apprise_door, services
from server.push.aliyun_sms import signed
from server.push.apprise_door import Parcel
from server.push.outside_texts import Words

KEY_ID, KEY_SECRET = "LTAI5tExample", "a/secret+of=ours"
WORDS = Words(title="家守：测试消息", body="收到这条消息，说明此渠道可用。")


@pytest.fixture
def aliyun() -> Iterator[WebService]:
    with web_service() as service:
        service.answers = [(200, {}, json.dumps({"Code": "OK", "Message": "OK", "BizId": "9"}).encode())]
        yield service


def verify(call: Request, secret: str) -> dict[str, str]:
    """As the receiver does it, step by step from the specification (V3 request structure and signature); returns the query."""
    scheme, _, rest = call.headers["authorization"].partition(" ")
    said = dict(each.split("=", 1) for each in rest.split(","))
    assert (scheme, said["Credential"]) == ("ACS3-HMAC-SHA256", KEY_ID)
    names = said["SignedHeaders"].split(";")
    assert {
        "host",
        "x-acs-action",
        "x-acs-content-sha256",
        "x-acs-date",
        "x-acs-signature-nonce",
        "x-acs-version",
    } <= set(names)
    assert names == sorted(names)
    path, _, query = call.path.partition("?")
    pairs = sorted(parse_qsl(query, keep_blank_values=True))
    canonical = "&".join(f"{quote(name, safe='-_.~')}={quote(value, safe='-_.~')}" for name, value in pairs)
    hashed = hashlib.sha256(call.body).hexdigest()
    assert call.headers["x-acs-content-sha256"] == hashed
    headers = "".join(f"{name}:{call.headers[name].strip()}\n" for name in names)
    request = f"POST\n{path}\n{canonical}\n{headers}\n{';'.join(names)}\n{hashed}"
    text = f"ACS3-HMAC-SHA256\n{hashlib.sha256(request.encode()).hexdigest()}"
    assert hmac.compare_digest(said["Signature"], hmac.new(secret.encode(), text.encode(), "sha256").hexdigest())
    return dict(pairs)


def parcel(service: WebService, *, more: str = "", number: str = "+8613800000000") -> Parcel:
    address = f"aliyunsms://{quote(KEY_ID)}:{quote(KEY_SECRET, safe='')}@{quote('家守诊所')}/SMS_154950909/{{to}}"
    url = services.filled(f"{address}?endpoint={quote(service.url, safe='')}{more}", number)
    return Parcel(channel_id=1, url=url, words=WORDS, key="00000000-0000-0000-0000-000000000007", salt=b"salt")


def test_the_receiver_computes_the_same_signature_and_is_asked_for_what_was_set_up(aliyun: WebService) -> None:
    attempt = apprise_door.send(parcel(aliyun, more="&param=what"), timeout_s=5)
    assert (attempt.status, attempt.answer) == ("sent", "")
    (call,) = aliyun.calls
    query = verify(call, KEY_SECRET)
    assert query == {
        "PhoneNumbers": "+8613800000000",
        "SignName": "家守诊所",
        "TemplateCode": "SMS_154950909",
        "TemplateParam": '{"what": "家守：测试消息"}',
        "OutId": "00000000-0000-0000-0000-000000000007",
    }
    assert (call.headers["x-acs-action"], call.headers["x-acs-version"]) == ("SendSms", "2017-05-25")
    with pytest.raises(AssertionError):
        verify(call, "another secret")


def test_a_template_without_variables_is_sent_none(aliyun: WebService) -> None:
    assert apprise_door.send(parcel(aliyun), timeout_s=5).status == "sent"
    assert "TemplateParam" not in unquote(aliyun.calls[0].path)


def test_no_two_calls_have_the_same_nonce(aliyun: WebService) -> None:
    for _ in range(3):
        apprise_door.send(parcel(aliyun), timeout_s=5)
    assert len({call.headers["x-acs-signature-nonce"] for call in aliyun.calls}) == 3


@pytest.mark.parametrize(
    ("status", "body", "answer"),
    [
        (200, {"Code": "isv.BUSINESS_LIMIT_CONTROL", "Message": "to 13800000000"}, "code isv.BUSINESS_LIMIT_CONTROL"),
        (400, {"Code": "SignatureDoesNotMatch"}, "code SignatureDoesNotMatch"),
        (503, "oops", "code 503"),
        (200, {"Code": "13800000000 is refused"}, "code 200"),
    ],
)
def test_a_refusal_is_a_code_and_never_the_text_of_the_answer(
    aliyun: WebService, status: int, body: object, answer: str
) -> None:
    aliyun.answers = [(status, {}, json.dumps(body).encode())]
    attempt = apprise_door.send(parcel(aliyun), timeout_s=5)
    assert (attempt.status, attempt.answer) == ("failed", answer)


def test_places_have_names_that_lead_nowhere_and_differ(aliyun: WebService) -> None:
    first = apprise_door.send(parcel(aliyun), timeout_s=5).target
    assert first == apprise_door.send(parcel(aliyun), timeout_s=5).target
    assert first != apprise_door.send(parcel(aliyun, number="+8613800000001"), timeout_s=5).target
    assert len(first) == 16


def test_the_signature_is_that_of_the_example_in_aliyuns_manual() -> None:
    """ "Request syntax and signature method V3", fixed parameters: keys, nonce, date and signature as published."""
    headers = signed(
        "YourAccessKeyId",
        "YourAccessKeySecret",
        host="ecs.cn-shanghai.aliyuncs.com",
        query={
            "ImageId": "win2019_1809_x64_dtc_zh-cn_40G_alibase_20230811.vhd",
            "RegionId": "cn-shanghai",
        },
        at=datetime(2023, 10, 26, 10, 22, 32, tzinfo=UTC),
        nonce="3156853299f313e23d1673dc12e1703d",
        action="RunInstances",
        version="2014-05-26",
    )
    assert headers["Authorization"] == (
        "ACS3-HMAC-SHA256 Credential=YourAccessKeyId,"
        "SignedHeaders=host;x-acs-action;x-acs-content-sha256;x-acs-date;x-acs-signature-nonce;x-acs-version,"
        "Signature=06563a9e1b43f5dfe96b81484da74bceab24a1d853912eee15083a6f0f3283c0"
    )
