"""The demo: two weeks of a real course, played through the whole pipeline on one machine."""
