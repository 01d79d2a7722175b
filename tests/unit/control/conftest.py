from collections.abc import Iterator
from pathlib import Path

import pytest

from meshwise.control.storage import Storage, open_storage


@pytest.fixture
def storage(tmp_path: Path) -> Iterator[Storage]:
    """A fresh database."""
    opened = open_storage("", tmp_path, 0.0)
    yield opened
    opened.close()
