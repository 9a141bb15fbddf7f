"""Undivided: service-oriented data protection. The unit is the whole service."""

__version__ = "0.1.0"
