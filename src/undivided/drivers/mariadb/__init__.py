"""MariaDB 10.11 and newer: held by its own backup stages, kept as a physical image and its binary log.

The parts, from the bottom up:

    client          who we are on a server, one session, what its refusals mean
    programs        MariaDB's own programs as children that are believed only when they say so
    facts           what is asked of a server before anything else
    hold            BACKUP STAGE, quickly or not at all
    session         one part in a cut, by one of two ways:
      physical        image and binary log: image, xbstream, patience, binlog
      logical         a dump whose snapshot is opened inside the hold: gate
    restore         a point back to a data directory: private, configuration
    running         servers as processes
    driver          all of it, as drivers/base.py wants it
"""

from .driver import MariaDBDriver

__all__ = ["MariaDBDriver"]
