"""Results on disk: one folder a study, one append-only file of tagged lines a session.

A line is fsynced before the event that it announces (``started``, a cluster's ``opening``), or
after the files that it describes are safe (``run``). A folder named by the run's id holds large
files. Files of two machines merge by copying. The folder needs no index: reading it is fast.
"""

from bench.store.folder import Store
from bench.store.journal import Journal, storage_errors
from bench.store.reader import Results

__all__ = ["Journal", "Results", "Store", "storage_errors"]
