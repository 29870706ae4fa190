"""Boots the emulated machine, shows what its serial port says, and ends with its exit code."""

from __future__ import annotations

import argparse
import os
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
ata0-master: type=disk, mode=volatile, {root_disk}
ata0-slave: type=disk, mode=volatile, {project_disk}
ata1: enabled=1, ioaddr1=0x170, ioaddr2=0x370, irq=15
ata1-master: type=cdrom, path={boot_disc}, status=inserted
boot: cdrom
com1: enabled=1, mode=term, dev={terminal}
com2: enabled=1, mode=file, dev=exit_code
clock: sync=none
log: bochs.log
panic: action=fatal
"""


def disk_options(image: Path) -> str:
    cylinders, rest = divmod(image.stat().st_size, CYLINDER)
    if rest:
        raise SystemExit(f"{image}: {rest} bytes beyond whole cylinders of {CYLINDER}")
    return f"path={image}, cylinders={cylinders}, heads=16, spt=63"


def show_serial_port(emulator: subprocess.Popen[bytes], port: int) -> None:
    """Copy what comes out of the port to standard output until the emulator ends."""
    os.set_blocking(port, False)
    while True:
        ended = emulator.poll() is not None
        try:
            sys.stdout.buffer.write(os.read(port, 65536).replace(b"\r", b""))
            sys.stdout.buffer.flush()
        except BlockingIOError:
            if ended:
                return
            time.sleep(0.05)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("cache", "boot_disc", "root_disk", "project_disk"):
        parser.add_argument(name, type=Path)
    given = parser.parse_args()

    # The serial port is a pseudo-terminal: Bochs buffers what it writes to a plain file.
    port, terminal = os.openpty()
    Path("bochsrc").write_text(
        CONFIG.format(
            cache=given.cache,
            boot_disc=given.boot_disc,
            root_disk=disk_options(given.root_disk),
            project_disk=disk_options(given.project_disk),
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
    try:
        show_serial_port(emulator, port)
    finally:
        emulator.kill()
        emulator.wait()
    print(f"== Ice Lake: {time.monotonic() - started:.0f} s", flush=True)
    exit_code = Path("exit_code")  # Bochs makes the file when the first byte comes
    if not exit_code.exists():
        print("the machine stopped early:", Path("screen.txt").read_text()[-2000:], file=sys.stderr)
        return 2
    return int(exit_code.read_text())


if __name__ == "__main__":
    sys.exit(main())
