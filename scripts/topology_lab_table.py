"""Make the table and the networks of the topology lab again (about half an hour on one core).

python -m scripts.topology_lab_table              what is missing of three problems, ten seeds
python -m scripts.topology_lab_table --again      all of it, from the start
python -m scripts.topology_lab_table --seeds 20   more seeds

Seeds are tried from 0 on until enough networks have reached the accuracy goal of
``core.topology_lab``, one and a half times as many at most. All are written down; those that
missed the goal are not compared, as in the paper. The networks of seed 0, and one of every small
problem, are what the page shows first.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from core import store
from core.data.two_class_problems import PROBLEMS
from core.topology_lab import (
    ACTIVATIONS,
    TABLE,
    Row,
    bundled_path,
    default_request,
    read_table,
    row_of,
    run,
    write_table,
)

COMPARED = ("d1", "d2", "d3")
SEEDS = 10


def next_seed(rows: Sequence[Row], problem: str, activation: str, seeds: int) -> int | None:
    """The seed to try next; None once ``seeds`` networks have reached the goal or 1.5 times as
    many were tried."""
    mine = [row.reached for row in rows if (row.problem, row.activation) == (problem, activation)]
    return None if sum(mine) >= seeds or len(mine) >= 1.5 * seeds else len(mine)


def make_table(
    problems: Sequence[str], seeds: int, path: Path = TABLE, epochs: int | None = None
) -> None:
    """Add to the table at ``path`` what it lacks, network by network."""
    rows = list(read_table(path)) if path.exists() else []
    for problem in problems:
        for activation in ACTIVATIONS:
            while (seed := next_seed(rows, problem, activation, seeds)) is not None:
                request = default_request(problem, activation, seed)
                result = run(request if epochs is None else replace(request, epochs=epochs))
                rows.append(row_of(result))
                write_table(sorted(rows, key=lambda r: (r.problem, r.activation, r.seed)), path)
                said = "reached" if result.reached else "missed"
                print(problem, activation, seed, said, f"{result.seconds:.0f} s", flush=True)


def make_bundle() -> None:
    """The results of the default requests that are not there yet."""
    for problem in PROBLEMS:
        for activation in ACTIVATIONS:
            request = default_request(problem, activation)
            if not bundled_path(request).exists():
                store.save(bundled_path(request), run(request))
                print(bundled_path(request).name, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--again", action="store_true")
    parser.add_argument("--problems", nargs="+", choices=COMPARED, default=COMPARED)
    parser.add_argument("--seeds", type=int, default=SEEDS)
    arguments = parser.parse_args()
    if arguments.again:
        for path in TABLE.parent.iterdir():
            path.unlink()
    make_table(arguments.problems, arguments.seeds)
    make_bundle()


if __name__ == "__main__":
    main()
