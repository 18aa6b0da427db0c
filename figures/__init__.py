"""The figures and tables of the papers, a module each; figures/make.py runs them."""
