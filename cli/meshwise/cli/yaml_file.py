"""Reading a YAML file strictly: plain data only, no key twice, every mistake with its line."""

from __future__ import annotations

import re
from collections.abc import Callable, Hashable
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import yaml

from meshwise.contracts.errors import ConfigError

Parsed = TypeVar("Parsed")

MAX_BYTES = 1 << 20
"""Largest configuration or policy file."""


class _StrictLoader(yaml.SafeLoader):
    """Safe YAML without duplicate keys and without aliases, which could make a small file huge.

    Only ``true`` and ``false`` are booleans, as in YAML 1.2: ``on:`` is a field of a retry policy, and ``no`` a name.
    """

    yaml_implicit_resolvers: ClassVar = {  # type: ignore[misc]  # the stubs take it for one of the instance
        first: [(tag, form) for tag, form in resolvers if tag != "tag:yaml.org,2002:bool"]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            raise yaml.MarkedYAMLError(problem="aliases (*name) are not allowed", problem_mark=self.get_mark())
        return super().compose_node(parent, index)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[Hashable] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if isinstance(key, Hashable) and key in seen:
                raise yaml.MarkedYAMLError(problem=f"key {key!r} is given twice", problem_mark=key_node.start_mark)
            if isinstance(key, Hashable):
                seen.add(key)
        return super().construct_mapping(node, deep)


_StrictLoader.add_implicit_resolver(
    "tag:yaml.org,2002:bool", re.compile("true|True|TRUE|false|False|FALSE"), list("tTfF")
)


def read_yaml(path: Path) -> object:
    """Return what the file at ``path`` holds; ``None`` when it is empty.

    Raises:
        ConfigError: it cannot be read, is too large, or is not YAML, with the line of the mistake.
    """
    return parse_yaml(_read(path), str(path))


def read_yaml_documents(path: Path) -> list[object]:
    """Return every document of the file at ``path``, which ``---`` separates; empty ones are left out.

    Raises:
        ConfigError: as ``read_yaml``.
    """
    return [document for document in parse_yaml_documents(_read(path), str(path)) if document is not None]


def parse_yaml(text: str, origin: str) -> object:
    """Return what ``text`` holds; ``origin`` names it in errors.

    Raises:
        ConfigError: it is not YAML, or has a key twice, with the line of the mistake.
    """
    return _parse(lambda: yaml.load(text, _StrictLoader), origin)  # noqa: S506 - a SafeLoader that refuses more


def parse_yaml_documents(text: str, origin: str) -> list[object]:
    """Return every document of ``text``; raises as ``parse_yaml``."""
    return _parse(lambda: list(yaml.load_all(text, _StrictLoader)), origin)


def _read(path: Path) -> str:
    try:
        raw = path.read_bytes()
        text = raw.decode()
    except OSError as error:
        raise ConfigError(
            f"{path}: {(error.strerror or str(error)).lower()}; check the path and its permissions"
        ) from None
    except UnicodeDecodeError:
        raise ConfigError(f"{path}: is not UTF-8 text") from None
    if len(raw) > MAX_BYTES:
        raise ConfigError(f"{path}: is larger than {MAX_BYTES} bytes")
    return text


def _parse(parse: Callable[[], Parsed], origin: str) -> Parsed:
    try:
        return parse()
    except yaml.MarkedYAMLError as error:
        line = f":{error.problem_mark.line + 1}" if error.problem_mark else ""
        raise ConfigError(f"{origin}{line}: {error.problem or 'is not YAML'}") from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise ConfigError(f"{origin}: is not YAML: {str(error).splitlines()[0]}") from None
