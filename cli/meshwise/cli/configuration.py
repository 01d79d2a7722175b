"""One ``meshwise.yaml``, the environment and flags become one frozen settings object per room.

A flag wins over the environment, the environment over the file, the file over the default. Every key of the file is
also an environment variable: ``store.port`` is ``MESHWISE_STORE__PORT``. Unknown keys are errors, in the file as in the
environment, and name the nearest key that exists.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, get_args

from pydantic import BaseModel, TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

from meshwise.cli.logs import LogSettings
from meshwise.cli.rooms import ROOMS
from meshwise.cli.yaml_file import parse_yaml, read_yaml
from meshwise.contracts.errors import ConfigError

DEFAULT_FILE: Final = Path("meshwise.yaml")
PREFIX: Final = "MESHWISE_"
CONFIG_VARIABLE: Final = "MESHWISE_CONFIG"
DATA_DIR: Final = "data_dir"
"""Top-level key: the directory under which ``meshwise up`` keeps everything."""
SECTIONS: Final = ("log", *ROOMS)


@dataclass(frozen=True, slots=True)
class Configuration:
    """Everything the operator said, not yet checked against the rooms.

    ``sections`` maps a section to its keys; ``origins`` tells where a dotted key came from, for messages.
    """

    path: Path | None = None
    sections: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    data_dir: Path | None = None
    origins: Mapping[str, str] = field(default_factory=dict)
    problems: tuple[str, ...] = ()

    def says(self, section: str, key: str) -> bool:
        """Tell whether the operator set ``section.key``."""
        return key in self.sections.get(section, {})

    def with_values(self, section: str, values: Mapping[str, Any]) -> Configuration:
        """Return a configuration in which ``values`` that are not ``None`` win over everything said before."""
        given = {key: value for key, value in values.items() if value is not None}
        sections = {**self.sections, section: {**self.sections.get(section, {}), **given}}
        return Configuration(self.path, sections, self.data_dir, self.origins, self.problems)

    def raise_problems(self) -> None:
        """Refuse to go on with a file or an environment that has mistakes.

        Raises:
            ConfigError: the first of them.
        """
        if self.problems:
            raise ConfigError(self.problems[0])


def load_configuration(path: Path | None, environment: Mapping[str, str]) -> Configuration:
    """Read the file at ``path`` (else ``$MESHWISE_CONFIG``, else ``./meshwise.yaml`` if it exists) and the environment.

    Raises:
        ConfigError: the file cannot be read or is not a mapping of sections.
    """
    if path is None and environment.get(CONFIG_VARIABLE):
        path = Path(environment[CONFIG_VARIABLE])
    if path is None and DEFAULT_FILE.exists():
        path = DEFAULT_FILE
    document = read_yaml(path) if path is not None else None
    if document is not None and not isinstance(document, dict):
        raise ConfigError(f"{path}: must be a mapping of sections such as 'store:'")
    problems: list[str] = []
    sections: dict[str, dict[str, Any]] = {}
    data_dir: Path | None = None
    for name, value in (document or {}).items():
        if name == DATA_DIR and isinstance(value, str) and value:
            data_dir = Path(value)
        elif name == DATA_DIR:
            problems.append(f"{path}: {DATA_DIR}: must be the path of a directory")
        elif name not in SECTIONS:
            problems.append(f"{path}: {name}: unknown section; {_nearest(str(name), (*SECTIONS, DATA_DIR))}")
        elif value is not None and not isinstance(value, dict):
            problems.append(f"{path}: {name}: must be a mapping of keys such as '{name}:' with indented lines below")
        else:
            sections[name] = {str(key): item for key, item in (value or {}).items()}
    origins: dict[str, str] = {}
    data_dir = _merge_environment(environment, sections, origins, problems) or data_dir
    return Configuration(path, sections, data_dir, origins, tuple(problems))


def settings_for(configuration: Configuration, room: str) -> BaseModel:
    """Return the checked settings of ``room``.

    Raises:
        ConfigError: the first mistake, naming the key and the remedy.
    """
    configuration.raise_problems()
    checked = check_section(configuration, room)
    if isinstance(checked, BaseModel):
        return checked
    raise ConfigError(checked[0])


def check_section(configuration: Configuration, section: str) -> BaseModel | list[str]:
    """Return the settings of one section, or every mistake in it, one line each."""
    model = LogSettings if section == "log" else ROOMS[section].load_settings_type()
    try:
        return model.model_validate(dict(configuration.sections.get(section, {})))
    except ValidationError as error:
        return [_explain(configuration, section, model, detail) for detail in error.errors(include_url=False)]


def check_everything(configuration: Configuration) -> list[str]:
    """Return every mistake in the whole configuration, one line each; empty when it is good."""
    problems = list(configuration.problems)
    checked: dict[str, BaseModel] = {}
    for section in SECTIONS:
        if section == "proxy" and not configuration.sections.get(section):
            continue  # a proxy is configured where it runs; without its section there is nothing to check
        try:
            result = check_section(configuration, section)
        except ConfigError as error:
            if configuration.sections.get(section):
                problems.append(str(error))
            continue
        if isinstance(result, BaseModel):
            checked[section] = result
        else:
            problems += result
    return problems + _port_clashes(checked)


def _merge_environment(
    environment: Mapping[str, str],
    sections: dict[str, dict[str, Any]],
    origins: dict[str, str],
    problems: list[str],
) -> Path | None:
    data_dir: Path | None = None
    for variable in sorted(environment):
        if not variable.startswith(PREFIX) or variable == CONFIG_VARIABLE:
            continue
        section, *keys = variable.removeprefix(PREFIX).lower().split("__")
        if section == DATA_DIR and not keys:
            data_dir = Path(environment[variable])
            continue
        if section not in SECTIONS:
            known = [f"{PREFIX}{name.upper()}__…" for name in SECTIONS]
            problems.append(f"{variable}: unknown variable; known are {', '.join(known)} and {CONFIG_VARIABLE}")
            continue
        if not keys or not all(keys):
            problems.append(f"{variable}: must name a key, such as {PREFIX}{section.upper()}__PORT")
            continue
        origins[".".join((section, *keys))] = variable
        _put(sections.setdefault(section, {}), keys, _read_value(section, keys, environment[variable]))
    return data_dir


def _put(target: dict[str, Any], keys: list[str], value: object) -> None:
    for key in keys[:-1]:
        inner = target.get(key)
        target[key] = dict(inner) if isinstance(inner, dict) else {}
        target = target[key]
    target[keys[-1]] = value


def _read_value(section: str, keys: list[str], text: str) -> object:
    """Return ``text`` itself when the field takes it, else what it says in YAML: lists and mappings need that."""
    try:
        model = LogSettings if section == "log" else ROOMS[section].load_settings_type()
        annotation: Any = model.model_fields[keys[0]].annotation if len(keys) == 1 else Any
        TypeAdapter(annotation).validate_python(text)
    except (KeyError, ValidationError, ConfigError):
        try:
            return parse_yaml(text, "")
        except ConfigError:
            return text
    return text


def _explain(configuration: Configuration, section: str, model: type[BaseModel], detail: ErrorDetails) -> str:
    """Return one line that names the key, what is wrong with it, and the remedy."""
    path = [str(part) for part in detail["loc"]]
    dotted = ".".join((section, *path))
    where = configuration.origins.get(dotted, dotted)
    if detail["type"] == "extra_forbidden":
        return f"{where}: unknown key; {_nearest(path[-1], _keys_at(model, path[:-1]))}"
    if detail["type"] == "missing":
        file = configuration.path or DEFAULT_FILE
        return f"{where}: is required; set it in {file}, as {_variable(dotted)} or by its flag"
    message = detail["msg"].removeprefix("Value error, ").removeprefix("Assertion failed, ")
    message = message[:1].lower() + message[1:]
    secret = any(word in path[-1] for word in ("token", "password", "secret")) if path else False
    given = detail["input"]
    if secret or not isinstance(given, str | int | float) or str(given)[:40] in message:
        return f"{where}: {message}"
    return f"{where}: {message}, not {str(given)[:80]!r}"


def _variable(dotted: str) -> str:
    return PREFIX + dotted.replace(".", "__").upper()


def _nearest(key: str, known: Iterable[str]) -> str:
    names = sorted(known)
    near = difflib.get_close_matches(key, names, n=1)
    return f"did you mean {near[0]!r}?" if near else f"known keys: {', '.join(names)}"


def _keys_at(model: type[BaseModel], path: list[str]) -> list[str]:
    """Return the keys known at ``path`` below ``model``; list positions and mapping keys are stepped over."""
    for part in path:
        info = model.model_fields.get(part)
        inner = _model_in(info.annotation) if info is not None else None
        if inner is not None:
            model = inner
    return list(model.model_fields)


def _model_in(annotation: object) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for part in get_args(annotation) if (found := _model_in(part)) is not None), None)


def _port_clashes(checked: Mapping[str, BaseModel]) -> list[str]:
    """Return one line per port that two parts of one machine would both listen on."""
    owners: dict[int, str] = {}
    problems = []
    for section, settings in checked.items():
        for key in type(settings).model_fields:
            port = getattr(settings, key)
            if key == "app_port" or not (key == "port" or key.endswith("_port")) or not port:
                continue
            if port in owners:
                problems.append(f"{section}.{key}: {port} is already {owners[port]}; give one of them another port")
            owners.setdefault(port, f"{section}.{key}")
    return problems
