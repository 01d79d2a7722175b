"""``python -m meshwise.cli`` is ``meshwise``."""

from meshwise.cli import main

main()
