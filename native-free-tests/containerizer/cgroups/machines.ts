/** What machines of different kinds say of their cgroups: `/proc/self/mountinfo` without what has nothing to do with them, and `/proc/self/cgroup`. */
export interface Machine {
  readonly mountinfo: string;
  readonly selfCgroup: string;
}

/** Each controller in a hierarchy of its own, and version 2 without any; this process has a memory limit of its own. */
export const HYBRID: Machine = {
  mountinfo: `\
23 1 254:0 / / rw,relatime - ext4 /dev/vda rw
24 23 0:22 / /sys rw,relatime - sysfs sysfs rw
31 24 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755
32 31 0:29 / /sys/fs/cgroup/cpu rw,relatime - cgroup cgroup rw,cpu
33 31 0:30 / /sys/fs/cgroup/cpuacct rw,relatime - cgroup cgroup rw,cpuacct
34 31 0:31 / /sys/fs/cgroup/cpuset rw,relatime - cgroup cgroup rw,cpuset
35 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory
36 31 0:33 / /sys/fs/cgroup/devices rw,relatime - cgroup cgroup rw,devices
37 31 0:34 / /sys/fs/cgroup/freezer rw,relatime - cgroup cgroup rw,freezer
38 31 0:35 / /sys/fs/cgroup/blkio rw,relatime - cgroup cgroup rw,blkio
39 31 0:36 / /sys/fs/cgroup/pids rw,relatime - cgroup cgroup rw,pids
40 31 0:37 / /sys/fs/cgroup/systemd rw,relatime - cgroup cgroup rw,name=systemd
41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw
`,
  selfCgroup: `\
9:name=systemd:/
8:pids:/
7:blkio:/
6:freezer:/
5:devices:/
4:memory:/worker/9f4d3544
3:cpuset:/
2:cpuacct:/
1:cpu:/
0::/
`,
};

/** The same without version 2. */
export const VERSION_1: Machine = {
  mountinfo: HYBRID.mountinfo.replace(/^41 .*\n/m, ''),
  selfCgroup: HYBRID.selfCgroup.replace(/^0::.*\n/m, ''),
};

/** systemd's hybrid, as of Debian 10 and Ubuntu 20.04: controllers together in a hierarchy, version 2 mounted before them. */
export const SYSTEMD_HYBRID: Machine = {
  mountinfo: `\
22 28 0:20 / /sys rw,nosuid,nodev,noexec,relatime shared:7 - sysfs sysfs rw
28 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
32 22 0:26 / /sys/fs/cgroup ro,nosuid,nodev,noexec shared:9 - tmpfs tmpfs ro,mode=755
33 32 0:27 / /sys/fs/cgroup/unified rw,nosuid,nodev,noexec,relatime shared:10 - cgroup2 cgroup2 rw,nsdelegate
34 32 0:28 / /sys/fs/cgroup/systemd rw,nosuid,nodev,noexec,relatime shared:11 - cgroup cgroup rw,xattr,name=systemd
38 32 0:32 / /sys/fs/cgroup/net_cls,net_prio rw,nosuid,nodev,noexec,relatime shared:16 - cgroup cgroup rw,net_cls,net_prio
39 32 0:33 / /sys/fs/cgroup/freezer rw,nosuid,nodev,noexec,relatime shared:17 - cgroup cgroup rw,freezer
40 32 0:34 / /sys/fs/cgroup/pids rw,nosuid,nodev,noexec,relatime shared:18 - cgroup cgroup rw,pids
41 32 0:35 / /sys/fs/cgroup/cpu,cpuacct rw,nosuid,nodev,noexec,relatime shared:19 - cgroup cgroup rw,cpu,cpuacct
42 32 0:36 / /sys/fs/cgroup/memory rw,nosuid,nodev,noexec,relatime shared:20 - cgroup cgroup rw,memory
43 32 0:37 / /sys/fs/cgroup/cpuset rw,nosuid,nodev,noexec,relatime shared:21 - cgroup cgroup rw,cpuset
44 32 0:38 / /sys/fs/cgroup/blkio rw,nosuid,nodev,noexec,relatime shared:22 - cgroup cgroup rw,blkio
`,
  selfCgroup: `\
10:blkio:/user.slice
8:memory:/user.slice/user-0.slice/session-3.scope
7:cpu,cpuacct:/user.slice
1:name=systemd:/user.slice/user-0.slice/session-3.scope
0::/user.slice/user-0.slice/session-3.scope
`,
};

/** Debian 12, logged in as an ordinary user. */
export const VERSION_2: Machine = {
  mountinfo: `\
22 28 0:20 / /sys rw,nosuid,nodev,noexec,relatime shared:7 - sysfs sysfs rw
28 1 254:1 / / rw,relatime shared:1 - ext4 /dev/vda1 rw,errors=remount-ro
29 22 0:6 / /sys/kernel/security rw,nosuid,nodev,noexec,relatime shared:8 - securityfs securityfs rw
30 22 0:26 / /sys/fs/cgroup rw,nosuid,nodev,noexec,relatime shared:9 - cgroup2 cgroup2 rw,nsdelegate,memory_recursiveprot
31 22 0:27 / /sys/fs/pstore rw,nosuid,nodev,noexec,relatime shared:10 - pstore pstore rw
`,
  selfCgroup: '0::/user.slice/user-1000.slice/user@1000.service/app.slice/run-u7.scope\n',
};

/** In a container of Docker with cgroups of version 1: its own cgroup is the root of each mount, and read-only. */
export const DOCKER_VERSION_1: Machine = {
  mountinfo: `\
720 600 0:66 / / rw,relatime - overlay overlay rw,lowerdir=/l,upperdir=/u,workdir=/w
724 720 0:70 / /sys ro,nosuid,nodev,noexec,relatime - sysfs sysfs ro
725 724 0:71 / /sys/fs/cgroup rw,nosuid,nodev,noexec,relatime - tmpfs tmpfs rw,mode=755
726 725 0:28 /docker/4f2c /sys/fs/cgroup/systemd ro,nosuid,nodev,noexec,relatime master:11 - cgroup cgroup rw,xattr,name=systemd
727 725 0:34 /docker/4f2c /sys/fs/cgroup/pids ro,nosuid,nodev,noexec,relatime master:18 - cgroup cgroup rw,pids
728 725 0:36 /docker/4f2c /sys/fs/cgroup/memory ro,nosuid,nodev,noexec,relatime master:20 - cgroup cgroup rw,memory
`,
  selfCgroup: '8:memory:/docker/4f2c\n4:pids:/docker/4f2c\n1:name=systemd:/docker/4f2c\n',
};

/** In a privileged container of Docker with cgroups of version 2, and a cgroup namespace. */
export const DOCKER_VERSION_2: Machine = {
  mountinfo: `\
720 600 0:66 / / rw,relatime - overlay overlay rw,lowerdir=/l,upperdir=/u,workdir=/w
724 720 0:70 / /sys rw,nosuid,nodev,noexec,relatime - sysfs sysfs rw
725 724 0:26 / /sys/fs/cgroup rw,nosuid,nodev,noexec,relatime - cgroup2 cgroup rw,nsdelegate
`,
  selfCgroup: '0::/\n',
};

export const NONE: Machine = { mountinfo: '28 1 254:1 / / rw,relatime - ext4 /dev/vda1 rw\n', selfCgroup: '' };
