#!/usr/bin/sh
# The first process of a guest: sets it up, runs what /settings and /plan name, and says how it went on the second serial
# port, in lines that begin with @@@. The first one is the kernel's console.
# The shell is Debian's dash: that of a static busybox runs its own `ip`, `mount` … whatever the path says.
# Debian's kernels take programs on function exits.
export PATH=/usr/bin:/usr/sbin:/busybox HOME=/ TERM=dumb ZC_TRACE_TEST_FUNCTION_EXITS=1
/busybox/busybox mkdir -p /proc /sys /dev /run /tmp /mnt /disk/ext4 /disk/xfs
/busybox/busybox --install -s /busybox

say() { echo "@@@ $*" >/dev/ttyS1; }
must() { "$@" || say "cannot: $*"; }

mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs dev /dev
mkdir -p /dev/pts /dev/shm
mount -t devpts devpts /dev/pts
mount -t tmpfs tmpfs /dev/shm
mount -t tmpfs tmpfs /run
mount -t tracefs tracing /sys/kernel/tracing
exec </dev/null >/dev/console 2>&1
stty -F /dev/ttyS1 raw -echo
. /settings

# Whatever happens, the machine does not run for ever: nobody may be left to end it.
(sleep "$LIMIT" && say "late" && reboot -f) &

while read -r module; do must insmod "$module"; done </modules
must mount -t ext4 /dev/vda /disk/ext4
must mount -t xfs /dev/vdb /disk/xfs
chmod 1777 /tmp /disk/ext4 /disk/xfs

# Two network cards on one cable, for each driver that has them. The far end of it is the network namespace `peer`. Nobody but
# the scenarios is to send over it: no IPv6, and each end knows the other's address beforehand.
must ip link set lo up
must ip netns add peer
must ip -n peer link set lo up
cards() {
    for card in /sys/class/net/*/device; do
        [ "$(basename "$(readlink "$card/driver")")" = "$1" ] && basename "${card%/device}"
    done
}
cable() {
    near=$2 far=$3
    near_address=$(cat "/sys/class/net/$near/address")
    far_address=$(cat "/sys/class/net/$far/address")
    must ip link set "$far" netns peer
    must sh -c "echo 1 >/proc/sys/net/ipv6/conf/$near/disable_ipv6"
    must ip netns exec peer sh -c "echo 1 >/proc/sys/net/ipv6/conf/$far/disable_ipv6"
    must ip address add "10.99.$1.1/24" dev "$near"
    must ip link set "$near" up
    must ip neighbour add "10.99.$1.2" lladdr "$far_address" dev "$near" nud permanent
    must ip -n peer address add "10.99.$1.2/24" dev "$far"
    must ip -n peer link set "$far" up
    must ip -n peer neighbour add "10.99.$1.1" lladdr "$near_address" dev "$far" nud permanent
}
# shellcheck disable=SC2046
must cable 0 $(cards virtio_net)
# shellcheck disable=SC2046
[ -z "$(cards vmxnet3)" ] || cable 1 $(cards vmxnet3)

say "up $(uname -r)"
for form in typed raw; do
    say "doctor $form"
    zc-trace doctor --form "$form" 2>&1 | cat >/dev/ttyS1
done
while read -r name folder filters; do
    say "run $name"
    # Words, if there are any: names of tests hold no spaces.
    {
        # To a file: of a pipe only the last program's end is seen, and one that cannot start lists nothing.
        # shellcheck disable=SC2086
        "$SCENARIOS" --list --format terse $filters >/run/list
        code=$?
        sed -n 's/: test$//p' /run/list >/run/names
        if [ "$code" = 0 ]; then
            # Of all guests, so that what none of them ran is missed.
            echo "@@@ listed $(wc -l </run/names)"
            # The kernel's command line tells which share of the scenarios is this guest's.
            mine=$(awk -v shares="$SHARES" -v index_of_mine="$SHARE_INDEX" 'NR % shares == index_of_mine' /run/names)
            # Without a name it would run them all.
            # shellcheck disable=SC2086
            [ -z "$mine" ] || TMPDIR=$folder "$SCENARIOS" --color never --test-threads 1 --exact $mine
            code=$?
        fi
        echo "@@@ code $code"
    } 2>&1 | cat >/dev/ttyS1
done </plan
say "end"
sync
# Without it the port may be cut off.
sleep 0.2
reboot -f
