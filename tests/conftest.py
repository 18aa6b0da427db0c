"""Fixtures that every test may take."""

import numpy
import pytest


@pytest.fixture(params=["numpy"])
def xp(request):
    """The array module that layers compute with; a test that takes it runs on every back end."""
    return numpy
