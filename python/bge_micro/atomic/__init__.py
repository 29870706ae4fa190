"""Files and folders that appear whole or not at all, also where other users can write.

A new file is written under a partial name beside its target and flushed to the disk (fsync). Then
it is renamed to the target, and the folder of the name is flushed. A crash, kill -9 or a full disk
at any moment leaves the old file as it was.

In a shared folder such as /tmp all users can create files, and the sticky bit keeps each user from
changing the files of others. There another user could prepare a file, link or pipe under a name
that we open later. Therefore:

- a partial name holds 64 random bits and is created, never opened: O_CREAT | O_EXCL | O_NOFOLLOW;
- a new file has its target's permissions before its first byte is written, so that no user can read
  in the partial file what the target would not show; without a target the umask decides;
- a target that is a symbolic link stays a link, and the file that it points to is replaced; but a
  link that another user put into a sticky folder is refused, as Linux refuses to open it
  (protected_symlinks);
- files of an earlier run (`find_own`) are found by listing the folder, and used only if they are
  regular files or folders that we own, with one name only and not links. No other user can create
  such a file in our name. In a shared folder without the sticky bit other users can rename our
  files; nothing here protects from that.

A writer holds a lock on its partial file. The next writer of the same target removes partial files
without a lock: their writers were killed. A new file keeps the mode and group of the file that it
replaces; its owner is the user who writes it.

On Windows there are no modes, links need a privilege, and no folder can be flushed. Open files
cannot be renamed or removed there, which replaces the lock.
"""

from __future__ import annotations

from bge_micro.atomic.files import (
    copy_access,
    create_file,
    lock,
    make_folder_of,
    open_own,
    publish_file,
    sync_folder,
)
from bge_micro.atomic.locks import lock_handle, unlock_handle
from bge_micro.atomic.names import find_own, followed, naming, partial_path, target_of
from bge_micro.atomic.whole import atomic_file, atomic_folder

__all__ = [
    "atomic_file",
    "atomic_folder",
    "copy_access",
    "create_file",
    "find_own",
    "followed",
    "lock",
    "lock_handle",
    "make_folder_of",
    "naming",
    "open_own",
    "partial_path",
    "publish_file",
    "sync_folder",
    "target_of",
    "unlock_handle",
]
