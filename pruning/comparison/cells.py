"""Results of a comparison on disk: one cell for each share, method and seed."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pruning.errors import RunError
from pruning.runs import read_json, write_json


@dataclass(frozen=True)
class Cell:
    """What one method gave: cost, and Dice of each test frame before and after fine-tuning.

    A budget that the method cannot reach leaves `refused`, with the reason, and nothing else.
    """

    share: float
    method: str
    seed: int
    macs: int = 0
    parameters: int = 0
    before: tuple[float, ...] = ()
    after: tuple[float, ...] = ()
    refused: str = ""

    @property
    def key(self) -> tuple[float, str, int]:
        """What it is a cell of."""
        return self.share, self.method, self.seed


class Cells:
    """compare.json: the settings, the dense network, and every cell that is done.

    Raises:
        RunError: the file holds a comparison with other settings.
    """

    def __init__(self, path: Path, settings: dict[str, Any]) -> None:
        self.path = path
        self.settings = settings
        self.dense: dict[str, Any] = {}
        self.cells: dict[tuple[float, str, int], Cell] = {}
        if path.is_file():
            self._read(read_json(path))

    def _read(self, content: dict[str, Any]) -> None:
        if content["settings"] != self.settings:
            raise RunError(
                f"{self.path} holds a comparison with the settings {content['settings']}, not {self.settings}: ask for "
                "those, or move the file away"
            )
        self.dense = content["dense"]
        for row in content["cells"]:
            self._put(Cell(**{**row, "before": tuple(row["before"]), "after": tuple(row["after"])}))

    def _put(self, cell: Cell) -> None:
        self.cells[cell.key] = cell

    def add(self, cell: Cell) -> None:
        """Keep a cell, and write the file."""
        self._put(cell)
        self.write()

    def write(self) -> None:
        """Write all that is known, through a partial file: an interrupted write leaves the old one."""
        content = {
            "settings": self.settings,
            "dense": self.dense,
            "cells": [asdict(cell) for cell in self.cells.values()],
        }
        partial = self.path.with_suffix(".partial")
        write_json(partial, content)
        partial.replace(self.path)
