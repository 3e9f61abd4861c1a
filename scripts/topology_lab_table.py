"""Make the table and the networks of the topology lab again (about 40 minutes on one core).

python -m scripts.topology_lab_table                   three problems, three activations, ten seeds
python -m scripts.topology_lab_table --problems d1     one problem; the rows of others stay
python -m scripts.topology_lab_table --bundle          only the networks that the page shows first

Seeds are tried from 0 on until enough networks have reached the accuracy goal of
``core.topology_lab``, one and a half times as many at most. All are written down; those that
missed the goal are not compared, as in the paper.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from core import store
from core.data.two_class_problems import PROBLEMS
from core.topology_lab import (
    ACTIVATIONS,
    TABLE,
    LabRequest,
    LabResult,
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
Run = Callable[[LabRequest], LabResult]


def rows_of(
    problem: str, activation: str, seeds: int, compute: Run = run, epochs: int | None = None
) -> list[Row]:
    """Rows of as many seeds as it takes for ``seeds`` to reach the goal, 1.5 times as many at
    most."""
    rows: list[Row] = []
    while len(rows) < 1.5 * seeds and sum(row.reached for row in rows) < seeds:
        request = default_request(problem, activation, seed=len(rows))
        if epochs is not None:
            request = replace(request, epochs=epochs)
        result = compute(request)
        rows.append(row_of(result))
        said = "reached" if result.reached else "missed"
        print(problem, activation, request.seed, said, f"{result.seconds:.0f} s", flush=True)
    return rows


def make_table(problems: list[str], seeds: int, path: Path, epochs: int | None = None) -> None:
    """Replace the rows of these problems in the table at ``path``, after every activation."""
    kept = read_table(path) if path.exists() else ()
    rows = [row for row in kept if row.problem not in problems]
    for problem in problems:
        for activation in ACTIVATIONS:
            rows += rows_of(problem, activation, seeds, epochs=epochs)
            write_table(sorted(rows, key=lambda r: (r.problem, r.activation, r.seed)), path)


def make_bundle() -> None:
    """The results of the default requests, which the page shows without a computation."""
    for problem in PROBLEMS:
        for activation in ACTIVATIONS:
            request = default_request(problem, activation)
            store.save(bundled_path(request), run(request))
            print(bundled_path(request).name, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--problems", nargs="+", choices=COMPARED, default=list(COMPARED))
    parser.add_argument("--seeds", type=int, default=SEEDS)
    parser.add_argument("--epochs", type=int, help="instead of the default of the lab")
    parser.add_argument("--out", type=Path, default=TABLE)
    parser.add_argument("--bundle", action="store_true")
    arguments = parser.parse_args()
    if not arguments.bundle:
        make_table(arguments.problems, arguments.seeds, arguments.out, arguments.epochs)
    make_bundle()


if __name__ == "__main__":
    main()
