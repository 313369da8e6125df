/*
 * What a program finds in its container, held against the `config.json` of its bundle, setting by setting, as the OCI's own `runtimetest` does: that is a Go program
 * which Debian does not have, so the looks here are our own.
 */
import { mkdirSync, readFileSync, readlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { expect, test } from 'vitest';
import { CAPABILITIES } from '#src/containerizer/bundle/capabilities.js';
import { ULIMITS } from '#src/containerizer/bundle/limits/ulimits.js';
import type { RuntimeSpecConfig } from '#src/containerizer/bundle/runtime-spec.js';
import type { LaunchOptions } from '#src/containerizer/index.js';
import { IMAGE, launchPath, storeWithBusybox } from '../helpers/containers.js';
import { describeWith } from '../helpers/requirements.js';
import { temporaryDirectory } from '../helpers/test-store.js';

/** What a container is launched with; a function of a directory of this machine. */
const SETTINGS: Readonly<Record<string, (source: string) => LaunchOptions>> = {
  'nothing said': () => ({}),
  'much asked for': (source) => ({
    env: { A: 'ä b', EMPTY: '', LINES: 'one\ntwo' },
    user: 'alice',
    workingDir: '/made/for/it',
    hostname: 'there',
    readOnly: true,
    addCapabilities: ['NET_ADMIN'],
    dropCapabilities: ['SETUID'],
    ulimits: { nofile: { soft: 64, hard: 128 }, core: { soft: 0, hard: 0 } },
    limits: { memoryBytes: 32 * 2 ** 20, pids: 30 },
    mounts: [
      { type: 'bind', source, target: '/data', readOnly: true, exec: false },
      { type: 'bind', source, target: '/open' },
      { type: 'tmpfs', target: '/scratch', sizeBytes: 65_536, mode: 0o700 },
    ],
  }),
  'much permitted': () => ({
    noNewPrivileges: false,
    seccomp: 'unconfined',
    network: 'host',
    addCapabilities: ['ALL'],
    user: '1234:4321',
  }),
};

/** What the first process says of itself; sections begin with `== `. */
const SAYS = `for f in status limits mountinfo oom_score_adj cgroup; do echo "== $f"; cat /proc/1/$f; done
  echo '== hostname'; cat /proc/sys/kernel/hostname; echo '== cwd'; ls -l /proc/1/cwd
  echo '== devices'; for d in null zero full random urandom tty; do stat -c '%n %F %t:%T %a' /dev/$d; done
  echo '== links'; for l in fd stdin stdout stderr ptmx; do ls -l /dev/$l; done`;

interface MountLine {
  readonly point: string;
  readonly options: readonly string[];
  readonly type: string;
  readonly superOptions: readonly string[];
}

/** A running container, with what it was configured to be. */
async function launched(runtime: 'crun' | 'runc', options: (source: string) => LaunchOptions) {
  const source = join(temporaryDirectory(), 'source');
  mkdirSync(source);
  writeFileSync(join(source, 'file'), '');
  const { containers, root } = await storeWithBusybox({ runtime });
  const { pid = 0, launchId } = await containers.launch('job', IMAGE, {
    ...options(source),
    command: ['sh', '-c', 'sleep 1000; exit "$1"', 'sh', 'ä', ''],
  });
  const config = JSON.parse(readFileSync(join(launchPath(root, launchId), 'bundle/config.json'), 'utf8'));
  const run = async (script: string) => {
    const { stdout, stderr, ended } = await containers.exec('job', ['sh', '-c', script]);
    const [output, errors] = await Promise.all([stdout, stderr].map((stream) => text(stream)));
    await ended;
    return { output: output ?? '', errors: errors ?? '' };
  };
  const { output } = await run(SAYS);
  const sections = new Map(
    output
      .split(/^== /m)
      .slice(1)
      .map((part) => {
        const [name = '', ...lines] = part.trimEnd().split('\n');
        return [name, lines] as const;
      }),
  );
  return { config: config as RuntimeSpecConfig, pid, run, said: (name: string) => sections.get(name) ?? [] };
}

const read = (pid: number | 'self', name: string) => readFileSync(`/proc/${pid}/${name}`, 'utf8');

function mountsIn(lines: readonly string[]): MountLine[] {
  return lines.map((line) => {
    const fields = line.split(' ');
    const separator = fields.indexOf('-');
    return {
      point: fields[4] ?? '',
      options: (fields[5] ?? '').split(','),
      type: fields[separator + 1] ?? '',
      superOptions: (fields[separator + 3] ?? '').split(','),
    };
  });
}

/** As `/proc/pid/status` shows a set. */
function maskOf(names: readonly string[]): string {
  const bits = names.reduce((all, name) => all | (1n << BigInt(CAPABILITIES.indexOf(name))), 0n);
  return bits.toString(16).padStart(16, '0');
}

/** Those that a mount has, and no other. */
const FLAGS = ['ro', 'nosuid', 'nodev', 'noexec'];
const flagsIn = (options: readonly string[]) =>
  FLAGS.filter((flag) => options.includes(flag) || options.includes(`r${flag}`));

for (const runtime of ['crun', 'runc'] as const) {
  describeWith(
    ['root', 'overlay', 'cgroups', 'busybox', runtime],
    `a container of ${runtime} is what its bundle says`,
    () => {
      test.each(Object.keys(SETTINGS))('with %s', async (setting) => {
        const { config, pid, run, said } = await launched(runtime, SETTINGS[setting] ?? (() => ({})));
        const { process: program, linux } = config;

        // Who it is, and what it may.
        const status = new Map(said('status').map((line) => line.split(/:\s*/, 2) as [string, string]));
        const four = (id: number) => Array(4).fill(id).join('\t');
        const { capabilities, user } = program;
        expect(Object.fromEntries(status)).toMatchObject({
          Uid: four(user.uid),
          Gid: four(user.gid),
          Umask: user.umask.toString(8).padStart(4, '0'),
          CapInh: maskOf(capabilities.inheritable),
          CapPrm: maskOf(capabilities.permitted),
          CapEff: maskOf(capabilities.effective),
          CapBnd: maskOf(capabilities.bounding),
          CapAmb: maskOf(capabilities.ambient),
          NoNewPrivs: program.noNewPrivileges ? '1' : '0',
          Seccomp: linux.seccomp === undefined ? '0' : '2',
        });
        const groups = (status.get('Groups') ?? '').split(' ').filter(Boolean).map(Number);
        expect(groups.filter((group) => group !== user.gid)).toEqual(
          user.additionalGids.filter((each) => each !== user.gid),
        );
        for (const { type, soft, hard } of program.rlimits ?? []) {
          const { title = '' } = ULIMITS[type.replace('RLIMIT_', '').toLowerCase()] ?? {};
          const line = said('limits').find((each) => each.startsWith(`${title} `)) ?? '';
          expect(line.slice(title.length).trim().split(/\s+/).slice(0, 2)).toEqual([String(soft), String(hard)]);
        }
        expect(said('oom_score_adj')).toEqual([read('self', 'oom_score_adj').trim()]);

        // What it was started with.
        expect(read(pid, 'cmdline').split('\0').slice(0, -1)).toEqual(program.args);
        expect(read(pid, 'environ').split('\0').slice(0, -1).sort()).toEqual([...program.env].sort());
        expect(said('cwd')[0]?.split(' -> ')[1]).toBe(program.cwd);
        expect(said('hostname')).toEqual([config.hostname]);

        // Where it is: namespaces of its own, but for those that are not named, and its cgroup.
        const own = linux.namespaces.map(({ type }) => ({ mount: 'mnt', network: 'net' })[type] ?? type).sort();
        const kinds = ['cgroup', 'ipc', 'mnt', 'net', 'pid', 'user', 'uts'];
        const differs = (kind: string) =>
          readlinkSync(`/proc/${pid}/ns/${kind}`) !== readlinkSync(`/proc/self/ns/${kind}`);
        expect(kinds.filter(differs)).toEqual(own);
        expect(read(pid, 'cgroup')).toContain(`${linux.cgroupsPath}\n`);
        expect(said('cgroup').join('\n')).not.toContain(linux.cgroupsPath);

        // What is mounted: all that was named, as was said, and nothing else.
        const mounts = mountsIn(said('mountinfo'));
        const at = (point: string) => mounts.findLast((mount) => mount.point === point);
        for (const { destination, type, options } of config.mounts.filter((mount) => mount.type !== 'cgroup')) {
          const mount = at(destination);
          if (type !== 'bind') expect([destination, mount?.type]).toEqual([destination, type]);
          const shown = mount?.options ?? [];
          expect([destination, flagsIn(shown).filter((flag) => flagsIn(options).includes(flag))]).toEqual([
            destination,
            flagsIn(options),
          ]);
          if (!flagsIn(options).includes('ro'))
            expect([destination, shown.includes('rw')]).toEqual([destination, true]);
          const size = options.find((option) => option.startsWith('size='));
          if (size !== undefined) {
            const kilobytes = size.endsWith('k') ? size.slice(5, -1) : String(Number(size.slice(5)) / 1024);
            expect(mount?.superOptions).toContain(`size=${kilobytes}k`);
          }
        }
        expect(at('/')?.options.includes('ro')).toBe(config.root.readonly);
        const named = [
          '/',
          ...config.mounts.map(({ destination }) => destination),
          ...linux.maskedPaths,
          ...linux.readonlyPaths,
        ];
        const others = mounts
          .map(({ point }) => point)
          .filter((point) => !named.includes(point) && !point.startsWith('/sys/fs/cgroup/'));
        expect(others).toEqual([]);

        // What it must not see, and what it must not write.
        const looks = linux.maskedPaths.map(
          (path) => `[ -d ${path} ] && ls -A ${path}; [ -f ${path} ] && cat ${path};`,
        );
        expect(await run(`${looks.join(' ')} true`)).toEqual({ output: '', errors: '' });
        const isWritable = linux.readonlyPaths.filter((path) => at(path)?.options.includes('rw'));
        expect(isWritable).toEqual([]);
        const there = await run(`for p in ${linux.readonlyPaths.join(' ')}; do [ -e $p ] && echo $p; done; true`);
        expect(there.output.split('\n').filter((path) => path !== '' && at(path) === undefined)).toEqual([]);

        // The devices that every container has.
        const numbers = ['null 1:3', 'zero 1:5', 'full 1:7', 'random 1:8', 'urandom 1:9', 'tty 5:0'];
        expect(said('devices')).toEqual(
          numbers.map((each) => `/dev/${each.replace(' ', ' character special file ')} 666`),
        );
        expect(said('links').map((line) => line.split(' -> ')[1])).toEqual([
          '/proc/self/fd',
          '/proc/self/fd/0',
          '/proc/self/fd/1',
          '/proc/self/fd/2',
          expect.stringMatching(/^(?:\/dev\/)?pts\/ptmx$/),
        ]);
      });

      test('and refuses what it does not say', async () => {
        const { run } = await launched(runtime, () => ({}));
        const attempts = [
          'mount -t tmpfs none /tmp',
          'mount -o remount,rw /sys',
          '/bin/busybox mknod /tmp/memory c 1 1',
          'echo 1 >/proc/sys/kernel/core_pattern',
          'echo b >/proc/sysrq-trigger',
          'echo 0 >/proc/1/oom_score_adj && echo -1000 >/proc/1/oom_score_adj',
          '/bin/busybox hostname another',
          '/bin/busybox unshare -m true',
          '/bin/busybox swapoff -a && /bin/busybox swapon /tmp/x',
          // It says so, and ends with 0.
          '[ -z "$(/bin/busybox date -s 2000-01-01 2>&1 >/dev/null)" ]',
          '/bin/busybox chroot /proc/1/root/../../.. test -e /run/provisioner',
          'ls /sys/fs/cgroup/*/tasks && mkdir /sys/fs/cgroup/made /sys/fs/cgroup/memory/made',
        ];
        const script = attempts.map((attempt, index) => `(${attempt}) >/dev/null 2>&1 && echo ${index}`).join('; ');
        expect((await run(`${script}; true`)).output).toBe('');
      });
    },
  );
}
