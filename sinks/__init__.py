"""Where results go: the Redis read model and the dead letters."""
