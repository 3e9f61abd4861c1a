"""One network on several data sets: how much less it collapses where the images shift.

Importing this package needs numpy alone; what pages submit as jobs is in ``core.shift.compute`` and
``core.shift.examples``.
"""

from core.shift.comparison import QUANTITIES, Comparison, compare, in_words, verdict
from core.shift.profile import Profile, bundled, profile_of, requests_for, splits_of

__all__ = [
    "QUANTITIES",
    "Comparison",
    "Profile",
    "bundled",
    "compare",
    "in_words",
    "profile_of",
    "requests_for",
    "splits_of",
    "verdict",
]
