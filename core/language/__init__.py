"""Text transformers: lines of text or token ids, features of every block, and how many of the
MLPs' hidden activations are zero. Nothing here imports transformers until a network is built."""
