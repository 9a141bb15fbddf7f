"""Whole services to test against: real servers in scratch directories, writers that never rest, journals of
what was acknowledged. They know nothing of Undivided."""
