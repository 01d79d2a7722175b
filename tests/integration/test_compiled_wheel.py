"""The data path compiled: the same code, the same tests, faster."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from tools.compile import MODULES, has_c_compiler

from support.processes import REPOSITORY

pytestmark = [
    pytest.mark.longest,
    pytest.mark.skipif(not has_c_compiler(), reason="there is no C compiler"),
    pytest.mark.timeout(600),
]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with the unpacked compiled wheel."""
    built = tmp_path_factory.mktemp("wheel")
    done = subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(built)],
        cwd=REPOSITORY,
        # What the compiled code does is the same at every level; optimising it takes minutes.
        env={**os.environ, "MESHWISE_COMPILE": "1", "MESHWISE_COMPILE_LEVEL": "0"},
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    directory = tmp_path_factory.mktemp("site")
    with zipfile.ZipFile(next(built.glob("*.whl"))) as wheel:
        wheel.extractall(directory)
    return directory


def _python(site: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    environment["PYTHONPATH"] = str(site)
    return subprocess.run(
        [sys.executable, *arguments], cwd=REPOSITORY, env=environment, check=False, capture_output=True, text=True
    )


def test_every_module_is_compiled(site: Path) -> None:
    """Importing from the wheel takes the compiled module, not the source beside it."""
    code = f"import importlib; print([n for n in {MODULES!r} if importlib.import_module(n).__file__.endswith('.py')])"
    done = _python(site, "-c", code)
    assert done.stdout.strip() == "[]", done.stderr[-2000:]


def test_the_data_path_behaves_as_its_source(site: Path) -> None:
    """The proxy's own tests pass on compiled code, but for the soak, which takes half a minute and is of the source."""
    soak = "tests/integration/proxy/test_proxy_soak.py"
    done = _python(
        site,
        *("-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", "--ignore", soak),
        *("tests/unit/proxy", "tests/integration/proxy"),
    )
    assert done.returncode == 0, done.stdout[-4000:]
