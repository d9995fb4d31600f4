"""`python -m pruning`."""

from pruning.cli import main

main()
