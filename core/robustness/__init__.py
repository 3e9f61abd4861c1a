"""How a network stands noise and attacks, what its λ or k changes, and whether its confidence is
right.

results       the dataclasses that pages show          request       what pages ask for
comparisons   the bundled runs that are set beside each other
attacks       projected gradient descent               corruptions   accuracy by severity, setting
adaptive      λ chosen from the reconstruction error   kept          what is on disk

Pages import ``results``, ``request``, ``comparisons`` and ``kept``, which need no torch.
"""
