"""What the clinic may set in a gateway from afar: one strict, versioned document, retained on the topic `config`.

It is whole: what it does not say is as the gateway's own settings have it. A word of a newer server is passed over and told
back, so that nobody believes it has been heard; anything else that does not fit refuses the document as a whole.
"""

from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta, Struct

from vitals.errors import MalformedError
from vitals.reading import Identifier, Instant, ZoneName

VERSION: Final = 1
MAX_BYTES: Final = 16 * 1024
MAX_PAIRING_CODES: Final = 100
"""As many as there are meters in the largest home that is tested."""
MAX_IGNORED: Final = 8
"""Unknown words that are told back; more than that is another document."""

LogLevel = Literal["debug", "info", "warning", "error"]

PairingCode = Annotated[str, Meta(pattern=r"^[0-9]{6}\Z")]
"""The six digits that a meter shows, or that stand on its label, with their leading zeros (Core 5.4, vol. 3 part H, 2.3.5.3)."""

UserCode = Annotated[str, Meta(pattern=r"^[0-9]{4}\Z")]
"""The four digits that open one user of a shared meter (User Data Service)."""
UserNumber = Annotated[str, Meta(pattern=r"^(0|[1-9][0-9]?|1[0-9]{2}|2[0-4][0-9]|25[0-4])\Z")]
"""0 to 254: 255 is nobody (GATT Specification Supplement, User Index)."""
MAX_USERS: Final = 16
"""Of one meter; the largest that is known has eight."""

RequestId = Annotated[str, Meta(pattern=r"^[A-Za-z0-9._-]{1,32}\Z")]


class RemoteConfig(Struct, frozen=True, kw_only=True):
    """`revision` is the server's number of this document; 0 for one of a server of 0.1.0, which said a zone alone.

    `pairing_codes` are by meter, `user_codes` by meter and user; they are secrets: never logged, never told back.
    `scanning_paused_until`: the adapter is left alone until then. `home_assistant`: None leaves it to the settings.
    `diagnostics`: a bundle is wanted under this name, once.
    """

    v: Literal[1] = 1
    revision: Annotated[int, Meta(ge=0, le=2**53)] = 0
    zone: ZoneName | None = None
    pairing_codes: Annotated[dict[Identifier, PairingCode], Meta(max_length=MAX_PAIRING_CODES)] = msgspec.field(
        default_factory=dict
    )
    user_codes: Annotated[
        dict[Identifier, Annotated[dict[UserNumber, UserCode], Meta(max_length=MAX_USERS)]],
        Meta(max_length=MAX_PAIRING_CODES),
    ] = msgspec.field(default_factory=dict)
    log_level: LogLevel | None = None
    scanning_paused_until: Instant | None = None
    home_assistant: bool | None = None
    diagnostics: RequestId | None = None


class RevisionOnly(Struct, frozen=True):
    """Of a document that cannot be read: which one it is, if it says so."""

    revision: Annotated[int, Meta(ge=0, le=2**53)] = 0


KNOWN: Final = frozenset(RemoteConfig.__struct_fields__)

_encoder = msgspec.json.Encoder()
_whole = msgspec.json.Decoder(RemoteConfig)
_words = msgspec.json.Decoder(dict[str, msgspec.Raw])
_revision = msgspec.json.Decoder(RevisionOnly)


def encode_config(config: RemoteConfig) -> bytes:
    """The document as it is published: what it does not say is left out."""
    said = {name: value for name, value in msgspec.structs.asdict(config).items() if value not in (None, {})}
    return _encoder.encode(said)


def decode_config(payload: bytes) -> tuple[RemoteConfig, tuple[str, ...]]:
    """The document in `payload`, and the words in it that this build does not know.

    Raises `MalformedError` (`decode:size`, `decode:schema`, `schema_newer`); its words name the place, never a value.
    """
    if len(payload) > MAX_BYTES:
        raise MalformedError("decode:size", f"{len(payload)} bytes, at most {MAX_BYTES} are taken")
    try:
        words = _words.decode(payload)
        _check_version(words.get("v"))
        config = _whole.decode(payload)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as e:
        raise MalformedError("decode:schema", str(e)[:200]) from e
    unknown = tuple(sorted(words.keys() - KNOWN))[:MAX_IGNORED]
    return config, tuple(word[:32] for word in unknown)


def revision_of(payload: bytes) -> int:
    """Which document `payload` is, as far as it can be read; else 0."""
    try:
        return _revision.decode(payload).revision
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return 0


def _check_version(said: msgspec.Raw | None) -> None:
    if said is None:
        return
    version = msgspec.json.decode(said, type=int)
    if version > VERSION:
        raise MalformedError("schema_newer", f"version {version}, this build reads {VERSION}: upgrade the gateway")
