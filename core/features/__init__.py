"""Features of every layer of a model: which layers, read by hooks, reduced while they stream by."""
