#!/bin/busybox sh
# The first process of the virtual machine: what systemd would mount, then the checks, then the end.
/bin/busybox --install -s /bin
export PATH=/bin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs dev /dev
mount -t bpf bpf /sys/fs/bpf
mount -t cgroup2 cgroup2 /sys/fs/cgroup
for module in /modules/*; do
    [ -f "$module" ] && insmod "$module"
done
xtask kernels-inside
poweroff -f
