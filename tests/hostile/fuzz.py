"""Mutations of valid checkpoints of every format: each one opens or is refused in a sentence.

python tests/hostile/fuzz.py [CASES] [SEED]
"""

from __future__ import annotations

import argparse
import collections
import io
import random
import sys
import tempfile
import zipfile
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests"), str(ROOT / "tests" / "hostile")]

from corpus import saved, state  # noqa: E402
from safetensors.torch import save as safetensors_bytes  # noqa: E402


def seeds() -> list[bytes]:
    """Valid files to start from."""
    content = {
        "epoch": 3,
        "best": np.float64(0.5),
        "args": argparse.Namespace(lr=0.1),
        "state_dict": collections.OrderedDict(state()),
    }
    return [saved(content), saved(content, legacy=True), safetensors_bytes(state()), saved(state())]


def mutated(data: bytes, rng: random.Random) -> bytes:
    """A few bytes replaced, removed, repeated elsewhere or set to 255."""
    result = bytearray(data)
    for _ in range(rng.choice([1, 1, 1, 2, 5])):
        place = rng.randrange(len(result))
        kind = rng.random()
        if kind < 0.5:
            result[place] = rng.randrange(256)
        elif kind < 0.7:
            del result[place : place + rng.randrange(1, 20)]
        elif kind < 0.9:
            start = rng.randrange(len(result))
            result[place:place] = result[start : start + rng.randrange(1, 40)]
        else:
            result[place : place + 4] = b"\xff\xff\xff\xff"
        result = result or bytearray(b"x")
    return bytes(result)


def case(rng: random.Random, valid: list[bytes]) -> bytes:
    """One mutated file; of an archive mostly its pickle, with all checksums right."""
    data = rng.choice(valid)
    if data[:2] != b"PK" or rng.random() < 0.2:
        return mutated(data, rng)
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(buffer, "w") as new:
        for record in old.infolist():
            content = old.read(record)
            is_pickle = record.filename.endswith("data.pkl")
            new.writestr(record.filename, mutated(content, rng) if is_pickle else content)
    return buffer.getvalue()


def write_cases(folder: Path, count: int, seed: int) -> list[str]:
    """``count`` mutated files in ``folder``: their paths."""
    rng = random.Random(seed)
    valid = seeds()
    paths = [folder / f"case{i}.pt" for i in range(count)]
    for path in paths:
        path.write_bytes(case(rng, valid))
    return [str(path) for path in paths]


def main(cases: int = 100_000, seed: int = 0, batch: int = 1000) -> int:
    """Run the cases in worker processes of 1,000 each; 1 if any was neither opened nor refused."""
    from core import jobs

    kinds: collections.Counter[str] = collections.Counter()
    for start in range(0, cases, batch):
        with tempfile.TemporaryDirectory() as folder:
            paths = write_cases(Path(folder), min(batch, cases - start), seed + start)
            status = jobs.submit("job_functions:open_each", paths).wait()
        if status.state != "done":
            print(f"seed {seed + start}: {status.error} at {status.what}")
            kinds["killed"] += 1
            continue
        for name, (outcome, _) in status.result.items():
            kinds[outcome.split(":")[0]] += 1
            if outcome.startswith("bug"):
                print(f"seed {seed + start}, {name}: {outcome}")
        print(start + len(paths), dict(kinds), flush=True)
    return int(kinds["bug"] + kinds["killed"] > 0)


if __name__ == "__main__":
    raise SystemExit(main(*map(int, sys.argv[1:])))
