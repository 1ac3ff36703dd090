"""Where a call may go: the internet by https, and the clinic's own network only if a setting says so; never by a name's trick."""

from ipaddress import ip_address

import pytest

from server.push.addresses import checked_url, is_public, look_up
from vitals.errors import MalformedError, UnavailableError

PUBLIC = ["93.184.216.34", "2606:2800:220:1:248:1893:25c8:1946"]
NOT_PUBLIC = [
    "127.0.0.1",
    "10.0.0.1",
    "172.16.3.4",
    "192.168.1.1",
    "169.254.169.254",
    "100.64.0.1",
    "0.0.0.0",
    "224.0.0.1",
    "255.255.255.255",
    "::1",
    "::",
    "fe80::1",
    "fe80::1%eth0",
    "fc00::1",
    "fd00:ec2::254",
    "ff02::1",
    "::ffff:127.0.0.1",
    "::ffff:169.254.169.254",
    "64:ff9b::a00:1",
    "2002:7f00:1::",
]


def leads_to(*addresses: str) -> "Resolver":
    return Resolver(addresses)


class Resolver:
    """A name server that gives these answers, and counts how often it was asked."""

    def __init__(self, addresses: tuple[str, ...]) -> None:
        self.addresses = addresses
        self.asked: list[tuple[str, int]] = []

    def __call__(self, host: str, port: int) -> list[str]:
        self.asked.append((host, port))
        return list(self.addresses)


@pytest.mark.parametrize("address", PUBLIC)
def test_an_address_on_the_internet_is_public(address: str) -> None:
    assert is_public(ip_address(address))


@pytest.mark.parametrize("address", NOT_PUBLIC)
def test_an_address_of_a_house_or_its_cloud_is_not(address: str) -> None:
    assert not is_public(ip_address(address))


def test_only_https_may_be_called_unless_the_own_network_may() -> None:
    assert str(checked_url("https://clinic.example/a", allow_private=False)) == "https://clinic.example/a"
    for url in ("http://clinic.example/", "http://127.0.0.1:9/", "https://127.0.0.1/", "https://[::1]/"):
        with pytest.raises(MalformedError, match="webhook_url"):
            checked_url(url, allow_private=False)
        assert str(checked_url(url, allow_private=True)) == url


@pytest.mark.parametrize("allow_private", [False, True])
@pytest.mark.parametrize(
    "url",
    [
        "file:///etc/passwd",
        "ftp://clinic.example/",
        "https://a:b@clinic.example/",
        "https:///x",
        "https://",
        "https://clinic.example:99999/",
        "https://[::1",
        "nonsense",
    ],
)
def test_what_is_no_web_address_may_never_be_called(url: str, allow_private: bool) -> None:
    with pytest.raises(MalformedError, match="webhook_url"):
        checked_url(url, allow_private=allow_private)


@pytest.mark.parametrize("address", NOT_PUBLIC)
def test_a_name_that_leads_inside_is_refused(address: str) -> None:
    with pytest.raises(MalformedError, match="webhook_address"):
        look_up("https://clinic.example/", allow_private=False, resolve=leads_to(address))


def test_of_a_name_that_leads_inside_and_outside_only_the_outside_is_called() -> None:
    target = look_up("https://clinic.example/", allow_private=False, resolve=leads_to("10.0.0.1", *PUBLIC))
    assert target.addresses == tuple(PUBLIC)


def test_a_name_is_looked_up_once_and_called_by_that_address_under_its_own_name() -> None:
    resolve = leads_to(PUBLIC[0])
    target = look_up("https://clinic.example:8443/alerts?a=1", allow_private=False, resolve=resolve)
    assert str(target.by(PUBLIC[0])) == f"https://{PUBLIC[0]}:8443/alerts?a=1"
    assert (target.host, target.host_header) == ("clinic.example", "clinic.example:8443")
    assert resolve.asked == [("clinic.example", 8443)]


@pytest.mark.parametrize("number", ["2130706433", "0x7f.1", "127.1"])
def test_numbers_that_a_resolver_takes_for_an_address_are_looked_at_as_one(number: str) -> None:
    with pytest.raises(MalformedError, match="webhook_address"):
        look_up(f"https://{number}/", allow_private=False, resolve=leads_to("127.0.0.1"))


def test_a_name_that_is_not_known_may_be_known_later() -> None:
    def nowhere(host: str, port: int) -> list[str]:
        raise OSError("no such host")

    with pytest.raises(UnavailableError):
        look_up("https://clinic.example/", allow_private=False, resolve=nowhere)
