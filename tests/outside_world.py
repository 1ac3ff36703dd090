"""The other side of channels, on real sockets: a mail server and web services that keep what they are sent."""

import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.message import EmailMessage
from email.parser import BytesParser
from email.policy import default
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass(frozen=True, slots=True)
class Request:
    """A call as it came. `headers`: names in small letters."""

    path: str
    headers: dict[str, str]
    body: bytes


@dataclass(slots=True)
class WebService:
    """Answers what it is told to; `answers` is `(status, headers, body)`, the last one for ever."""

    port: int = 0
    answers: list[tuple[int, dict[str, str], bytes]] = field(default_factory=lambda: [(200, {}, b"{}")])
    calls: list[Request] = field(default_factory=list)

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def url(self) -> str:
        return f"http://{self.host}"


@dataclass(slots=True)
class MailServer:
    """Takes mail for everybody but `refused`, who get this code."""

    port: int = 0
    refused: dict[str, int] = field(default_factory=dict)
    mails: list[tuple[list[str], EmailMessage]] = field(default_factory=list)


@contextmanager
def web_service() -> Iterator[WebService]:
    service = WebService()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length") or 0))
            service.calls.append(Request(self.path, {k.lower(): v for k, v in self.headers.items()}, body))
            status, headers, answer = service.answers.pop(0) if len(service.answers) > 1 else service.answers[0]
            self.send_response(status)
            for name, value in {**headers, "content-length": str(len(answer))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(answer)

        do_GET = do_POST

        def log_message(self, *_: object) -> None:
            return

    with _serving(ThreadingHTTPServer(("127.0.0.1", 0), Handler)) as service.port:
        yield service


@contextmanager
def mail_server() -> Iterator[MailServer]:
    """SMTP (RFC 5321), as far as a client that hands mail in needs it."""
    server = MailServer()

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            self._say("220 mail.clinic.example")
            to: list[str] = []
            while line := self.rfile.readline().decode().strip():
                verb, _, rest = line.partition(" ")
                match verb.upper():
                    case "EHLO" | "HELO":
                        self._say("250-mail.clinic.example\r\n250-AUTH PLAIN\r\n250 8BITMIME")
                    case "AUTH":
                        self._say("235 welcome")
                    case "RCPT":
                        address = rest[rest.index("<") + 1 : rest.index(">")]
                        code = server.refused.get(address, 250)
                        to += [address] if code == 250 else []
                        self._say(f"{code} {address}")
                    case "DATA":
                        self._say("354 go on")
                        server.mails.append((to, self._mail()))
                        self._say("250 kept")
                    case "QUIT":
                        self._say("221 bye")
                        return
                    case _:
                        self._say("250 ok")

        def _mail(self) -> EmailMessage:
            lines = []
            while (line := self.rfile.readline()) != b".\r\n":
                lines.append(line[1:] if line.startswith(b".") else line)
            return BytesParser(policy=default).parsebytes(b"".join(lines))  # type: ignore[return-value]

        def _say(self, words: str) -> None:
            self.wfile.write(f"{words}\r\n".encode())

    with _serving(socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler)) as server.port:
        yield server


@contextmanager
def _serving(server: socketserver.BaseServer) -> Iterator[int]:
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server.server_address[1]  # type: ignore[index, misc]
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
