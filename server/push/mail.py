"""Sends one e-mail by the clinic's own mail server. Sent again it has the same Message-ID, so that mail programs show it once.

Where the server is, and how it is spoken to, is read from the channel's address by Apprise; the mail itself is ours, because
Apprise gives each a new Message-ID.
"""

import smtplib
import ssl
from dataclasses import dataclass, field
from email.message import EmailMessage
from email.utils import format_datetime, formataddr
from typing import Final, Literal

from server import clock
from server.push.outside_texts import Words

PORTS: Final = {"starttls": 587, "ssl": 465, "insecure": 25}
NAME: Final = "HomeVigil"


@dataclass(frozen=True, slots=True, kw_only=True)
class MailServer:
    """Where to hand it in, and as whom."""

    host: str
    port: int | None
    mode: Literal["starttls", "ssl", "insecure"]
    user: str | None
    password: str | None = field(repr=False)
    sender: str
    verify: bool = True


def send(server: MailServer, to: list[str], words: Words, *, key: str, timeout_s: float) -> str:
    """Hand it in; `""` if the server took it for everybody, else a code of its answer. Raises `OSError` where nobody answers."""
    try:
        with _open(server, timeout_s) as line:
            if server.user and server.password:
                line.login(server.user, server.password)
            refused = line.send_message(_mail(server, to, words, key))
    except smtplib.SMTPRecipientsRefused as e:
        return _codes(e.recipients)
    except smtplib.SMTPResponseException as e:
        return f"SMTP {e.smtp_code}"
    except smtplib.SMTPException as e:
        return type(e).__name__
    return _codes(refused) if refused else ""


def _open(server: MailServer, timeout_s: float) -> smtplib.SMTP:
    context = ssl.create_default_context()
    if not server.verify:
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    port = server.port or PORTS[server.mode]
    if server.mode == "ssl":
        return smtplib.SMTP_SSL(server.host, port, timeout=timeout_s, context=context)
    line = smtplib.SMTP(server.host, port, timeout=timeout_s)
    if server.mode == "starttls":
        line.starttls(context=context)
    return line


def _mail(server: MailServer, to: list[str], words: Words, key: str) -> EmailMessage:
    mail = EmailMessage()
    mail["Subject"] = words.title
    mail["From"] = formataddr((NAME, server.sender))
    mail["To"] = ", ".join(to)
    mail["Message-ID"] = message_id(key, server.sender)
    mail["Date"] = format_datetime(clock.now())
    mail["Auto-Submitted"] = "auto-generated"  # RFC 3834: no vacation notice answers it
    mail.set_content(words.whole)
    return mail


def message_id(key: str, sender: str) -> str:
    """The same for the same message, from whatever machine it is sent."""
    return f"<{key}@{sender.rpartition('@')[2]}>"


def _codes(refused: dict[str, tuple[int, bytes]]) -> str:
    return "SMTP " + ", ".join(sorted({str(code) for code, _ in refused.values()}))
