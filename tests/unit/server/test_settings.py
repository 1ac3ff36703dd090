"""Settings and named SQL: refused early, by name."""

import pytest
from pydantic import ValidationError

from server.config import Settings
from server.store.postgres import load_sql


@pytest.fixture(autouse=True)
def no_settings_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    import os

    for name in os.environ:
        if name.startswith("HOMEVIGIL_"):
            monkeypatch.delenv(name)


def test_only_the_database_must_be_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOMEVIGIL_SERVER_DATABASE_URL", "postgresql:///clinic")
    settings = Settings()  # type: ignore[call-arg]
    assert (settings.mqtt_host, settings.mqtt_port, settings.web_port) == ("127.0.0.1", 1883, 8080)
    assert not settings.has_secure_cookies


def test_a_password_does_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOMEVIGIL_SERVER_DATABASE_URL", "postgresql://u:geheim@db/clinic")
    monkeypatch.setenv("HOMEVIGIL_SERVER_MQTT_PASSWORD", "geheim")
    assert "geheim" not in repr(Settings())  # type: ignore[call-arg]


def test_cookies_are_secure_where_people_come_by_https(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOMEVIGIL_SERVER_DATABASE_URL", "postgresql:///clinic")
    monkeypatch.setenv("HOMEVIGIL_SERVER_PUBLIC_URL", "https://clinic.example")
    assert Settings().has_secure_cookies  # type: ignore[call-arg]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("MQTT_PORT", "70000"),
        ("WEB_PORT", "eighty"),
        ("PUBLIC_URL", "clinic.example/path"),
        ("LOG_LEVEL", "loud"),
        ("METRICS_TOKEN", "too short"),
    ],
)
def test_a_wrong_word_is_refused(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv("HOMEVIGIL_SERVER_DATABASE_URL", "postgresql:///clinic")
    monkeypatch.setenv(f"HOMEVIGIL_SERVER_{name}", value)
    with pytest.raises(ValidationError, match=name.lower()):
        Settings()  # type: ignore[call-arg]


@pytest.mark.parametrize("stem", ["enrolment", "intake", "judging", "pushes"])
def test_every_statement_has_a_name_and_says_something(stem: str) -> None:
    statements = load_sql(stem)
    assert len(statements) >= 5
    for name, statement in statements.items():
        assert any(line and not line.startswith(b"--") for line in statement.splitlines()), name
        assert not statement.rstrip().endswith(b";")
