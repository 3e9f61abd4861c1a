"""A landscape in a sentence or two, by rule."""

from __future__ import annotations

import numpy as np

from core.landscape.results import (
    Landscape,
    barrier,
    gaps,
    highest,
    random_walk_shares,
    share_below,
)

_NO_BARRIER = 0.02  # nats; less than this is called none


def in_words(landscape: Landscape, level: float) -> str:
    """What the figure shows of one network, in numbers. Plain text."""
    here = (
        f"The loss of the network is {_number(landscape.centre_loss)} "
        f"(accuracy {100 * landscape.centre_accuracy:.1f} %)"
    )
    if landscape.kind == "between":
        return f"{here}. {_of_barrier(landscape)}{_of_gaps(landscape)}"
    if landscape.kind == "path":
        return f"{here}. {_of_path(landscape)}{_of_gaps(landscape)}"
    top = highest(landscape).value
    span = float(landscape.x[-1])
    rises = f"; within ±{span:g} it rises to {_number(top)}" if top is not None else ""
    share = share_below(landscape, level).value
    what = "plane" if landscape.is_plane else "lines"
    below = "" if share is None else f" {100 * share:.0f} % of the {what} lies below {level:.3g}."
    if share == 0 and level <= landscape.centre_loss:
        below = f" The network itself lies above the level {level:.3g}: choose a higher one."
    return f"{here}{rises}.{below}{_of_gaps(landscape)}"


def compared(one: Landscape, other: Landscape, names: tuple[str, str], level: float) -> str:
    """Which of two networks has more of its surroundings below the level; "" where none says."""
    shares = [share_below(landscape, level).value for landscape in (one, other)]
    if one.kind == "between":
        values = [barrier(landscape).value for landscape in (one, other)]
        if None in values:
            return ""
        return (
            f"The barrier is {_number(values[0])} for {names[0]} and {_number(values[1])} for "
            f"{names[1]}."
        )
    if shares[0] is None or shares[1] is None:
        return ""
    percent = [100 * share for share in shares if share is not None]
    if abs(percent[0] - percent[1]) < 1:
        return f"About as much of both lies below {level:.3g}: {percent[0]:.0f} %."
    wide, narrow = (0, 1) if percent[0] > percent[1] else (1, 0)
    return (
        f"{names[wide]} has more of its surroundings below {level:.3g} than {names[narrow]}: "
        f"{percent[wide]:.0f} % against {percent[narrow]:.0f} %."
    )


def _of_barrier(landscape: Landscape) -> str:
    found = barrier(landscape)
    if found.value is None:
        return f"There is no barrier to give: {found.reason}."
    if found.value < _NO_BARRIER:
        return "Nothing rises above the straight line between the two losses: no barrier."
    inside = (landscape.x >= 0) & (landscape.x <= 1)
    at = landscape.x[inside][np.argmax(landscape.loss[0][inside])]
    return (
        f"Between the two the loss rises {_number(found.value)} above the straight line from one "
        f"loss to the other, highest at {at:.2f} of the way."
    )


def _of_path(landscape: Landscape) -> str:
    path = landscape.path
    assert path is not None
    shares = 100 * path.shares
    walk = 100 * random_walk_shares(path.epochs)
    second = f" and {shares[1]:.1f} %" if len(shares) > 1 else ""
    text = f"The two directions hold {shares[0]:.1f} %{second} of the path's variance"
    if len(walk) > 1 and np.isfinite(walk[:2]).all():
        text += (
            f"; a random walk seen at the same epochs would have {walk[0]:.1f} % and "
            f"{walk[1]:.1f} %"
        )
    length = float(np.abs(path.coordinates).max())
    return (
        f"{text}. Checkpoints lie up to {_number(float(path.distance.max()))} away from the plane, "
        f"on a path {_number(length)} across: the loss drawn below them is the plane's, not "
        "their own."
    )


def _of_gaps(landscape: Landscape) -> str:
    missing = gaps(landscape)
    if not missing:
        return ""
    points = "point has" if missing == 1 else "points have"
    return f" {missing:,} {points} a loss that is no finite number and is left blank."


def _number(value: float | None) -> str:
    if value is None:
        return "n/a"
    return f"{value:,.0f}" if 1e3 <= abs(value) < 1e6 else f"{value:.3g}"
