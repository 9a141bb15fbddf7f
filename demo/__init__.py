"""A live portal that is protected, wrecked and recovered before your eyes: `make demo`.

Nothing in here reaches into Undivided. The story uses the command line and a service file (portal.yaml), as
anyone would; the portal and its customers know nothing of being protected.
"""
