"""The keys that wrap the patients' keys: one small file that never lies beside the database or in its backup.

A line for each key, the one in use first: `homevigil-vault-1 <name> <key>`, base64. Whoever has the database and not the file can
read nobody; whoever loses the file has lost every name. It is named by a setting, or comes as a credential of systemd.
"""

import base64
import os
import secrets
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from server.errors import VaultError

SETTING: Final = "HOMEVIGIL_SERVER_VAULT_KEY_FILE"
CREDENTIAL: Final = "vault-key"
"""The name under which systemd hands it over (`LoadCredentialEncrypted=vault-key:…`)."""

KEY_BYTES: Final = 32
NAME_BYTES: Final = 8
NONCE_BYTES: Final = 12
"""NIST SP 800-38D, 8.2.2: 96 random bits serve a key for 2^32 messages; a patient's key sees a few for each reading."""

_MARK: Final = "homevigil-vault-1"


@dataclass(frozen=True, slots=True, kw_only=True)
class WrappingKey:
    """AES-256-GCM. `name` is random and says nothing of the key."""

    name: bytes
    key: bytes

    def wrap(self, key: bytes, holder: str) -> bytes:
        """`key` for the table: which key wrapped it, nonce, ciphertext. It opens for this holder alone."""
        return self.name + encrypt(_cipher(self.key), key, f"data_key.wrapped/{holder}")

    def unwrap(self, wrapped: bytes, holder: str) -> bytes:
        return decrypt(_cipher(self.key), wrapped[NAME_BYTES:], f"data_key.wrapped/{holder}")


def encrypt(cipher: AESGCM, plain: bytes, place: str) -> bytes:
    nonce = secrets.token_bytes(NONCE_BYTES)
    return nonce + cipher.encrypt(nonce, plain, place.encode())


def decrypt(cipher: AESGCM, sealed: bytes, place: str) -> bytes:
    """Raises `VaultError` unless it was sealed with this key, at this place, and is unchanged."""
    try:
        return cipher.decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], place.encode())
    except (InvalidTag, ValueError) as e:
        table = place.partition("/")[0]
        raise VaultError(
            f"a sealed value in {table} does not open: it was changed, moved from another row, or sealed with another key"
        ) from e


def key_file() -> Path:
    """Where the keys are. Raises `VaultError`, which says how to make one."""
    named = os.environ.get(SETTING)
    credentials = os.environ.get("CREDENTIALS_DIRECTORY")
    if named:
        return _path(named)
    if credentials and (Path(credentials) / CREDENTIAL).exists():
        return Path(credentials) / CREDENTIAL
    raise VaultError(
        f"patients' data is sealed with keys that are in a file, and none is named: set {SETTING} to a path outside the"
        " database and its backups and run `python -m server vault init`"
    )


def current() -> WrappingKey:
    """The key that wraps new ones. Raises `VaultError` if there is no file of keys."""
    return next(
        iter(read(key_file()).values())
    )  # never from memory: it may have been renewed, and the old one thrown away


def named(name: bytes) -> WrappingKey:
    """The key of this name; the file is read again if it is not known, for it may have been renewed."""
    path = key_file()
    found = _keys(path).get(name)
    if found is None:
        _keys.cache_clear()
        found = _keys(path).get(name)
    if found is None:
        raise VaultError(
            f"{path} does not hold the key {name.hex()}, with which this database's keys are wrapped:"
            " it is another clinic's, or older than the last rotation; put the right one back"
        )
    return found


def make() -> WrappingKey:
    return WrappingKey(name=secrets.token_bytes(NAME_BYTES), key=secrets.token_bytes(KEY_BYTES))


def write(path: Path, *keys: WrappingKey, is_new: bool = False) -> None:
    """Write the file, whole or not at all, for its owner alone. Raises `VaultError` if a new one is there already."""
    lines = [f"{_MARK} {key.name.hex()} {base64.b64encode(key.key).decode()}\n" for key in keys]
    if is_new and path.exists():
        raise VaultError(f"{path} is there already; the keys in it are the only way to the patients' names: keep it")
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.writelines(lines)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
    _keys.cache_clear()


def read(path: Path) -> Mapping[bytes, WrappingKey]:
    """The keys of the file by name, the one in use first."""
    try:
        if path.stat().st_mode & (stat.S_IROTH | stat.S_IWOTH):
            raise VaultError(f"{path} can be read by everybody on this machine: `chmod 600 {path}`")
        lines = path.read_text(encoding="ascii").splitlines()
    except FileNotFoundError as e:
        raise VaultError(f"{path} is not there: put it back, or make it with `python -m server vault init`") from e
    except OSError as e:
        raise VaultError(f"{path} cannot be read: {e.strerror}") from e
    found = [_read_line(line, path) for line in lines if line.strip()]
    if not found:
        raise VaultError(f"{path} is empty: put the right one back")
    return {key.name: key for key in found}


_keys = cache(read)
_path = lru_cache(maxsize=8)(Path)
_cipher = lru_cache(maxsize=8)(AESGCM)
"""Of wrapping keys alone, which `_keys` holds anyway: a page of five hundred names unwraps five hundred patients' keys."""


def _read_line(line: str, path: Path) -> WrappingKey:
    try:
        mark, name, key = line.split()
        made = WrappingKey(name=bytes.fromhex(name), key=base64.b64decode(key, validate=True))
    except ValueError as e:
        raise VaultError(f"{path} is no file of keys: put the right one back") from e
    if mark != _MARK or len(made.name) != NAME_BYTES or len(made.key) != KEY_BYTES:
        raise VaultError(f"{path} is no file of keys of this build: put the right one back")
    return made
