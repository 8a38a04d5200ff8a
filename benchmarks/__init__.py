"""Measurements, each against a yardstick in the same run on the same machine."""
