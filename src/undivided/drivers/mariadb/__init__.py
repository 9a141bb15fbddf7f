"""MariaDB 10.11 and newer: held by its own backup stages, kept as a physical image and its binary log.

The modules, from the bottom up:

    client          login, connection, and the hints for a server's errors
    programs        MariaDB's own programs as child processes whose success is checked
    server_facts    the settings and properties of a server, read before anything else
    hold            BACKUP STAGE, quickly or not at all
    session         one session in a cut, by one of two methods:
      physical        image and binary log: image, xbstream, lock_wait, binlog
      logical         a dump whose snapshot is opened inside the hold: proxy
    restore         a point back to a data directory: private_server, configuration
    processes       servers as processes
    driver          the class that implements drivers/base.py
"""

from .driver import MariaDBDriver

__all__ = ["MariaDBDriver"]
