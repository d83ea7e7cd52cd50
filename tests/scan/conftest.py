"""Settings for the tests of the time loop."""

from collections.abc import Iterator

import pytest

import tinygrad_rnn as tg


@pytest.fixture(autouse=True)
def loops_in_numpy() -> Iterator[None]:
    """Where nothing else is asked for: by default, whether there is a C compiler would decide what is tested."""
    with tg.scan_backend("numpy"):
        yield
