"""Nesky and Stout, Neural networks with block diagonal inner product layers (2020)."""
