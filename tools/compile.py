"""The build hook that compiles the proxy's data path with mypyc, from the sources that run as plain Python otherwise.

A wheel is compiled where a C compiler is at hand; an editable install never is, so that an edit always takes effect.
Installers hide what a build says, so every wheel carries a note, ``NOTE``, which ``meshwise version`` shows: why it is
plain Python, or that it is not. What is compiled is a copy, because a tree may change in the minutes that takes.
``MESHWISE_COMPILE=0`` builds a plain wheel; with ``1`` the build fails where with ``auto``, the default, it goes on and
builds a plain one.
"""

from __future__ import annotations

import contextlib
import io
import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any, Final

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

ROOTS: Final = ("contracts", "proxy")
"""Where the types of what is compiled are."""

_DATA_PATH: Final = """
    answers arrivals attempt call channels client_hello dispatch exchange forwarded hedge inbound_rules mirror
    paths replay routing steering stream_exchange trace_context tunnels
    cluster.balancer cluster.breaker cluster.budget cluster.checking cluster.cluster cluster.hashing cluster.hedge
    cluster.latency cluster.outlier cluster.picking cluster.retry cluster.shadow
    guard.bucket guard.concurrency guard.limiter guard.shared
    http1.bodies http1.heads http1.limits http1.readers
    http2.answers http2.codes http2.decoder http2.encoder http2.frames http2.grpc http2.guards http2.heads
    http2.huffman http2.limits http2.messages http2.session http2.streams http2.tables
    inprocess.call
    net.closing net.downstream net.http2_downstream net.http2_pool net.http2_upstream
    net.original_destination net.pool net.timers net.tunnel net.upstream
    telemetry.metrics telemetry.otlp telemetry.recorder telemetry.records telemetry.wire
"""
MODULES: Final = tuple(f"meshwise.proxy.{name}" for name in _DATA_PATH.split())
"""What a request passes through. Whatever waits, starts or is asked once a second gains nothing."""

REQUIREMENTS: Final = ("mypy>=1.18", "setuptools>=80")
NOTE: Final = "meshwise/proxy/built.txt"
"""Where in a wheel it says how it was built: ``compiled``, or why not."""
GROUP: Final = "meshwise"
"""The shared library that holds the compiled code is called ``GROUP__mypyc``."""


class CompileHook(BuildHookInterface[Any]):
    """Adds the compiled modules to a wheel; their sources stay in it, for tracebacks and readers."""

    PLUGIN_NAME = "custom"

    def dependencies(self) -> list[str]:
        """Ask for the compiler's Python half only where its C half is."""
        return list(REQUIREMENTS) if wanted() != "0" and has_c_compiler() else []

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile, unless this is an editable install or nobody wants it."""
        if version == "editable" or self.target_name != "wheel":
            return
        self._directory = tempfile.mkdtemp(prefix="meshwise-compile-")
        why = self._compile(build_data)
        note = Path(self._directory) / "built.txt"
        note.write_text(why or "compiled", encoding="utf-8")
        build_data["force_include"][str(note)] = NOTE

    def _compile(self, build_data: dict[str, Any]) -> str:
        """Compile and add what came of it to the wheel; return why nothing did, or nothing."""
        if wanted() == "0":
            return "MESHWISE_COMPILE was 0"
        if not has_c_compiler():
            return self._plain("there was no C compiler")
        said = io.StringIO()
        try:
            with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
                built = compiled(Path(self.root), Path(self._directory))
        except (Exception, SystemExit) as error:  # noqa: BLE001 - mypyc and setuptools end in whatever way they like
            return self._plain(f"compiling failed: {reason_of(error, said.getvalue())}", said.getvalue())
        build_data["pure_python"] = False
        build_data["infer_tag"] = True
        build_data["force_include"].update({str(path): name for name, path in built.items()})
        return ""

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:  # noqa: ARG002
        """Remove what the compiler left."""
        shutil.rmtree(getattr(self, "_directory", ""), ignore_errors=True)

    def _plain(self, why: str, said: str = "") -> str:
        sys.stderr.write(said[-10_000:])
        if wanted() == "1":
            raise RuntimeError(f"MESHWISE_COMPILE is 1, but {why}")
        self.app.display_warning(f"meshwise is built as plain Python: {why}")
        return why


def wanted() -> str:
    """Return what ``MESHWISE_COMPILE`` asks for: 0, 1 or auto."""
    return os.environ.get("MESHWISE_COMPILE", "auto")


def level() -> str:
    """Return the C compiler's optimisation level, ``MESHWISE_COMPILE_LEVEL``: 0 compiles soonest, 3 runs fastest.

    Raises:
        ValueError: it is not one of 0, 1, 2, 3.
    """
    asked = os.environ.get("MESHWISE_COMPILE_LEVEL", "3")
    if asked not in {"0", "1", "2", "3"}:
        raise ValueError(f"MESHWISE_COMPILE_LEVEL is {asked!r}; give 0, 1, 2 or 3")
    return asked


def has_c_compiler() -> bool:
    """Tell whether a C compiler is on the path."""
    return any(shutil.which(name) for name in (os.environ.get("CC", "").split() or ["cc"])[:1])


def reason_of(error: BaseException, said: str) -> str:
    """Return in one line why compiling failed: the first error that the compiler told, else what was raised."""
    told = [line.strip() for line in said.splitlines() if "error:" in line.lower()]
    return (told[0] if told else f"{type(error).__name__}: {error}")[:300]


def source_of(module: str) -> str:
    """Return the path of a proxy module below the repository."""
    return f"proxy/{module.replace('.', '/')}.py"


def compiled(root: Path, directory: Path) -> dict[str, Path]:
    """Compile ``MODULES`` below ``directory``; return path in the wheel → file.

    Raises:
        Exception: whatever mypyc or the C compiler raised, ``SystemExit`` too.
    """
    from mypyc.build import mypycify
    from setuptools import Distribution

    source = directory / "source"
    for name in ROOTS:
        shutil.copytree(root / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    before, argv, path = Path.cwd(), sys.argv, os.environ.get("MYPYPATH")
    os.chdir(source)
    os.environ["MYPYPATH"] = os.pathsep.join(ROOTS)
    try:
        # The libraries need not be installed where a wheel is built, and where they are, reading their types takes five
        # times as long as ours: what they give is taken as it comes, so that the same code comes of every build.
        options = ["--config-file=", "--namespace-packages", "--explicit-package-bases", "--ignore-missing-imports"]
        options += ["--no-site-packages", "--follow-imports=silent", "--no-incremental", "--cache-dir", os.devnull]
        extensions = mypycify(
            [*options, *map(source_of, MODULES)],
            group_name=GROUP,
            opt_level=level(),
            debug_level="0",
            target_dir=str(directory / "c"),
        )
        for extension in extensions:
            # The C code is nobody's to mend, and looking it through for warnings takes longer than compiling it.
            extension.extra_compile_args.extend(("-Wno-all", "-w"))
        distribution = Distribution({"name": "meshwise", "ext_modules": extensions})
        command = distribution.get_command_obj("build_ext")
        command.build_lib, command.build_temp = str(directory / "lib"), str(directory / "temp")
        command.ensure_finalized()
        command.run()
    finally:
        os.chdir(before)
        sys.argv = argv
        if path is None:
            del os.environ["MYPYPATH"]
        else:
            os.environ["MYPYPATH"] = path
    library = directory / "lib"
    return {str(file.relative_to(library)): file for file in sorted(library.rglob("*")) if file.is_file()}
