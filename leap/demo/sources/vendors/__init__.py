"""What each vendor's system writes, from its public format: one file a vendor, one function a form.

Times are seconds since 1970. Nothing here knows what becomes of a record.
"""
