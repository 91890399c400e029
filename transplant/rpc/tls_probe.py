"""One look at a center's TLS, with a reason that a person can act on where the handshake fails.

gRPC says little about why a connection was refused. Python's own TLS says more, so the same handshake is
made once with it: the same CA, the same name, the same client certificate.
"""

from __future__ import annotations

import socket
import ssl
from typing import TYPE_CHECKING

from cryptography import x509

from transplant.errors import CenterUnreachable, CertificateInvalid
from transplant.rpc.channel import RENEWED

if TYPE_CHECKING:
    from pathlib import Path

    from transplant.rpc.channel import Kit

_EXPIRED, _NOT_YET = 10, 9  # X509_V_ERR_* of OpenSSL
_OTHER_NAME = (62, 64)


def split_address(address: str) -> tuple[str, int]:
    """Return host and port of HOST:PORT; an IPv6 host stands in brackets.

    Raises:
        CenterUnreachable: if it is not of that form.
    """
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal() or not 0 < int(port) < 65536:
        raise CenterUnreachable(f"{address!r} is not HOST:PORT: correct --center, or kit.json")
    return host.strip("[]"), int(port)


def resolve(host: str, port: int) -> list[str]:
    """Return the addresses of a name.

    Raises:
        CenterUnreachable: if it has none.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise CenterUnreachable(
            f"the name {host} cannot be resolved ({error}): check its spelling, and this machine's DNS"
        ) from error
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


def reach(host: str, port: int, timeout_s: float) -> None:
    """Open a TCP connection and close it.

    Raises:
        CenterUnreachable: if nobody answers; the message tells refused from silent.
    """
    try:
        socket.create_connection((host, port), timeout_s).close()
    except TimeoutError as error:
        raise CenterUnreachable(
            f"{host} port {port} does not answer within {timeout_s:.0f} s: a firewall may be in between"
        ) from error
    except OSError as error:
        raise CenterUnreachable(
            f"{host} port {port} cannot be reached ({error.strerror or error}): "
            "is the center serving, and is this its port?"
        ) from error


def handshake(kit: Kit, directory: Path, host: str, port: int, timeout_s: float) -> x509.Certificate:
    """Shake hands as the kit does and return the center's certificate.

    Raises:
        CertificateInvalid: if the center's certificate is not one that the kit can trust.
        CenterUnreachable: if whatever answers there does not speak TLS and HTTP/2.
    """
    name = kit.server_name or host
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(cadata=kit.ca.decode())
    both = directory / RENEWED
    if both.exists():
        context.load_cert_chain(both)
    else:
        context.load_cert_chain(directory / "cert.pem", directory / "key.pem")
    context.set_alpn_protocols(["h2"])
    try:
        found = _certificate(context, host, port, name, timeout_s)
    except ssl.SSLCertVerificationError as error:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE  # only to see whom it is that cannot be trusted; nothing is sent
        other = _certificate(context, host, port, name, timeout_s)
        raise CertificateInvalid(_reason(error, other, name)) from error
    except ssl.SSLError as error:
        raise CenterUnreachable(
            f"what answers at {host} port {port} is no TLS server of this kind ({error.reason or error}): "
            "is this the center's port, without a proxy in between?"
        ) from error
    except OSError as error:
        raise CenterUnreachable(
            f"{host} port {port} hung up during the TLS handshake ({error.strerror or error}): "
            "is this the center's port?"
        ) from error
    return found


def _certificate(
    context: ssl.SSLContext, host: str, port: int, name: str, timeout_s: float
) -> x509.Certificate:
    with (
        socket.create_connection((host, port), timeout_s) as plain,
        context.wrap_socket(plain, server_hostname=name) as secure,
    ):
        document = secure.getpeercert(binary_form=True)
        if document is None or secure.selected_alpn_protocol() != "h2":
            raise CenterUnreachable(
                f"what answers at {host} port {port} speaks TLS, but not gRPC: is this the center's port?"
            )
        return x509.load_der_x509_certificate(document)


def _reason(error: ssl.SSLCertVerificationError, found: x509.Certificate, name: str) -> str:
    if error.verify_code == _EXPIRED:
        return (
            f"the center's certificate expired on {found.not_valid_after_utc:%Y-%m-%d}: its operator has to "
            "run `transplant-central provision renew server` (or this machine's clock is ahead)"
        )
    if error.verify_code == _NOT_YET:
        return (
            f"the center's certificate is valid from {found.not_valid_before_utc:%Y-%m-%d %H:%M} UTC on: "
            "this machine's clock is behind"
        )
    if error.verify_code in _OTHER_NAME:
        return (
            f"the center's certificate is for {', '.join(names_of(found))}, not for {name}: the address is "
            "another center's, or its operator has to run "
            f"`transplant-central provision renew server --host {name}`"
        )
    return (
        f"the center's certificate was not issued by the CA of this kit ({error.verify_message}): "
        "the address is another center's, or the center has a new CA and this site needs a new kit"
    )


def names_of(certificate: x509.Certificate) -> list[str]:
    """Return the names and addresses that a server certificate is for; "nobody" where it has none."""
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (x509.ExtensionNotFound, ValueError):
        return ["nobody"]
    addresses = map(str, names.get_values_for_type(x509.IPAddress))
    return [*names.get_values_for_type(x509.DNSName), *addresses] or ["nobody"]
