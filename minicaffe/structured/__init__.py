"""Structured matrices as array mathematics: no layers, no nets."""
