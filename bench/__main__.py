"""`make bench`: backup and restore next to the peers, the cut next to the disk's own fsync, a large index,
and a distant bucket next to a directory."""

from . import backup, cut, index, s3

backup.main()
cut.main()
index.main()
s3.main()
