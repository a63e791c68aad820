"""Results on disk: one folder a study, one append-only file of tagged lines a session.

A line is fsynced before what it announces happens (``started``, a cluster's ``opening``) or after
what it tells is safe (``run``). What is bulky lies in a folder named by the run's id. Files of two
machines merge by copying. The folder needs no index: reading it is fast enough.
"""

from bench.store.folder import Store
from bench.store.journal import Journal, storage_errors
from bench.store.reader import Results

__all__ = ["Journal", "Results", "Store", "storage_errors"]
