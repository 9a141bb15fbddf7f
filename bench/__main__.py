"""`make bench`: backup and restore next to the peers, the cut next to the disk's own fsync, a large index."""

from . import backup, cut, index

backup.main()
cut.main()
index.main()
