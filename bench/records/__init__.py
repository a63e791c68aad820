"""The records: what a study says and what a results file holds.

A missing value is absent (``None`` or no key), never 0. Records hold no user name, no home
folder, no absolute path, and no address of a host that the study does not name.
"""
