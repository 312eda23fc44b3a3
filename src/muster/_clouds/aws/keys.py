"""The keys of one cluster: who may log in, and by which key its machines are known. Both die with it."""

from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from muster._files.whole import write


@dataclass(frozen=True, slots=True)
class Key:
    """An ed25519 pair, as OpenSSH writes it."""

    path: Path
    """Of the private half."""
    private: str
    public: str


def key_of(path: Path) -> Key:
    """Read a key that lies there, or make one, on the disk once this returns."""
    try:
        private = path.read_text()
    except FileNotFoundError:
        private = _private(Ed25519PrivateKey.generate())
        write(path, private, durable=True)
    # As it lies there: OpenSSH's form has random bytes, and written anew it would be another text each time.
    return Key(path, private, _public(serialization.load_ssh_private_key(private.encode(), password=None)))


def drawn() -> str:
    """Draw a public key whose private half nobody keeps."""
    return _public(Ed25519PrivateKey.generate())


def _private(key: serialization.SSHPrivateKeyTypes) -> str:
    form, nothing = serialization.PrivateFormat.OpenSSH, serialization.NoEncryption()
    return key.private_bytes(serialization.Encoding.PEM, form, nothing).decode()


def _public(key: serialization.SSHPrivateKeyTypes) -> str:
    form = serialization.PublicFormat.OpenSSH
    return key.public_key().public_bytes(serialization.Encoding.OpenSSH, form).decode()
