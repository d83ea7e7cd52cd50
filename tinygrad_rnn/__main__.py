"""`python -m tinygrad_rnn`."""

from .cli import main

main()
