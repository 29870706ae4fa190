"""Boots the emulated machine, shows what its serial port says, and ends with its exit code."""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import time
from pathlib import Path

CYLINDER = 16 * 63 * 512  # bytes: heads x sectors a track x bytes a sector

# `ips` is how many instructions make one emulated second. A round figure near a real CPU's keeps
# time limits in tests meaningful; the emulation itself is far slower.
CONFIG = """\
config_interface: textconfig
display_library: nogui
cpu: model=corei7_icelake_u, count=1, ips=1000000000, reset_on_triple_fault=0
memory: guest=1536, host=1536
romimage: file={cache}/parts/usr/share/bochs/BIOS-bochs-latest
vgaromimage: file={cache}/parts/usr/share/vgabios/vgabios.bin
pci: enabled=1, chipset=i440fx
ata0: enabled=1, ioaddr1=0x1f0, ioaddr2=0x3f0, irq=14
ata0-master: type=disk, path={root_disk}, mode=volatile, cylinders={root_cylinders}, heads=16, spt=63
ata0-slave: type=disk, path={project_disk}, mode=volatile, cylinders={project_cylinders}, heads=16, spt=63
ata1: enabled=1, ioaddr1=0x170, ioaddr2=0x370, irq=15
ata1-master: type=cdrom, path={boot_disc}, status=inserted
boot: cdrom
com1: enabled=1, mode=term, dev={terminal}
clock: sync=none
log: bochs.log
panic: action=fatal
"""


def cylinders(disk: Path) -> int:
    count, rest = divmod(disk.stat().st_size, CYLINDER)
    if rest:
        raise SystemExit(f"{disk}: {rest} bytes beyond whole cylinders of {CYLINDER}")
    return count


def serial_lines(emulator: subprocess.Popen[bytes], port: int):
    """Yields the lines of the serial port until the emulator ends."""
    os.set_blocking(port, False)
    pending = b""
    while True:
        ended = emulator.poll() is not None
        try:
            pending += os.read(port, 65536)
        except BlockingIOError:
            if ended:
                break
            time.sleep(0.05)
        *lines, pending = pending.split(b"\n")
        for line in lines:
            yield line.decode(errors="replace").rstrip("\r")
    if pending:
        yield pending.decode(errors="replace")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("cache", "boot_disc", "root_disk", "project_disk"):
        parser.add_argument(name, type=Path)
    given = parser.parse_args()

    # The serial port is a pseudo-terminal: Bochs buffers what it writes to a plain file.
    port, terminal = os.openpty()
    Path("bochsrc").write_text(
        CONFIG.format(
            **vars(given),
            root_cylinders=cylinders(given.root_disk),
            project_cylinders=cylinders(given.project_disk),
            terminal=os.ttyname(terminal),
        )
    )
    started = time.monotonic()
    with Path("screen.txt").open("wb") as screen:
        emulator = subprocess.Popen(
            [given.cache / "bochs" / "bochs", "-q", "-f", "bochsrc"],
            stdin=subprocess.DEVNULL,
            stdout=screen,
            stderr=screen,
        )
    exit_code = None
    try:
        for line in serial_lines(emulator, port):
            if told := re.fullmatch(r"exit code (\d+)", line):
                exit_code = int(told[1])
            else:
                print(line, flush=True)
    finally:
        emulator.kill()
        emulator.wait()
    print(f"== {time.monotonic() - started:.0f} s", flush=True)
    if exit_code is None:
        print("the machine stopped early:", Path("screen.txt").read_text()[-2000:], file=sys.stderr)
        return 2
    return exit_code


if __name__ == "__main__":
    sys.exit(main())
