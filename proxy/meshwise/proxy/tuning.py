"""How interpreter and process are set up to relay requests."""

from __future__ import annotations

import gc
import resource
from typing import Final

import structlog

from meshwise.proxy.settings import ProxySettings

MAX_DESCRIPTORS: Final = 1_048_576
"""As many file descriptors as a proxy asks for, where the system allows it."""
log = structlog.get_logger(__name__)

_GARBAGE: Final = (20_000, 20, 50)
"""Allocations between looks for reference cycles, and looks between deeper ones. Requests leave no cycles behind, and
finished records wait for export in numbers that the interpreter's 700 would go through time and again."""


def keep_what_is_there() -> None:
    """Let what was imported stay to the end: nobody need look through it again."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_GARBAGE)


def within_descriptors(settings: ProxySettings) -> ProxySettings:
    """Raise the limit of open files as far as is allowed, and return settings whose connections fit into half of it.

    The other half is for the connections that these lead to. Source: Envoy's advice for its overload manager.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MAX_DESCRIPTORS if hard == resource.RLIM_INFINITY else min(hard, MAX_DESCRIPTORS)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        soft = wanted
    listeners = 2 if settings.has_application else 1
    most = settings.max_connections if soft == resource.RLIM_INFINITY else max(1, soft // 2 // listeners)
    if settings.max_connections <= most:
        return settings
    log.warning("fewer connections than set: open files are limited", max_connections=most, open_files=soft)
    return settings.model_copy(update={"max_connections": most})
