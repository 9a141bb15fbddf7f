"""The demo: a live portal is protected, wrecked and recovered while you watch. Run it with `make demo`.

Nothing in here reaches into Undivided. The demo uses the command line and a service file (portal.yaml), like
any user; the portal and its customers do not know that they are protected.
"""
