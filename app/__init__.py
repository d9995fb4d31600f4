"""Online half of Polyprune: a colonoscopy frame comes in over HTTP, a polyp mask goes out."""

__version__ = "0.1.0"
