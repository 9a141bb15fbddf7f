"""`make bench`: backup and restore next to the peers, then the cut next to the disk's own fsync."""

from . import backup, cut

backup.main()
cut.main()
