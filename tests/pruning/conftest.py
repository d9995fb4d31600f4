"""PyTorch on one thread: threads cost networks as small as the tests' more than they save, most on a busy machine."""

import pytest
import torch


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)
