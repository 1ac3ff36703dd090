"""What others have signed, and what we sign for others: JSON Web Tokens. The only module that imports joserfc."""

import base64
import json
from collections.abc import Mapping, Sequence
from typing import Any

from joserfc import jwk, jwt
from joserfc.errors import JoseError

from vitals.errors import MalformedError


def public_keys(key_set: str) -> list[Mapping[str, Any]]:
    """The public halves alone, whatever was given. Raises `MalformedError` (`keys`)."""
    try:
        keys = jwk.KeySet.import_key_set(json.loads(key_set)).keys
        return [key.as_dict(private=False) for key in keys]
    except (JoseError, ValueError, KeyError, TypeError) as e:
        raise MalformedError("keys", "this is no JSON Web Key Set") from e


def claims(token: str, keys: Sequence[Mapping[str, Any]], algorithms: Sequence[str]) -> Mapping[str, Any]:
    """The claims of a token that one of these keys has signed by one of these algorithms. Raises `MalformedError` (`token`)."""
    try:
        key_set = jwk.KeySet.import_key_set({"keys": [dict(key) for key in keys]})
        found: Mapping[str, Any] = jwt.decode(token, key_set, algorithms=list(algorithms)).claims
    except (JoseError, ValueError, TypeError, KeyError) as e:
        raise MalformedError("token", "the signature does not fit a key that is known") from e
    return found


def unproved_issuer(token: str) -> str:
    """Who says to have signed it; nothing is believed of it yet. Raises `MalformedError` (`token`)."""
    try:
        part = token.split(".")[1]
        issuer = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))["iss"]
    except (ValueError, KeyError, IndexError, TypeError) as e:
        raise MalformedError("token", "this is no token with an issuer") from e
    return issuer if isinstance(issuer, str) and "\x00" not in issuer else ""


def signed(claims: Mapping[str, Any], private_key: str, algorithm: str) -> str:
    """A token of ours. `private_key`: PEM, of the kind that `algorithm` wants."""
    key = jwk.ECKey.import_key(private_key)
    return jwt.encode({"alg": algorithm, "typ": "JWT"}, dict(claims), key, algorithms=[algorithm])
