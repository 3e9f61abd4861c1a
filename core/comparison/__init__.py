"""Runs beside each other: seeds of one recipe as one, families and what they show, the grid of
widths and epochs, and two checkpoints layer by layer. Only ``core.comparison.layers`` needs torch.
"""
