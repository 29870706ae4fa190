#!/bin/busybox sh
# /init of the emulated machine: mounts its two disks, runs the command, tells the exit code on the
# second serial port, powers off.
busybox mount -t devtmpfs dev /dev
while read -r module; do
  busybox insmod "/modules/$module"
done </modules/order

busybox mount -t ext2 -o ro /dev/sda /root
busybox mount -t ext2 -o ro /dev/sdb /root/project
busybox mount -t proc proc /root/proc
busybox mount -t sysfs sys /root/sys
busybox mount -t tmpfs tmp /root/tmp
busybox mount -o move /dev /root/dev

busybox chroot /root /bin/busybox sh /project/command </root/dev/null >/root/dev/ttyS0 2>&1
echo $? >/root/dev/ttyS1
busybox poweroff -f
