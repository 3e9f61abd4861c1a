"""How a network stands noise and attacks, what its λ or k changes, and whether its confidence is
right.

results       the dataclasses that pages show          request       what pages ask for
comparisons   the bundled runs that are set beside each other
opening       a network as a function of pixels        seen          a few images as it sees them
corruptions   accuracy by severity and setting         adaptive      λ from the reconstruction error
attacks       accuracy under attack, and its checks    descent       projected gradient descent
masking       signs of masked gradients, in words      kept          what is on disk

Pages import ``results``, ``request``, ``comparisons`` and ``kept``, which need no torch.
"""
