import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import type { OciSeccomp } from '#src/system/seccomp/oci-seccomp.js';

export interface CrunContainer {
  readonly seccomp?: OciSeccomp | undefined;
  readonly annotations?: Readonly<Record<string, string>> | undefined;
  readonly capabilities: readonly string[];
  /** Of Perl, which this machine has, and `syscall` with it. */
  readonly script: string;
}

/** What of this machine its programs need. */
const SHARED = ['/usr', '/bin', '/lib', '/lib64'];

/** crun 1.8 refuses cgroups of both versions beside each other, so that of version 2 is taken out of its sight. It needs none here. */
const WITHOUT_HYBRID = 'umount /sys/fs/cgroup/unified 2>/dev/null; exec crun --cgroup-manager disabled "$@"';

/** Runs a script in a container by crun. @param whileRunning is called with the pid of its first process once the script has said `ready`, which it then does; it goes on when its input ends @returns what it printed */
export async function runByCrun(
  { seccomp, annotations, capabilities, script }: CrunContainer,
  whileRunning?: (pid: number) => void | Promise<void>,
): Promise<string> {
  const place = mkdtempSync(join(tmpdir(), 'provisioner-crun-'));
  try {
    for (const directory of ['dev', 'proc', ...SHARED.map((path) => path.slice(1))])
      mkdirSync(join(place, 'rootfs', directory), { recursive: true });
    const bind = (path: string) => ({ destination: path, source: path, type: 'bind', options: ['rbind', 'ro'] });
    const config = {
      ociVersion: '1.0.2',
      annotations,
      process: {
        user: { uid: 0, gid: 0 },
        args: ['/usr/bin/perl', '-e', `$| = 1; ${script}`],
        env: ['PATH=/usr/bin:/bin'],
        cwd: '/',
        capabilities: { bounding: capabilities, effective: capabilities, permitted: capabilities },
        noNewPrivileges: true,
      },
      root: { path: 'rootfs' },
      mounts: [
        { destination: '/proc', type: 'proc', source: 'proc' },
        { destination: '/dev', type: 'tmpfs', source: 'tmpfs', options: ['nosuid', 'mode=755'] },
        ...SHARED.map(bind),
      ],
      linux: { namespaces: ['pid', 'mount', 'ipc', 'uts', 'network'].map((type) => ({ type })), seccomp },
    };
    writeFileSync(join(place, 'config.json'), JSON.stringify(config));
    const pidFile = join(place, 'pid');
    const args = ['--root', join(place, 'state'), 'run', '--bundle', place, '--pid-file', pidFile];
    const id = `test-${randomBytes(6).toString('hex')}`;
    const child = spawn('unshare', ['--mount', 'sh', '-c', WITHOUT_HYBRID, 'crun', ...args, id]);
    return await outputOf(child, async () => whileRunning?.(await pidIn(pidFile)));
  } finally {
    rmSync(place, { recursive: true, force: true });
  }
}

/** The script may be faster than crun is to write it. */
async function pidIn(file: string): Promise<number> {
  for (;;) {
    const pid = existsSync(file) ? Number(readFileSync(file, 'utf8')) : 0;
    if (pid > 0) return pid;
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
}

async function outputOf(child: ChildProcessWithoutNullStreams, whenReady: () => Promise<void>): Promise<string> {
  let output = '';
  let looked: Promise<void> | undefined;
  child.stdout.setEncoding('utf8').on('data', (more: string) => {
    output += more;
    if (looked !== undefined || !output.startsWith('ready\n')) return;
    looked = whenReady().finally(() => child.stdin.end());
    looked.catch(() => {});
  });
  const [errors, status] = await Promise.all([
    text(child.stderr),
    new Promise((resolve) => child.once('close', resolve)),
  ]);
  await looked;
  if (status !== 0) throw new Error(`crun ended with ${status}: ${errors}`);
  return output;
}
