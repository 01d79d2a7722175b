"""One mesh, one authority: the database knows which, once a certificate was issued; no replica signs under another.

Its key is never in the database: replicas are given ``ca.key`` and ``ca.pem`` as files. As long as nobody uses
identities, a replica may have any.
"""

from __future__ import annotations

from pathlib import Path

from meshwise.contracts.errors import ConfigError
from meshwise.control.errors import ConflictError
from meshwise.control.identity.authority import CERTIFICATE_FILE, KEY_FILE, Authority, open_authority
from meshwise.control.storage import Storage
from meshwise.control.transactions import AuditEntry, Reading, Writing


def open_shared(
    storage: Storage, directory: Path, trust_domain: str, *, now: float, life_s: float, begin_anew: bool
) -> Authority:
    """Return the authority kept in ``directory``, made there when neither it nor the database has one.

    ``begin_anew`` makes it the mesh's in place of another one that the database knows.

    Raises:
        ConfigError: it is not the mesh's, or its files cannot be used.
    """
    with storage.write() as tx:
        known = tx.authority(trust_domain)
        if known is not None and not begin_anew and not (directory / CERTIFICATE_FILE).exists():
            raise ConfigError(f"the mesh has an authority already, and {directory} has none: {_remedy(directory)}")
        authority = open_authority(directory, trust_domain, now, life_s)
        if known in (None, authority.fingerprint):
            return authority
        if not begin_anew:
            raise ConfigError(
                f"{directory / CERTIFICATE_FILE} is another authority than the mesh's: {_remedy(directory)}"
            )
        tx.save_authority(trust_domain, authority.fingerprint, now)
        tx.add_audit(
            AuditEntry(now, "control", "authority.replace", trust_domain, {"fingerprint": authority.fingerprint})
        )
        return authority


def check_belongs(tx: Reading, authority: Authority) -> bool:
    """Tell whether the database knows that ``authority`` is the mesh's; False when it knows of none yet.

    Raises:
        ConflictError: it knows another one.
    """
    known = tx.authority(authority.trust_domain)
    if known not in (None, authority.fingerprint):
        raise ConflictError(
            "",
            f"this replica of control has another authority than the mesh; copy {CERTIFICATE_FILE}, {KEY_FILE} to it",
        )
    return known is not None


def claim(tx: Writing, authority: Authority, now: float) -> None:
    """Make ``authority`` the mesh's, now that it issues a certificate.

    Raises:
        ConflictError: another one is.
    """
    if not check_belongs(tx, authority):
        tx.save_authority(authority.trust_domain, authority.fingerprint, now)


def _remedy(directory: Path) -> str:
    return (
        f"copy {CERTIFICATE_FILE} and {KEY_FILE} of the replica that has it into {directory}, or set "
        "control.new_authority and let every proxy join anew"
    )
