"""Signs that an attack was weak rather than the network strong.

Athalye et al. 2018 ("Obfuscated gradients give a false sense of security", ICML) and Carlini et al.
2019 ("On evaluating adversarial robustness", section 5): an attack that does not follow the
gradient does better than one that does, many more steps help much, or no radius is large enough.
"""

from __future__ import annotations

import numpy as np

from core.robustness.results import AttackTable

MARGIN = 0.02
"""Share of the images from which a difference is a sign: single images may fall to chance."""

_SYMBOLS = {"lam": "λ", "top_k": "k"}


def signs(table: AttackTable) -> tuple[str, ...]:
    """One sentence for each kind of sign, of its clearest case; none if there is none."""
    said = []
    for other, name in (
        (table.transfer, f"images made for {table.source}"),
        (table.noise, "noise"),
    ):
        if other is None:
            continue
        gap = table.white - other
        if gap.max() > MARGIN:
            i, m = np.unravel_index(gap.argmax(), gap.shape)
            said.append(
                f"{name[0].upper()}{name[1:]} break{'s' if name == 'noise' else ''} more images "
                f"than the gradient does {_where(table, int(i), int(m))}: "
                f"{_percent(other[i, m])} are left right against {_percent(table.white[i, m])}."
            )
    gap = table.white - table.longer
    if gap.max() > MARGIN:
        i, m = np.unravel_index(gap.argmax(), gap.shape)
        said.append(
            f"{table.more_steps} steps break many images that {table.steps} leave "
            f"{_where(table, int(i), int(m))}: {_percent(table.longer[i, m])} are left right "
            f"against {_percent(table.white[i, m])}."
        )
    if table.unbounded is not None and table.unbounded.max() > MARGIN:
        m = int(table.unbounded.argmax())
        said.append(
            f"{_percent(table.unbounded[m])} of the images stay right{_at(table, m)} where an "
            "image may become all grey: the attack does not find what must be there."
        )
    return tuple(said)


def _percent(share: float | np.ndarray) -> str:
    return f"{100 * share:.1f} %"


def _where(table: AttackTable, i: int, m: int) -> str:
    radius = table.radii[i]
    size = f"{255 * radius:.3g}/255" if table.norm == "linf" else f"{radius:.3g}"
    return f"at radius {size}{_at(table, m, ' and')}"


def _at(table: AttackTable, m: int, joint: str = " at") -> str:
    if not table.knob:
        return ""
    return f"{joint} {_SYMBOLS.get(table.knob, table.knob)} = {table.values[m]:g}"
