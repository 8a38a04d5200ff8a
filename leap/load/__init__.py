"""``leap load``: an open-loop load, and what the installation makes of it."""
