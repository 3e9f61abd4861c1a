"""What a classifier costs, and what neural collapse saves: fixed simplex ETF, features of d = K.

At collapse the rows of the classifier are a simplex ETF that is known in advance, up to a
rotation: it need not be learned, and K - 1 dimensions hold it (Zhu et al. 2021,
arXiv:2105.02375). ``counts`` has the numbers and imports no torch; ``narrowing`` builds
the networks with narrowed last blocks that the numbers were counted on.
"""

from core.economy.counts import (
    LECTURE,
    Claim,
    Curve,
    Economy,
    Network,
    checked,
    curve,
    economy,
    find_network,
    networks,
)
from core.economy.opened import network_of

__all__ = [
    "LECTURE",
    "Claim",
    "Curve",
    "Economy",
    "Network",
    "checked",
    "curve",
    "economy",
    "find_network",
    "network_of",
    "networks",
]
