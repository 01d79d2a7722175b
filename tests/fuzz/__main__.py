"""Fuzz one target, or all of them in turn, for as long as asked."""

from __future__ import annotations

import argparse
import hashlib
import random
import sys
import time
from pathlib import Path

from fuzz.mutations import mutated
from fuzz.targets import TARGETS

CRASHES = Path(__file__).parent / "crashes"


def kept(name: str) -> list[bytes]:
    """Return the inputs that broke a promise of a target once."""
    return [path.read_bytes() for path in sorted(CRASHES.glob(f"{name}-*"))]


def main() -> None:
    """Run until the time is up, or a promise is broken."""
    parser = argparse.ArgumentParser(prog="python -m fuzz", description=__doc__)
    parser.add_argument("target", nargs="?", choices=sorted(TARGETS), help="one target alone")
    parser.add_argument("--seconds", type=float, default=600.0, help="how long, for all targets together")
    parser.add_argument("--seed", type=int, default=None, help="repeat the run that printed this number")
    arguments = parser.parse_args()
    seed = arguments.seed if arguments.seed is not None else random.SystemRandom().randrange(1 << 32)
    names = [arguments.target] if arguments.target else sorted(TARGETS)
    print(f"seed {seed}", flush=True)
    broken = 0
    for name in names:
        target, rng, runs = TARGETS[name], random.Random(seed), 0
        seeds = [*target.seeds, *kept(name)]
        end = time.monotonic() + arguments.seconds / len(names)
        while time.monotonic() < end:
            data, how = mutated(rng, seeds, target.words), runs % 7
            runs += 1
            try:
                target.check(data, how)
            except Exception as error:  # noqa: BLE001  # whatever it is, it is what we are looking for
                CRASHES.mkdir(exist_ok=True)
                path = CRASHES / f"{name}-{hashlib.sha256(data).hexdigest()[:12]}"
                path.write_bytes(data)
                print(f"{name}: {error!r} in run {runs}, cut {how}: {path}", file=sys.stderr)
                broken += 1
                break
        print(f"{name}: {runs} inputs", flush=True)
    sys.exit(1 if broken else 0)


if __name__ == "__main__":
    main()
