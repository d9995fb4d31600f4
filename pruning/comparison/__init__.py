"""Criteria side by side: the dense network pruned by each to equal MACs, before and after fine-tuning."""

from pruning.comparison.study import Settings, compare
from pruning.comparison.summary import table

__all__ = ["Settings", "compare", "table"]
