#!/bin/sh
# The power button: ask the worker to leave, give it 20 s, cut the power. A second press while the
# first is at work changes nothing.
mkdir /stopping 2>/dev/null || exit 0
echo "virtscale: power button pressed" >/dev/console
read -r worker </worker.pid
kill -TERM "$worker" 2>/dev/null
tenths=0
while [ -d "/proc/$worker" ] && [ $tenths -lt 200 ]; do
    usleep 100000
    tenths=$((tenths + 1))
done
echo "virtscale: powering off" >/dev/console
exec poweroff -f
