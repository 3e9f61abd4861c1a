"""Both ends of the scale: many classes, layers, features and images, with bounded memory.

Run as ``python -m benchmarks.bench_scale [CASE …]``. Networks with random weights on made-up
images (the cost does not depend on them). Every case runs in a process of its own; ``peak`` is its
largest resident memory above what the imported libraries take, and must stay below BOUND, the
limit that the app gives to an analysis. What a case keeps on disk is given, too.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

BOUND = 4 << 30  # bytes above the imports; pages/_ui/jobs.py stops an analysis there
GIB = 1 << 30


def _images(folder: Path, count: int, side: int, classes: int) -> Path:
    rng = np.random.default_rng(0)
    path = folder / "images.npz"
    labels = np.arange(count) % classes
    shade = rng.integers(0, 128, (classes, 1, 1, 3), dtype=np.uint8)
    noise = rng.integers(0, 128, (count, side, side, 3), dtype=np.uint8)
    np.savez(path, X=noise + shade[labels], y=labels)
    return path


def _thousand_classes(folder: Path) -> dict[str, object]:
    """A CNN that tells 1,000 classes apart, five images of each."""
    return {"model": ("cnn", 1000, 32), "data": _images(folder, 5000, 32, 1000)}


def _two_hundred_layers(folder: Path) -> dict[str, object]:
    """A perceptron of 200 hidden layers on the digits, every layer read."""
    return {"model": ("mlp", 10, 8), "data": "digits", "layers": "auto"}


def _hundred_thousand_features(folder: Path) -> dict[str, object]:
    """Layers of 102,400 features, statistics and clouds of the flattened outputs."""
    data = _images(folder, 2000, 40, 10)
    return {"model": ("cnn", 10, 40), "data": data, "features": "flat"}


def _fifty_thousand_images(folder: Path) -> dict[str, object]:
    """ResNet-20 on as many images as the whole training split of CIFAR-10 has."""
    return {"model": ("resnet20", 10, 32), "data": _images(folder, 50_000, 32, 10)}


CASES: dict[str, Callable[[Path], dict[str, object]]] = {
    "classes_1000": _thousand_classes,
    "layers_200": _two_hundred_layers,
    "features_100000": _hundred_thousand_features,
    "images_50000": _fifty_thousand_images,
}


def _checkpoint(folder: Path, kind: str, classes: int, side: int) -> Path:
    import torch
    from safetensors.torch import save_file

    from core.models.cnn import CNN
    from core.models.mlp import MLP
    from core.models.resnet import constructors

    torch.manual_seed(0)
    if kind == "resnet20":
        path = folder / "resnet20.pth"
        torch.save(constructors()["resnet20_cifar"](classes, 3).state_dict(), path)
        return path
    model: CNN | MLP
    if kind == "cnn":
        model = CNN((3, side, side), (64, 128), classes)
    else:
        model = MLP((1, side, side), (64,) * 200, classes, batch_norm=True)
    path = folder / f"{kind}.safetensors"
    save_file(model.state_dict(), path, model.metadata())
    return path


def measure(case: str) -> dict[str, object]:
    """One case in this process: seconds, peak memory in bytes, layers, size of the result."""
    import resource

    from core import store
    from core.analysis import analyze
    from core.request import AnalysisRequest
    from core.results import Settings

    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        given = CASES[case](folder)
        kind, classes, side = given.pop("model")  # type: ignore[misc]
        checkpoint = _checkpoint(folder, kind, classes, side)
        data = str(given.pop("data"))
        import ripser  # noqa: F401
        import sklearn.linear_model
        import sklearn.neighbors  # noqa: F401

        before = _resident()
        messages: list[str] = []
        started = time.perf_counter()
        analysis = analyze(
            AnalysisRequest(str(checkpoint), data, settings=Settings(device="cpu", **given)),  # type: ignore[arg-type]
            progress=lambda done, total, what: messages.append(what),
        )
        seconds = time.perf_counter() - started
        peak = 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
        started = time.perf_counter()
        stored = len(store.dumps(analysis))
        return {
            "seconds": seconds,
            "peak_gib": peak / GIB,
            "layers": len(analysis.layers),
            "stored_mib": stored / (1 << 20),
            "store_seconds": time.perf_counter() - started,
            "progress_messages": len(messages),
            "steps": len(set(messages)),
            "within_bound": peak < BOUND,
        }


def _resident() -> int:
    return 4096 * int(Path("/proc/self/statm").read_text().split()[1])


def run(cases: tuple[str, ...] = tuple(CASES)) -> dict[str, object]:
    """Every case, each in a fresh process."""
    found: dict[str, object] = {"bound_gib": BOUND / GIB}
    for case in cases:
        done = subprocess.run(
            [sys.executable, "-m", "benchmarks.bench_scale", "--one", case],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            found[case] = done.stderr.strip().splitlines()[-1]
            continue
        found |= {f"{case}_{k}": v for k, v in json.loads(done.stdout.splitlines()[-1]).items()}
    return found


if __name__ == "__main__":
    if sys.argv[1:2] == ["--one"]:
        print(json.dumps(measure(sys.argv[2])))
    else:
        print(json.dumps(run(tuple(sys.argv[1:]) or tuple(CASES)), indent=1))
