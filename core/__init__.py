"""Featurescope's engine: everything that computes. Never imports streamlit."""
