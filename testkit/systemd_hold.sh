# Holds a machine with its own systemd until standard input closes, then ends all of it.
#
# $1: a folder for the machine. $2: systemd's program. $3: the script that boots the machine.
# It runs in namespaces of its own for mounts, the network, IPC and the host name.
mount --make-rprivate /
mkdir "$1/cgroups" "$1/root"
mount -t cgroup2 none "$1/cgroups"
group=$1/cgroups$(sed -n 's/^0:://p' /proc/self/cgroup)/quictunnel-test-$$
mkdir "$group"
# The shell enters the group before the namespace is made, so that its group is the root there.
sh -c 'echo $$ >"$0/cgroup.procs" && exec unshare --cgroup --pid --mount --fork --kill-child "$@"' \
  "$group" sh -e "$3" "$1" "$2" </dev/null >"$1/console" 2>&1 &
echo "$!"
cat >/dev/null
kill -KILL "$!" || :
wait || :
# The kernel removes ended processes from their groups a moment later.
for attempt in 1 2 3 4 5 6 7 8 9 10; do
  find "$group" -depth -type d -exec rmdir {} + 2>/dev/null && exit
  sleep 0.1
done
exit 1
