"""What the figure modules share: runs and their cache, results, the list of figures."""
