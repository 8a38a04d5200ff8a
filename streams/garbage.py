"""When Python looks for garbage: seldom, and not among what a process has made at its start."""

import gc

_THRESHOLDS = (200_000, 20, 100)


def seldom() -> None:
    """Leave out of every search what is there by now, and search less often; called when a process is made up.

    What was made so far lives as long as the process. A fetch, or some requests, make tens of thousands of tracked
    objects: with Python's thresholds all of it would be walked again and again, and everything stands meanwhile.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_THRESHOLDS)
