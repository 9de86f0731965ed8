"""The TLS settings of a URL: pika makes the context of a thread of them, and this the reactor's.

Twisted does TLS with OpenSSL's own library, and cannot use a context of Python's ``ssl``. Loaded
when first used.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from twisted.internet.interfaces import IOpenSSLClientConnectionCreator
from twisted.internet.ssl import (
    Certificate,
    PrivateCertificate,
    optionsForClientTLS,
    platformTrust,
    trustRootFromCertificates,
)

__all__ = ["client_options"]

#: Keys of ``ssl_options`` that the reactor honours.
_KNOWN = {"ca_certs", "cafile", "certfile", "keyfile", "server_hostname"}

_CERTIFICATE = re.compile(rb"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)


def client_options(host: str, settings: Mapping[str, Any]) -> IOpenSSLClientConnectionCreator:
    """What checks the certificate of ``host`` as ``settings`` say, the ``ssl_options`` of a URL.

    Raises ``ValueError`` for settings that cannot be honoured here, and ``OSError`` for files that
    cannot be read.
    """
    if unknown := sorted(set(settings) - _KNOWN):
        raise ValueError(
            f"ssl_options in the URL has {', '.join(unknown)}, which cannot be honoured in the "
            f"reactor; it honours {', '.join(sorted(_KNOWN))}"
        )
    authorities = settings.get("ca_certs") or settings.get("cafile")
    options: IOpenSSLClientConnectionCreator = optionsForClientTLS(
        settings.get("server_hostname") or host,
        trustRootFromCertificates(_certificates(authorities)) if authorities else platformTrust(),
        _own_certificate(settings),
    )
    return options


def _certificates(path: str) -> list[Any]:
    found = _CERTIFICATE.findall(Path(path).read_bytes())
    return [Certificate.loadPEM(one) for one in found]


def _own_certificate(settings: Mapping[str, Any]) -> Any:
    path = settings.get("certfile")
    if path is None:
        return None
    if len(_certificates(path)) != 1:
        raise ValueError(f"certfile {path!r} must hold one certificate, with the reactor")
    pem = Path(path).read_bytes()
    key = settings.get("keyfile")
    return PrivateCertificate.loadPEM(pem + (Path(key).read_bytes() if key else b""))
