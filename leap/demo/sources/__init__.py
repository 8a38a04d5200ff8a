"""The demo of the sources: a simulated university sends what its systems would, and every record is accounted for.

What was planted (:mod:`leap.demo.sources.plan`) is the generator's own knowledge of the vendors' formats: no adapter is
asked. It is compared with what the running system did (:mod:`leap.demo.sources.measure`).
"""
