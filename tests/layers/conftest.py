"""All tests of this folder run on every back end."""

import pytest


@pytest.fixture(autouse=True)
def every_back_end(xp, blobs_on_the_host):
    """Blobs look like NumPy arrays to the tests, wherever they live."""
