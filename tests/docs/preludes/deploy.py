"""A certificate for the server, and its key."""

from pathlib import Path

from services.certificates import self_signed_certificate

certificate, key = self_signed_certificate("127.0.0.1")
Path("fullchain.pem").write_bytes(certificate)
Path("key.pem").write_bytes(key)
