# Builds a root file system in memory, and becomes systemd on it.
#
# $1: the machine's folder, with `root`, `units` and files to mount as `tree` says. $2: systemd's
# program. It is the first process of namespaces for processes, mounts and control groups.
root=$1/root
mount -t tmpfs -o mode=755 tmpfs "$root"
cd "$root"
mkdir -p dev etc home old opt proc root run sys tmp usr var/lib var/log
chmod 1777 tmp
mount --rbind -o ro /usr usr
for name in bin lib lib32 lib64 sbin; do
  if [ -L "/$name" ]; then
    cp -P "/$name" "$name"
  elif [ -d "/$name" ]; then
    mkdir "$name"
    mount --rbind -o ro "/$name" "$name"
  fi
done
for name in group hosts ld.so.cache localtime nsswitch.conf os-release passwd; do
  if [ -e "/etc/$name" ]; then cp -L "/etc/$name" "etc/$name"; fi
done
mount -t tmpfs -o mode=755 tmpfs dev
for name in full null random tty urandom zero; do
  : >"dev/$name"
  mount --bind "/dev/$name" "dev/$name"
done
: >dev/console
mount --bind "$1/console" dev/console
ln -s pts/ptmx dev/ptmx
mount -t proc proc proc
mount -t sysfs sysfs sys
mount -t cgroup2 none sys/fs/cgroup
ip link set lo up
cp -r "$1/files/." .
tab=$(printf "\t")
while IFS=$tab read -r source target; do
  mkdir -p "./$target"
  mount --rbind "$source" "./$target"
  mount -o remount,bind,ro "./$target"
done <"$1/mounts"
pivot_root . old
cd /
umount -l old
rmdir old
# systemd passes credentials on through shared mounts. In a container, it does not share them itself.
mount --make-rshared /
# Only its own units: those of this host would start what nothing here needs.
exec env -i PATH="$PATH" container=other SYSTEMD_UNIT_PATH=/etc/systemd/system \
  SYSTEMD_GENERATOR_PATH=/none "$2" --system --unit=multi-user.target --show-status=no
