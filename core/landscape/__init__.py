"""The loss around a network, along lines and planes of its parameters (Li et al., NeurIPS 2018).

request      what to draw; where it is kept; imports no torch
results      what was found, and the numbers beneath the figure; numpy alone
weights      all tensors of a network as one vector that the network reads
directions   filter-normalised random directions
surface      loss and accuracy at many points of a plane
trajectory   the plane of a run's two principal directions
compute      what pages submit as a job
"""

from core.landscape.request import IMAGES, KINDS, LandscapeRequest, kept
from core.landscape.results import Landscape, Path, Trial

__all__ = ["IMAGES", "KINDS", "Landscape", "LandscapeRequest", "Path", "Trial", "kept"]
