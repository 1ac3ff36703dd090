"""A small OpenID provider on loopback, as a hospital has one: discovery, code flow with PKCE, signed tokens, keys.

Written from the specifications and not from our client; what it says can be made wrong, one thing at a time.
"""

import base64
import hashlib
import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

from joserfc import jwt
from joserfc.jwk import KeySet, RSAKey

from server import clock

KEY = RSAKey.generate_key(2048, {"kid": "house"})
STRANGER = RSAKey.generate_key(2048, {"kid": "house"})
CLIENT, SECRET = "homevigil", "a secret of the house"


@dataclass(slots=True)
class Provider:
    """`who`: the claims of whoever signs in; `instead`: claims that are said instead of the right ones."""

    url: str
    who: Mapping[str, Any] = field(default_factory=lambda: {"sub": "0815", "preferred_username": "dr-lin"})
    instead: Mapping[str, Any] = field(default_factory=dict)
    key: RSAKey = field(default_factory=lambda: KEY)
    codes: dict[str, dict[str, str]] = field(default_factory=dict)

    def token(self, asked: Mapping[str, str]) -> str:
        now = int(clock.now().timestamp())
        claims = {"iss": self.url, "aud": CLIENT, "iat": now, "exp": now + 300, "nonce": asked["nonce"], **self.who}
        said = {name: value for name, value in {**claims, **self.instead}.items() if value is not None}
        return jwt.encode({"alg": "RS256", "kid": "house"}, said, self.key, algorithms=["RS256"])


class _Handler(BaseHTTPRequestHandler):
    provider: Provider

    def do_GET(self) -> None:
        path, asked = urlsplit(self.path).path, {k: v[0] for k, v in parse_qs(urlsplit(self.path).query).items()}
        url = self.provider.url
        if path == "/.well-known/openid-configuration":
            self._json(
                {
                    "issuer": url,
                    "authorization_endpoint": f"{url}/authorize",
                    "token_endpoint": f"{url}/token",
                    "jwks_uri": f"{url}/keys",
                }
            )
        elif path == "/keys":
            self._json(KeySet([KEY]).as_dict(private=False))
        elif path == "/authorize":
            assert (asked["client_id"], asked["response_type"], asked["code_challenge_method"]) == (
                CLIENT,
                "code",
                "S256",
            )
            code = hashlib.sha256(asked["state"].encode()).hexdigest()
            self.provider.codes[code] = asked
            self.send_response(302)
            back = urlencode({"code": code, "state": asked["state"]})
            self.send_header("Location", f"{asked['redirect_uri']}?{back}")
            self.end_headers()

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        form = {k: v[0] for k, v in parse_qs(body).items()}
        asked = self.provider.codes.pop(form["code"], None)
        challenge = (
            base64.urlsafe_b64encode(hashlib.sha256(form["code_verifier"].encode()).digest()).decode().rstrip("=")
        )
        basic = base64.b64decode(self.headers["Authorization"].removeprefix("Basic ")).decode()
        if asked is None or challenge != asked["code_challenge"] or basic != f"{CLIENT}:{SECRET}":
            self._json({"error": "invalid_grant"}, 400)
            return
        self._json({"access_token": "x", "token_type": "Bearer", "id_token": self.provider.token(asked)})

    def _json(self, said: object, status: int = 200) -> None:
        body = json.dumps(said).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Not on stderr."""


@contextmanager
def provider() -> Iterator[Provider]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    made = Provider(url=f"http://127.0.0.1:{server.server_address[1]}")
    server.RequestHandlerClass = type("Handler", (_Handler,), {"provider": made})
    thread = threading.Thread(target=server.serve_forever, name="provider")
    thread.start()
    try:
        yield made
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
