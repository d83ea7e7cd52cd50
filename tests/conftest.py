"""Settings for the whole suite."""

import os
import sys
import tempfile

import pytest
from hypothesis import settings

settings.register_profile("ci", derandomize=True, deadline=None, max_examples=50)
settings.load_profile("ci")


def pytest_configure(config: pytest.Config) -> None:
    """Loops in C are kept in a folder of the run's own: in the user's, one that can't be compiled may be there."""
    folder = tempfile.TemporaryDirectory(prefix="tinygrad_rnn_")
    config.add_cleanup(folder.cleanup)
    os.environ["TINYGRAD_RNN_CACHE"] = folder.name


@pytest.fixture(autouse=True)
def torch_draws_the_same_numbers() -> None:
    """Whichever tests ran before."""
    if torch := sys.modules.get("torch"):
        torch.manual_seed(0)
