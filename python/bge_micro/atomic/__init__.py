"""Files and folders that appear whole or not at all, also where other users can write.

What is new is written under a partial name beside its target, brought to the disk by fsync, renamed
onto the target, and then the folder that holds the name is brought to the disk. A crash, kill -9 or
a full disk at any moment leaves the old file as it was.

In a shared folder such as /tmp, where everybody can create files and the sticky bit keeps others'
hands off one's own, another user could prepare a file, link or pipe under a name that we are about
to open. Therefore:

- a partial name holds 64 random bits and is created, never opened: O_CREAT | O_EXCL | O_NOFOLLOW;
- a new file has its target's permissions before its first byte is written, so that nobody reads in
  the partial file what the target would not show; without a target the umask decides;
- a target that is a symbolic link stays a link, and the file that it points to is replaced; but a
  link that another user put into a sticky folder is refused, as Linux refuses to open it
  (protected_symlinks);
- what an earlier run has left (`find_own`) is found by listing the folder, and used only if it is a
  regular file or folder that we own, with one name only and not a link. Another user can create
  neither in our name; who can rename our files, in a shared folder without the sticky bit, is
  beyond any of this.

A writer holds a lock on its partial file. The next writer of the same target removes what has no
lock: what a killed one has left. The mode and group of a replaced file are kept; its owner is who
writes it.

On Windows there are no modes, links need a privilege, no folder can be synced, and open files can
be neither renamed nor removed, which takes the place of the lock.
"""

from __future__ import annotations

from bge_micro.atomic.files import create_file, lock, open_own, publish_file, sync_folder
from bge_micro.atomic.names import find_own, naming, partial_path, target_of
from bge_micro.atomic.whole import atomic_file, atomic_folder

__all__ = [
    "atomic_file",
    "atomic_folder",
    "create_file",
    "find_own",
    "lock",
    "naming",
    "open_own",
    "partial_path",
    "publish_file",
    "sync_folder",
    "target_of",
]
