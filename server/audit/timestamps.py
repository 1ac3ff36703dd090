"""A time-stamping authority as a notary (RFC 3161): it signs that it has seen a hash, and when. It learns nothing but the hash.

The only module that imports rfc3161_client.
"""

from datetime import timedelta
from pathlib import Path
from typing import Final

import httpx2
from cryptography import x509
from rfc3161_client import HashAlgorithm, TimestampRequestBuilder, VerifierBuilder, decode_timestamp_response
from rfc3161_client.errors import VerificationError

from server.store.audit_chain import Anchor
from vitals.errors import UnavailableError

TIMEOUT_S: Final = 20.0
REPLY_MAX: Final = 64 * 1024
LATE_BY: Final = timedelta(hours=1)
"""A token that is dated so much later than the anchor says nothing of what was before it: a chain that was written anew gets new
tokens, but no old ones."""


class TimestampNotary:
    """Asks the authority at `url`, and believes those whose certificate leads to one of `ca_file` (PEM)."""

    name: Final = "rfc3161"

    def __init__(self, url: str, ca_file: Path) -> None:
        self._url = url
        try:
            certificates = x509.load_pem_x509_certificates(ca_file.read_bytes())
        except (OSError, ValueError) as e:
            raise UnavailableError(f"the certificates of the time-stamping authority cannot be read: {e}") from e
        builder = VerifierBuilder()
        for each in certificates:
            is_root = each.issuer == each.subject
            builder = builder.add_root_certificate(each) if is_root else builder.add_intermediate_certificate(each)
        self._verifier = builder.build()

    def notarize(self, anchor: Anchor) -> bytes:
        request = (
            TimestampRequestBuilder()
            .data(anchor.statement.encode())
            .hash_algorithm(HashAlgorithm.SHA256)
            .cert_request(cert_request=True)
            .build()
        )
        try:
            answer = httpx2.post(
                self._url,
                content=request.as_bytes(),
                headers={"Content-Type": "application/timestamp-query"},
                timeout=TIMEOUT_S,
            )
        except (httpx2.HTTPError, httpx2.InvalidURL, OSError) as e:
            raise UnavailableError(f"the time-stamping authority does not answer: {type(e).__name__}") from e
        if answer.status_code != 200 or len(answer.content) > REPLY_MAX:
            raise UnavailableError(f"the time-stamping authority answers {answer.status_code}")
        if (why := self.objection(anchor, answer.content)) is not None:
            raise UnavailableError(f"the time-stamping authority's answer proves nothing: {why}")
        return answer.content

    def objection(self, anchor: Anchor, receipt: bytes) -> str | None:
        try:
            response = decode_timestamp_response(receipt)
            self._verifier.verify_message(response, anchor.statement.encode())
        except (VerificationError, ValueError) as e:
            return f"the token does not hold: {e}"
        said_at = response.tst_info.gen_time
        if said_at - anchor.at > LATE_BY:
            return f"the token is of {said_at.isoformat()}, {said_at - anchor.at} after the anchor"
        return None
