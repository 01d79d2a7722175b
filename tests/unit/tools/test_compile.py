"""The build hook, without a compiler's help."""

import os
import sys
from pathlib import Path
from typing import Any

import pytest
from tools import compile as hook
from tools.compile import MODULES, NOTE, CompileHook, has_c_compiler, level, source_of

ROOT = Path(__file__).resolve().parents[3]


class App:
    def __init__(self) -> None:
        self.warnings: list[str] = []

    def display_warning(self, text: str) -> None:
        self.warnings.append(text)


@pytest.fixture
def builder(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A hook whose compiling always fails."""

    def broken(root: Path, directory: Path) -> dict[str, Path]:
        raise SystemExit("no luck")

    monkeypatch.setattr(hook, "compiled", broken)
    monkeypatch.setattr(hook, "has_c_compiler", lambda: True)
    built = CompileHook(str(ROOT), {}, None, None, "", "wheel", App())  # type: ignore[arg-type]
    yield built
    built.finalize("standard", {}, "")


def build_data() -> dict[str, Any]:
    return {"pure_python": True, "force_include": {}}


def note_of(data: dict[str, Any]) -> str:
    """What the wheel says of how it was built; nothing when it says nothing."""
    notes = [path for path, name in data["force_include"].items() if name == NOTE]
    return Path(notes[0]).read_text(encoding="utf-8") if notes else ""


def test_every_module_exists() -> None:
    """What is to be compiled is there under its name."""
    assert [module for module in MODULES if not (ROOT / source_of(module)).is_file()] == []


def test_a_failed_compilation_leaves_a_plain_wheel(builder: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """By default a build goes on without compiled code, and says why."""
    monkeypatch.delenv("MESHWISE_COMPILE", raising=False)
    data = build_data()
    builder.initialize("standard", data)
    assert data["pure_python"] is True
    assert note_of(data) == "compiling failed: SystemExit: no luck"
    assert builder.app.warnings == ["meshwise is built as plain Python: compiling failed: SystemExit: no luck"]


def test_the_compilers_own_words_are_told(
    builder: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its first error goes into the wheel, all it said to standard error, and nothing of it is lost in an exit code."""

    def broken(root: Path, directory: Path) -> dict[str, Path]:
        sys.stdout.write("proxy/a.py:1: warning: odd\nproxy/a.py:2: error: half a file\n")
        raise SystemExit(1)

    monkeypatch.setattr(hook, "compiled", broken)
    monkeypatch.delenv("MESHWISE_COMPILE", raising=False)
    data = build_data()
    builder.initialize("standard", data)
    assert note_of(data) == "compiling failed: proxy/a.py:2: error: half a file"
    assert "warning: odd" in capsys.readouterr().err


def test_a_compilation_that_must_be_fails_the_build(builder: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """With MESHWISE_COMPILE=1 nobody gets a plain wheel unawares."""
    monkeypatch.setenv("MESHWISE_COMPILE", "1")
    with pytest.raises(RuntimeError, match="no luck"):
        builder.initialize("standard", build_data())


@pytest.mark.parametrize(
    ("version", "wanted", "note"), [("editable", "1", ""), ("standard", "0", "MESHWISE_COMPILE was 0")]
)
def test_nothing_is_compiled(
    builder: Any, monkeypatch: pytest.MonkeyPatch, version: str, wanted: str, note: str
) -> None:
    """An editable install and MESHWISE_COMPILE=0 leave the sources alone; a wheel says so."""
    monkeypatch.setenv("MESHWISE_COMPILE", wanted)
    data = build_data()
    builder.initialize(version, data)
    assert (data["pure_python"], note_of(data)) == (True, note)
    assert builder.app.warnings == []


def test_compiled_files_join_the_wheel(builder: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was compiled is added, and the wheel becomes one for this platform."""
    monkeypatch.delenv("MESHWISE_COMPILE", raising=False)
    monkeypatch.setattr(hook, "compiled", lambda _, directory: {"meshwise/x.so": directory / "x.so"})
    data = build_data()
    builder.initialize("standard", data)
    assert list(data["force_include"].values()) == ["meshwise/x.so", NOTE]
    assert (data["pure_python"], data["infer_tag"], note_of(data)) == (False, True, "compiled")


def test_the_compiler_is_looked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """CC, or cc, decides whether there is a C compiler, and so whether mypy is asked for."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CC", raising=False)
    monkeypatch.delenv("MESHWISE_COMPILE", raising=False)
    built = CompileHook(str(ROOT), {}, None, None, "", "wheel", App())  # type: ignore[arg-type]
    assert not has_c_compiler()
    assert built.dependencies() == []
    (tmp_path / "my-cc").touch(0o755)
    monkeypatch.setenv("CC", f"my-cc -O{os.sep}")
    assert has_c_compiler()
    assert any(name.startswith("mypy") for name in built.dependencies())


def test_the_compiler_optimises_as_much_as_it_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """The fastest code is the default, and a level that no compiler has is refused by name."""
    monkeypatch.delenv("MESHWISE_COMPILE_LEVEL", raising=False)
    assert level() == "3"
    monkeypatch.setenv("MESHWISE_COMPILE_LEVEL", "0")
    assert level() == "0"
    monkeypatch.setenv("MESHWISE_COMPILE_LEVEL", "fast")
    with pytest.raises(ValueError, match="MESHWISE_COMPILE_LEVEL is 'fast'; give 0, 1, 2 or 3"):
        level()
