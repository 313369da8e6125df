import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { afterEach } from 'vitest';
import { SqliteLifeLocks } from '#src/metadata/sqlite/sqlite-life-locks.js';
import { KernelLifeLocks, type LifeLocks } from '#src/system/locks/life-locks.js';
import { loadSyscalls } from '#src/system/syscalls/load-syscalls.js';

const DIST = new URL('../../dist/', import.meta.url).href;

/** The kinds of locks that show who is alive: here, and as code of a module that another process runs, after which it has `locks` and `Liveness`. */
export const LIFE_LOCKS: Readonly<Record<'kernel' | 'sqlite', { locks(): LifeLocks; readonly code: string }>> = {
  kernel: {
    locks: () => new KernelLifeLocks(loadSyscalls),
    code: `
      const { Liveness } = await import('${DIST}locks/liveness.js');
      const { KernelLifeLocks } = await import('${DIST}locks/life-locks.js');
      const { loadSyscalls } = await import('${DIST}syscalls/load-syscalls.js');
      const locks = new KernelLifeLocks(loadSyscalls);`,
  },
  sqlite: {
    locks: () => new SqliteLifeLocks(),
    code: `
      const { Liveness } = await import('${DIST}locks/liveness.js');
      const { SqliteLifeLocks } = await import('${DIST}metadata/sqlite-life-locks.js');
      const locks = new SqliteLifeLocks();`,
  },
};

export interface OtherLife {
  readonly identity: string;
  readonly pid: number;
  /** As `kill -9` does. Resolves when it is gone. */
  kill(): Promise<void>;
}

const ended: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const end of ended.splice(0)) await end();
});

/** Another process that has begun a life. @param directory of the lives @param before its command, such as `unshare --pid` */
export async function otherLife(
  directory: string,
  kind: keyof typeof LIFE_LOCKS = 'kernel',
  ...before: string[]
): Promise<OtherLife> {
  // It keeps nothing but the identity, and its garbage is collected.
  const code = `
    ${LIFE_LOCKS[kind].code}
    process.stdout.write(Liveness.in(${JSON.stringify(directory)}, locks).identity);
    setInterval(() => globalThis.gc(), 50);`;
  const [command = '', ...rest] = [...before, process.execPath, '--expose-gc', '--input-type=module', '-e', code];
  const child = spawn(command, rest, { stdio: ['ignore', 'pipe', 'inherit'] });
  const gone = once(child, 'exit');
  const kill = async () => {
    child.kill('SIGKILL');
    await gone;
  };
  ended.push(kill);
  const [identity] = (await once(child.stdout.setEncoding('utf8'), 'data')) as [string];
  return { identity, pid: child.pid as number, kill };
}
