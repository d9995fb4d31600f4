"""Networks by name. Each maps normalised frames, float32 [N, 3, H, W], to logits, float32 [N, 1, H, W]."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

from torch import nn

from pruning.errors import NetworkError

BUILT_IN = {
    "unet": "pruning.networks.unet:UNet",
    "unet-lite0": "pruning.networks.unet_lite:unet_lite0",
    "unet-lite2": "pruning.networks.unet_lite:unet_lite2",
}


def build(factory: str, arguments: dict[str, Any]) -> nn.Module:
    """Build a network from a built-in name or from `package.module:factory`.

    Raises:
        NetworkError: the factory is not found, rejects its arguments, or returns something else.
    """
    try:
        network = find(factory)(**arguments)
    except TypeError as error:
        raise NetworkError(f"{factory} does not take the arguments {arguments}: {error}") from error
    if not isinstance(network, nn.Module):
        raise NetworkError(f"{factory} returned {type(network).__name__}; a factory returns a torch.nn.Module")
    return network


def find(factory: str) -> Callable[..., Any]:
    """Import a factory by name.

    Raises:
        NetworkError: it is neither built in nor importable.
    """
    module, colon, attribute = BUILT_IN.get(factory, factory).partition(":")
    if not colon:
        known = ", ".join(BUILT_IN)
        raise NetworkError(f"unknown network {factory!r}: use one of {known}, or package.module:factory")
    try:
        found: Callable[..., Any] = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise NetworkError(f"cannot import {factory!r}: {error}; is it installed and on the path?") from error
    return found
