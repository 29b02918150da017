#!/bin/sh
# PID 1 of a guest, in its initramfs. It stays there: the root file system is only entered by the
# worker. Every process started here costs 5 to 20 ms when the CPU is emulated, so there are few.
# The shell runs its applets through /proc, so the first one is named in full.
/bin/busybox mount -t proc proc /proc
mount -t devtmpfs dev /dev
exec </dev/console >/dev/console 2>&1

mark() {
    read -r seconds _ </proc/uptime
    echo "virtscale: $1 at ${seconds} s"
}
load() {
    while read -r module; do
        insmod "/modules/$module" || echo "virtscale: kernel module $module did not load"
    done <"/modules/$1"
}
mark "kernel up"
load early
mount -r -t ext4 /dev/vda /root || {
    echo "virtscale: the root disk cannot be mounted"
    exec poweroff -f
}
mark "root mounted"
mount -t sysfs sys /root/sys
mount -t proc proc /root/proc
mount -t tmpfs -o mode=1777,size=16m tmp /root/tmp
mount --bind /dev /root/dev
read -r arguments </proc/cmdline
case " $arguments " in
*" virtscale.network=dhcp "*) network=dhcp ;;
*)
    # QEMU's user-mode network is always this one; asking for it would take a second.
    ifconfig eth0 10.0.2.15 netmask 255.255.255.0 && route add default gw 10.0.2.2
    ;;
esac
late() {
    load late
    ifconfig lo 127.0.0.1
    if [ "$network" = dhcp ]; then
        ifconfig eth0 up
        udhcpc -i eth0 -s /bin/udhcpc.script -t 10 -T 1 -A 3 -S -b -q
    fi
    acpid -d -c /etc/acpi >/dev/null 2>&1 &
}
case " $arguments " in
*" virtscale.shell "*)
    late
    echo "A guest of virtscale. Its root is /root; the worker is not started. Ctrl-A x quits."
    setsid cttyhack sh
    exec poweroff -f
    ;;
esac
# With DHCP the worker has nobody to call before there is an address.
[ "$network" = dhcp ] && late
mark "worker starting"
while :; do
    chroot /root /usr/bin/python3 -I -S -B /srv/start.pyc &
    worker=$!
    echo "$worker" >/worker.pid
    if [ -z "$loaded" ]; then
        loaded=yes
        # Hello needs none of it, and every load would hold it up.
        [ "$network" = dhcp ] || { sleep 3 && late; } &
    fi
    wait "$worker"
    code=$?
    [ -e /stopping ] && while :; do sleep 60; done
    echo "virtscale: the worker ended with code $code; starting it again in 2 s"
    sleep 2
done
