"""TLS towards control and collector: whom the proxy trusts there, and the certificate it shows."""

from __future__ import annotations

import ssl
from pathlib import Path

from meshwise.contracts.errors import ConfigError


class PlatformTls:
    """Makes the context of each new connection; files are read again when they change.

    ``ca`` unset trusts the system's authorities. ``shown`` holds a certificate and its key; where ``may_lack`` is true
    a connection goes without as long as the file is not there, as before a proxy joined.
    """

    def __init__(self, ca: Path | None, shown: Path | None = None, *, may_lack: bool = False) -> None:
        self._ca = ca
        self._shown = shown
        self._may_lack = may_lack
        self._read_at: tuple[int, ...] = ()
        self._context: ssl.SSLContext | None = None

    def context(self) -> ssl.SSLContext:
        """Return the context for a new connection.

        Raises:
            ConfigError: a file cannot be used.
        """
        read_at = tuple(_changed_at(file) for file in (self._ca, self._shown))
        if self._context is None or read_at != self._read_at:
            self._context, self._read_at = self._new(), read_at
        return self._context

    def _new(self) -> ssl.SSLContext:
        try:
            context = ssl.create_default_context(cafile=self._ca)
        except (OSError, ssl.SSLError) as error:
            raise ConfigError(f"proxy.ca_file {self._ca} cannot be used: {error}") from None
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        if self._shown is not None and not (self._may_lack and not self._shown.exists()):
            try:
                context.load_cert_chain(self._shown)
            except (OSError, ssl.SSLError) as error:
                raise ConfigError(
                    f"{self._shown} cannot be used ({error}): proxy.client_cert is a PEM file with certificate and key"
                ) from None
        return context


def _changed_at(file: Path | None) -> int:
    try:
        return 0 if file is None else file.stat().st_mtime_ns
    except OSError:
        return -1
