"""The addresses that a server listens on, and TLS where it speaks that itself."""

from __future__ import annotations

import ipaddress
import socket
import ssl

from registry_server.process.setting_values import address_text
from registry_server.process.settings import Settings, SettingsError

BACKLOG = 4_096
"""Connections that may wait to be accepted. Linux takes no more by default; a client whose
connection does not fit tries again a second later."""


def is_loopback_host(host: str) -> bool:
    """Return whether only this machine reaches a server that listens on this host.

    Raises:
        SettingsError: it is not an address of this machine.
    """
    try:
        infos = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except OSError as error:
        raise SettingsError(f"cannot listen on {host}: {error.strerror}") from None
    return all(ipaddress.ip_address(address[0]).is_loopback for *_, address in infos)


def bound(host: str, port: int) -> socket.socket:
    """Return a socket that listens there; port 0 is a free one.

    Raises:
        SettingsError: it cannot.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(BACKLOG)
        listener.set_inheritable(True)
    except OSError as error:
        listener.close()
        raise SettingsError(f"cannot listen on {host} port {port}: {error.strerror}") from None
    return listener


def url_of(settings: Settings, listener: socket.socket) -> str:
    """Return the URL by which this machine reaches a socket that listens for clients."""
    scheme = "https" if settings.tls_cert else "http"
    return f"{scheme}://{address_text(settings.host, listener.getsockname()[1])}"


def tls_context(settings: Settings) -> ssl.SSLContext | None:
    """Return what TLS is spoken with; None where the settings name no certificate.

    Raises:
        SettingsError: certificate and key cannot be used.
    """
    if settings.tls_cert is None and settings.tls_key is None:
        return None
    if settings.tls_cert is None or settings.tls_key is None:
        raise SettingsError("--tls-cert and --tls-key belong together")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    load_certificate(context, settings)
    return context


def load_certificate(context: ssl.SSLContext, settings: Settings) -> None:
    """Show the certificate that the files hold now to all clients that connect from now on.

    Raises:
        SettingsError: certificate and key cannot be used; then what was shown stays.
    """
    assert settings.tls_cert is not None, "there is a context"
    try:
        # In a context of its own first: a key that does not belong to its certificate would stay.
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(settings.tls_cert, settings.tls_key)
        context.load_cert_chain(settings.tls_cert, settings.tls_key)
    except (OSError, ssl.SSLError) as error:
        raise SettingsError(
            f"the certificate {settings.tls_cert} and the key {settings.tls_key} cannot be used: "
            f"{error.strerror or error}"
        ) from None
