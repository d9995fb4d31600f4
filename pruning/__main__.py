"""`python -m pruning`."""

from pruning.allocator import keep_freed_memory
from pruning.cli import main

keep_freed_memory()
main()
