"""``make bench``: every benchmark, both sides measured in one run, ratios printed.

python -m benchmarks              all of them
python -m benchmarks nc1 scatter  these
"""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

NAMES = sorted(p.stem.removeprefix("bench_") for p in Path(__file__).parent.glob("bench_*.py"))


def main(chosen: list[str]) -> int:
    """Run the benchmarks named, or all; the exit status."""
    unknown = [name for name in chosen if name not in NAMES]
    if unknown:
        print(f"error: there is no benchmark {unknown[0]}; choose of: {', '.join(NAMES)}")
        return 2
    for name in chosen or NAMES:
        print(f"\n## {name}", flush=True)
        for key, value in importlib.import_module(f"benchmarks.bench_{name}").run().items():
            print(f"{key:48} {value:.4g}" if isinstance(value, float) else f"{key:48} {value}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
