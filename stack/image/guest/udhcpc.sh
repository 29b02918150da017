#!/bin/sh
# What udhcpc calls with a lease: sets the address and the route, nothing else.
case $1 in
bound | renew)
    ifconfig "$interface" "$ip" netmask "${subnet:-255.255.255.0}" up
    for gateway in $router; do
        route add default gw "$gateway" dev "$interface"
        break
    done
    ;;
esac
