import { execFileSync } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { expect, it, onTestFinished } from 'vitest';
import type { LaunchSpec } from '#src/containerizer/launch-spec.js';
import { describeWith } from '../helpers/requirements.js';
import { IMAGE, placeWithBusybox, runBundle } from './run-bundle.js';

const sh = (script: string, spec: LaunchSpec = {}): LaunchSpec => ({ ...spec, command: ['sh', '-c', script] });

/** @returns the lines that a script prints in a container of its own */
async function linesOf(script: string, spec: LaunchSpec = {}, place = placeWithBusybox()): Promise<string[]> {
  const { output, errors, status } = await runBundle(place, sh(script, spec));
  expect({ errors, status }).toEqual({ errors: '', status: 0 });
  return output.trimEnd().split('\n');
}

describeWith(['root', 'crun', 'busybox', 'mount'], 'a bundle that crun runs', () => {
  it('runs the program with what was asked for, in a root filesystem that has nothing but it', async () => {
    const place = placeWithBusybox();
    mkdirSync(join(place.rootfs, 'etc'));
    writeFileSync(
      join(place.rootfs, 'etc/passwd'),
      'root:x:0:0::/root:/bin/sh\nalice:x:1000:1001::/home/alice:/bin/sh\n',
    );
    writeFileSync(join(place.rootfs, 'etc/group'), 'staff:x:50:alice\nalice:x:1001:\n');
    const lines = await linesOf(
      'id -u; id -g; id -G; pwd; echo "$A $HOME $HOSTNAME"; hostname; umask; cat /etc/hostname; grep -c job-1 /etc/hosts',
      { user: 'alice', workingDir: '/made/for it', env: { A: 'ä b' } },
      place,
    );
    expect(lines).toEqual([
      '1000',
      '1001',
      '1001 50',
      '/made/for it',
      'ä b /home/alice job-1',
      'job-1',
      '0022',
      'job-1',
      '1',
    ]);
  });

  it('gives its exit code', async () => {
    expect((await runBundle(placeWithBusybox(), sh('exit 7'))).status).toBe(7);
  });

  it('gives root the default capabilities, and another user none, and nobody new ones', async () => {
    const status = "grep -E '^(Cap|NoNewPrivs)' /proc/self/status | sed 's/\\t/ /'";
    const valuesOf = (lines: string[]) => Object.fromEntries(lines.map((line) => line.split(/:\s*/)));
    // CHOWN, DAC_OVERRIDE, FOWNER, FSETID, KILL, SETGID, SETUID, SETPCAP, NET_BIND_SERVICE, SYS_CHROOT and SETFCAP, by their numbers.
    const bits = [0, 1, 3, 4, 5, 6, 7, 8, 10, 18, 31].reduce((all, bit) => all | (1n << BigInt(bit)), 0n);
    const set = bits.toString(16).padStart(16, '0');
    const none = '0'.repeat(16);
    const root = valuesOf(await linesOf(status));
    expect(root).toEqual({ CapInh: none, CapPrm: set, CapEff: set, CapBnd: set, CapAmb: none, NoNewPrivs: '1' });
    const nobody = valuesOf(await linesOf(status, { user: '65534' }));
    expect(nobody).toMatchObject({ CapEff: none, CapPrm: none, CapBnd: set });
    const admin = valuesOf(await linesOf(status, { user: '65534', addCapabilities: ['NET_ADMIN'] }));
    expect(admin).toMatchObject({ CapEff: '0000000000001000', CapAmb: '0000000000001000' });
    const dropped = valuesOf(await linesOf(status, { dropCapabilities: ['ALL'], noNewPrivileges: false }));
    expect(dropped).toMatchObject({ CapBnd: none, NoNewPrivs: '0' });
  });

  it('has namespaces and devices of its own', async () => {
    const lines = await linesOf(
      'echo $$; ip link | grep -c "^[0-9]*:"; ls /dev; cat /proc/self/cgroup | grep -c provisioner; nproc >/dev/null; true',
    );
    expect(lines.slice(0, 2)).toEqual(['1', '1']);
    expect(lines).toEqual(
      expect.arrayContaining(['null', 'zero', 'full', 'random', 'urandom', 'tty', 'ptmx', 'shm', 'mqueue']),
    );
    expect(lines).not.toEqual(expect.arrayContaining([expect.stringMatching(/^(sd|vd|loop|mem|kmsg|fuse)/)]));
  });

  it('cannot use another device, not even one that it has made', async () => {
    const script = 'mknod /memory c 1 1; head -c 1 /memory 2>&1; mknod /nothing c 1 3; head -c 1 /nothing | wc -c';
    expect(await linesOf(script, { addCapabilities: ['MKNOD'] })).toEqual([
      expect.stringContaining('Operation not permitted'),
      '0',
    ]);
  });

  it('hides what the kernel tells of the machine, and keeps settings from being written', async () => {
    const lines = await linesOf(
      `for f in /proc/acpi /proc/keys /proc/timer_list /proc/kcore /sys/firmware /sys/dev/block; do [ -d $f ] && ls -A $f; [ -f $f ] && cat $f; done
       cat /proc/keys | wc -c; for f in /proc/sys/kernel/hostname /proc/sys/vm/swappiness /sys/kernel/x; do touch $f 2>&1; done; true`,
    );
    expect(readFileSync('/proc/keys', 'latin1')).not.toBe('');
    expect(lines[0]).toBe('0');
    expect(lines.slice(1)).toEqual(Array(3).fill(expect.stringContaining('Read-only file system')));
  });

  it('mounts what was asked for, as was asked for', async () => {
    const place = placeWithBusybox();
    const source = join(place.directory, 'source');
    mkdirSync(source);
    writeFileSync(join(source, 'file'), 'from the host\n');
    writeFileSync(join(source, 'tool'), '#!/bin/sh\necho ran\n', { mode: 0o755 });
    const lines = await linesOf(
      `cat /data/file /one; touch /data/x 2>&1; touch /rw/made && /rw/tool; /data/tool 2>&1; stat -c %a /scratch
       cp /rw/tool /scratch/t; /scratch/t 2>&1; dd if=/dev/zero of=/scratch/big bs=1k count=100 2>&1 | grep -o 'No space.*'; true`,
      {
        mounts: [
          { type: 'bind', source, target: '/data', readOnly: true, exec: false },
          { type: 'bind', source, target: '/rw' },
          { type: 'bind', source: join(source, 'file'), target: '/one' },
          { type: 'tmpfs', target: '/scratch', sizeBytes: 65536, mode: 0o700 },
        ],
      },
      place,
    );
    expect(lines).toEqual([
      'from the host',
      'from the host',
      expect.stringContaining('Read-only file system'),
      'ran',
      expect.stringContaining('Permission denied'),
      '700',
      expect.stringContaining('Permission denied'),
      'No space left on device',
    ]);
    expect(existsSync(join(source, 'made'))).toBe(true);
  });

  it('keeps what is mounted below a read-only source from being written too', async () => {
    const shm = await linesOf('touch /host/shm/provisioner-test-x 2>&1; true', {
      mounts: [{ type: 'bind', source: '/dev', target: '/host', readOnly: true }],
    });
    expect(shm).toEqual([expect.stringContaining('Read-only file system')]);
    expect(existsSync('/dev/shm/provisioner-test-x')).toBe(false);
  });

  it('does not let a read-only root filesystem be written, but for its scratch memory', async () => {
    const place = placeWithBusybox();
    const lines = await linesOf(
      'touch /x 2>&1; touch /etc/hosts 2>&1; for d in /tmp /var/tmp /run /dev/shm; do touch $d/x && echo $d; done',
      { readOnly: true },
      place,
    );
    expect(lines).toEqual([
      expect.stringContaining('Read-only file system'),
      expect.stringContaining('Read-only file system'),
      '/tmp',
      '/var/tmp',
      '/run',
      '/dev/shm',
    ]);
    expect(readdirSync(join(place.rootfs, 'tmp'))).toEqual([]);
  });

  it('mounts below what it has mounted, and on the scratch memory of a read-only root filesystem', async () => {
    const place = placeWithBusybox();
    const source = join(place.directory, 'source');
    mkdirSync(source);
    for (const directory of ['etc', 'var']) mkdirSync(join(place.rootfs, directory));
    symlinkSync('../run/systemd/resolve/stub-resolv.conf', join(place.rootfs, 'etc/resolv.conf'));
    symlinkSync('/run', join(place.rootfs, 'var/run'));
    writeFileSync(join(source, 'file'), 'text\n');
    const lines = await linesOf(
      'cat /etc/resolv.conf /run/a/b /data/file; touch /data/cache/x && ls /data',
      {
        readOnly: true,
        dns: ['192.0.2.53'],
        mounts: [
          { type: 'tmpfs', target: '/data/cache' },
          { type: 'bind', source: join(source, 'file'), target: '/var/run/a/b' },
          { type: 'bind', source, target: '/data' },
        ],
      },
      place,
    );
    expect(lines).toEqual(['nameserver 192.0.2.53', 'text', 'text', 'cache', 'file']);
    expect(existsSync(join(place.rootfs, 'run/systemd'))).toBe(false);
    expect(readdirSync(join(source, 'cache'))).toEqual([]);
  });

  it('runs in a root filesystem that is mounted read-only, when that has what has to be there', async () => {
    const place = placeWithBusybox();
    for (const name of ['proc', 'sys']) mkdirSync(join(place.rootfs, name));
    const options = { isRootfsReadOnly: true };
    const mounted = async (script: string) => {
      execFileSync('mount', ['--bind', place.rootfs, place.rootfs]);
      try {
        execFileSync('mount', ['-o', 'remount,bind,ro', place.rootfs]);
        return await runBundle(place, sh(script, { readOnly: true }), options);
      } finally {
        execFileSync('umount', [place.rootfs]);
      }
    };
    await expect(mounted('true')).rejects.toMatchObject({ code: 'ERR_READ_ONLY' });
    mkdirSync(join(place.rootfs, 'dev'));
    // Without the files of ours, since there is no place for them.
    expect(await mounted('ls -d /etc /data 2>/dev/null; touch /x 2>&1; hostname')).toMatchObject({
      errors: '',
      output: expect.stringMatching(/^touch: .*Read-only file system\njob-1\n$/),
    });
  });

  it('runs behind an init of the host', async () => {
    const place = placeWithBusybox();
    // Any static program will do that passes its arguments on.
    const init = join(place.directory, 'init');
    writeFileSync(init, '#!/bin/sh\nshift\necho "$$ $*"\nexec "$@"\n', { mode: 0o755 });
    const run = await runBundle(place, { init: true, command: ['echo', 'hi'] }, { initProgram: init });
    expect(run).toMatchObject({ errors: '', output: '1 echo hi\nhi\n' });
  });

  it('has the network of the host, and no settings of it to write, when that is asked for', async () => {
    const lines = await linesOf('touch /sys/x 2>&1; mount | grep -c " /sys type sysfs (ro"; cat /etc/resolv.conf', {
      network: 'host',
    });
    expect(lines.slice(0, 2)).toEqual([expect.stringContaining('Read-only'), '1']);
    expect(lines.slice(2).join('\n')).toBe(readFileSync('/etc/resolv.conf', 'utf8').trimEnd());
  });

  it('limits what it may use', async () => {
    const lines = await linesOf(
      'ulimit -n; ulimit -Hn; cat /sys/fs/cgroup/memory/memory.limit_in_bytes /sys/fs/cgroup/memory.max 2>/dev/null; cat /sys/fs/cgroup/pids/pids.max /sys/fs/cgroup/pids.max 2>/dev/null; true',
      {
        ulimits: { nofile: { soft: 64, hard: 128 } },
        limits: { memoryBytes: 32 * 2 ** 20, pids: 20, cpus: 0.5, cpuset: '0' },
      },
    );
    expect(lines).toEqual(['64', '128', '33554432', '20']);
  });
});

/** Not below /dev, where no link of an image may lead, though the tests' own place may be there. */
function hostDirectory(): string {
  const directory = mkdtempSync('/var/tmp/provisioner-host-');
  onTestFinished(() => rmSync(directory, { recursive: true, force: true }));
  return directory;
}

describeWith(['root', 'crun', 'busybox'], 'an image with links out', () => {
  it.each(['dev', 'proc', 'sys'])('instead of /%s is refused, and nothing is made where they lead', async (name) => {
    const place = placeWithBusybox();
    const host = join(place.directory, 'host');
    mkdirSync(host);
    symlinkSync(host, join(place.rootfs, name));
    await expect(runBundle(place, sh('true'))).rejects.toMatchObject({ code: 'ERR_MOUNT_TARGET' });
    expect(readdirSync(host)).toEqual([]);
  });

  it('instead of /etc, or of a target, has them inside, and the host gets nothing', async () => {
    const place = placeWithBusybox();
    const host = hostDirectory();
    symlinkSync(host, join(place.rootfs, 'etc'));
    symlinkSync(`../../../../../..${host}`, join(place.rootfs, 'data'));
    const spec: LaunchSpec = { mounts: [{ type: 'tmpfs', target: '/data/x' }] };
    const lines = await linesOf('cat /etc/hostname; touch /data/x/file; mount | grep "/x type tmpfs"', spec, place);
    expect(lines).toEqual(['job-1', expect.stringContaining(` on ${host}/x type tmpfs`)]);
    expect(readdirSync(host)).toEqual([]);
    expect(readdirSync(join(place.rootfs, host)).sort()).toEqual(['hostname', 'hosts', 'resolv.conf', 'x']);
  });

  it('instead of the working directory has it made inside', async () => {
    const place = placeWithBusybox();
    const host = hostDirectory();
    symlinkSync(host, join(place.rootfs, 'w'));
    const image = { ...IMAGE, workingDir: '/w/dir' };
    const run = await runBundle(place, sh('pwd -P'), { image });
    expect(run).toMatchObject({ errors: '', output: `${host}/dir\n`, status: 0 });
    expect(readdirSync(host)).toEqual([]);
    expect(readdirSync(join(place.rootfs, host))).toEqual(['dir']);
  });

  it('with a device, a pipe or a vast file of users has no user by name, at once', async () => {
    const odd: Record<string, (path: string) => void> = {
      device: (path) => execFileSync('mknod', [path, 'c', '1', '5']),
      pipe: (path) => execFileSync('mkfifo', [path]),
      vast: (path) => {
        writeFileSync(path, '');
        truncateSync(path, 2 ** 40);
      },
      process: (path) => symlinkSync('/proc/1/root/etc/passwd', path),
    };
    for (const make of Object.values(odd)) {
      const place = placeWithBusybox();
      mkdirSync(join(place.rootfs, 'etc'));
      make(join(place.rootfs, 'etc/passwd'));
      await expect(runBundle(place, sh('true', { user: 'daemon' }))).rejects.toMatchObject({
        code: 'ERR_USER_UNKNOWN',
      });
      // A program that looked for the user's name in there would not end; this one does not.
      const lines = await linesOf('grep ^Uid /proc/self/status; echo $HOME', { user: '1' }, place);
      expect(lines).toEqual(['Uid:\t1\t1\t1\t1', '/']);
    }
  });

  it('to descriptors of the runtime cannot be where the program begins', async () => {
    const place = placeWithBusybox();
    symlinkSync('/proc/self/fd/7', join(place.rootfs, 'w'));
    await expect(runBundle(place, sh('true', { workingDir: '/w' }))).rejects.toMatchObject({ code: 'ERR_WORKING_DIR' });
  });
});
