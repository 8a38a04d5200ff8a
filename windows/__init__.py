"""The pure core: civil days, daily counts, the 7-day view, scores, bands and the day close. No I/O and no clock.

Vocabulary, used everywhere:

* a *day* is a number, days since 1970-01-01 of the institution's civil calendar;
* the *anchor* of a partition is its last closed day C (before the first close: the day before its first record);
* a row's ``counts`` have one slot a day, C - window + 1 to C + 2: the window, then two *open* days.
"""
