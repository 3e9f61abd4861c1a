"""Compute the first landscape that a reader of a bundled run sees, and keep it beside the run.

python -m scripts.landscapes NAME …    into checkpoints/NAME/landscapes
"""

from __future__ import annotations

import sys
from dataclasses import replace

from core import library, store
from core.errors import UserError
from core.landscape.compute import compute
from core.landscape.request import LandscapeRequest, bundled_folder, default_size, kept_at


def main(names: list[str]) -> int:
    """The exit status: 2 where a run is unknown or was not analysed."""
    for name in names:
        run = library.find(name)
        if run is None:
            print(f"error: there is no run {name}", file=sys.stderr)
            return 2
        try:
            request = library.request_for(run, None, run.first_data)
            analysis = library.load(name, run.checkpoint(None).epoch, run.first_data)
        except UserError as error:
            print(f"error: {error}", file=sys.stderr)
            return 2
        architecture = analysis.checkpoint.architecture or "auto"
        settings = replace(analysis.settings, architecture=architecture, device="auto")
        resolution, images = default_size(request.data, "plane")
        asked = LandscapeRequest(
            replace(request, settings=settings, data_name=""), "plane", resolution, images
        )
        found = compute(asked)
        file = bundled_folder(asked) / kept_at(asked).name
        store.save(file, found)
        print(f"{file}: {found.loss.size} points in {found.seconds:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
