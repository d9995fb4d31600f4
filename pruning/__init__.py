"""Offline half of Polyprune: trains a segmentation network, prunes it by the TaylorFO score, exports it."""
