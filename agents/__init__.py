"""What is decided: the roster, engagement and the alert rules."""
