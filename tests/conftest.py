"""Settings for the whole suite."""

import sys

import pytest
from hypothesis import settings

settings.register_profile("ci", derandomize=True, deadline=None, max_examples=50)
settings.load_profile("ci")


@pytest.fixture(autouse=True)
def torch_draws_the_same_numbers() -> None:
    """Whichever tests ran before."""
    if torch := sys.modules.get("torch"):
        torch.manual_seed(0)
