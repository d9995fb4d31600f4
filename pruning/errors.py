"""Every error that `pruning` raises on purpose, as one tree.

    PruningError
    ├── DatasetError       a pair, folder or split file that cannot be used
    ├── RecipeError        a recipe that is unreadable, or settings that exclude each other
    ├── NetworkError       a factory that is not found, or a network with another input or output
    ├── UnprunableError    a layer whose channels cannot be removed rightly
    ├── BudgetError        a budget that no selection can reach
    ├── RunError           a run folder that lacks what a station reads
    ├── ExportError        a graph that differs from its network, or a folder that breaks the contract
    └── PrecisionError     a model that cannot be had in this precision, or loses too much Dice in it

Each message says what was expected, what came, and what to do.
"""


class PruningError(Exception):
    """Base of them all: the command line prints it in one line, without a traceback."""


class DatasetError(PruningError):
    """A pair, folder or split file cannot be used."""


class RecipeError(PruningError):
    """A recipe cannot be read, or asks for things that exclude each other."""


class NetworkError(PruningError):
    """A network cannot be built, or does not map [N, 3, H, W] to logits [N, 1, H, W]."""


class UnprunableError(PruningError):
    """A layer cannot be pruned rightly; the message names it."""


class BudgetError(PruningError):
    """No selection on the width grid reaches the budget; the message says how near it comes."""


class RunError(PruningError):
    """A run folder lacks the file that a station reads."""


class ExportError(PruningError):
    """An exported graph differs from its network, or a model folder breaks the contract."""


class PrecisionError(PruningError):
    """A model cannot be had in a lower precision, or segments worse in it than is allowed."""
