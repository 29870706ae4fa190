#!/usr/bin/env bash
# avx512.sh [-- PYTHON-ARGUMENT ...]: the project on a CPU with AVX-512 and VNNI.
#
# QEMU does not emulate AVX-512; Bochs does, but only as a whole machine. So this boots Debian's
# kernel on Bochs, with the Python of root-amd64 on one disk and the project on another.
source "$(dirname "$0")/common.sh"

# Bochs without its debugger, which would make it ten times slower.
build_bochs() {
  private_apt amd64
  apt-get source -qq --download-only --tar-only bochs
  mkdir source
  tar -xf bochs_*.orig.tar.* -C source --strip-components=1
  cd source
  # Protection keys stay out: Linux would distrust Bochs' XSAVE sizes with them and drop AVX-512.
  ./configure --with-nogui --without-x --enable-x86-64 --enable-avx --enable-evex --enable-pci \
    --enable-all-optimizations --enable-handlers-chaining --disable-logging --disable-stats \
    --disable-docbook CXXFLAGS="-O3 -march=native" CFLAGS=-O2
  make -j "$(nproc)"
  cp bochs ..
  cd ..
  rm -r source apt bochs_*
}

# The machine's other parts: firmware, boot loader, kernel, and the tools of its first process.
fetch_parts() {
  local kernel deb
  private_apt amd64
  kernel=$(apt-cache show --no-all-versions linux-image-amd64 |
    sed -n 's/^Depends: \(linux-image-[^ ]*\).*/\1/p')
  apt-get download -qq bochsbios vgabios busybox-static isolinux syslinux-common "$kernel"
  for deb in *.deb; do
    dpkg -x "$deb" .
  done
  rm -r apt ./*.deb
  bin/busybox depmod -b . "${kernel#linux-image-}"
}

# make_disk IMAGE DIRECTORY: an ext2 file system of the directory, padded to whole disk cylinders.
make_disk() {
  local cylinder=516096 kilobytes inodes
  kilobytes=$(($(du -sk --apparent-size "$2" | cut -f1) * 5 / 4 + 16384))
  inodes=$(($(find "$2" | wc -l) + 1024))
  mke2fs -q -F -t ext2 -m 0 -b 4096 -N "$inodes" -d "$2" "$1" "${kilobytes}k" >/dev/null
  truncate -s %$cylinder "$1"
}

make_root_disk() {
  local root=$cache/root-amd64
  cp "$cache/parts/bin/busybox" "$root/bin/"
  "$root/usr/bin/python" -m compileall -q -s "$root" "$root"/usr/{,local/}lib/python3.11
  make_disk root.img "$root"
}

# Copies the modules that the named ones need into the initial file system, in loading order.
add_modules() {
  local modules=$1 name path
  shift
  for name in "$@"; do
    sed -n "s|^\(.*/$name\.ko\): *\(.*\)|\1 \2|p" "$modules/modules.dep" | tr ' ' '\n' | tac
  done | awk 'NF && !seen[$0]++' | while read -r path; do
    cp "$modules/$path" initial/modules/
    basename "$path" >>initial/modules/order
  done
}

make_boot_disc() {
  local parts=$cache/parts
  mkdir -p initial/{bin,dev,modules,root} disc/isolinux
  cp "$parts/bin/busybox" initial/bin/
  cp "$here/avx512_init.sh" initial/init
  chmod +x initial/init
  add_modules "$parts"/lib/modules/* ata_piix sd_mod crc32c_generic ext4
  (cd initial && find . | "$parts/bin/busybox" cpio -o -H newc) >disc/initrd 2>/dev/null
  cp "$parts"/boot/vmlinuz-* disc/vmlinuz
  cp "$parts/usr/lib/ISOLINUX/isolinux.bin" \
    "$parts/usr/lib/syslinux/modules/bios/ldlinux.c32" disc/isolinux/
  # Bochs has fast short moves (bit 580) but not fast string moves, a pair that no real CPU has and
  # that Linux' memmove crashes on. The time-stamp counter runs at the `ips` of avx512_machine.py.
  cat >disc/isolinux/isolinux.cfg <<CONFIG
default linux
label linux
kernel /vmlinuz
initrd /initrd
append console=ttyS0,115200 loglevel=0 panic=-1 mitigations=off clearcpuid=580 tsc_early_khz=1000000 tsc=reliable no_timer_check
CONFIG
  xorriso -as mkisofs -quiet -o boot.iso -b isolinux/isolinux.bin -c isolinux/boot.cat \
    -no-emul-boot -boot-load-size 4 -boot-info-table disc 2>/dev/null
}

make_project_disk() {
  local name
  mkdir -p project/repository
  cp -r "$cache/project-amd64-$checkout" project/package
  cp -r "$repository/pyproject.toml" "$repository/tests" project/repository/
  # Compiled here because compiling in the machine takes minutes.
  "$cache/root-amd64/usr/bin/python" -m compileall -q --invalidation-mode unchecked-hash project
  {
    echo "cd /project/repository"
    echo "export PATH=/usr/bin:/bin HOME=/tmp LANG=C.UTF-8 TERM=dumb COLUMNS=100 PYTHONPATH=/project/package"
    echo "export PYTEST_ADDOPTS='-p no:cacheprovider --assert=plain' PYTHONDONTWRITEBYTECODE=1"
    for name in ${!BGE_MICRO_*}; do
      echo "export $name=${!name@Q}"
    done
    echo "exec /usr/bin/python3.11 -u ${command[*]@Q}"
  } >project/command
  make_disk project.img project
}

split_arguments "$@"
make_root amd64
build_project amd64
need xorriso=xorriso mke2fs=e2fsprogs
once "$cache/bochs" build_bochs
once "$cache/parts" fetch_parts
once "$cache/root-disk" make_root_disk "$(cksum <"$cache/root-amd64/.recipe")"

run=$(mktemp -d "$cache/run.XXXXXX")
trap 'rm -rf "$run"' EXIT
cd "$run"
make_boot_disc
make_project_disk
"$host_python" "$here/avx512_machine.py" "$cache" boot.iso "$cache/root-disk/root.img" project.img
