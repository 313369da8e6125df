import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { afterEach } from 'vitest';
import { SqliteLifeLocks } from '#src/metadata/sqlite/sqlite-life-locks.js';
import { KernelLifeLocks, type LifeLocks } from '#src/system/locks/life-locks.js';
import { loadSyscalls } from '#src/system/syscalls/load-syscalls.js';

const LIVENESS = import.meta.resolve('#src/system/locks/liveness.js');
const LIFE_LOCKS_MODULE = import.meta.resolve('#src/system/locks/life-locks.js');
const LOAD_SYSCALLS = import.meta.resolve('#src/system/syscalls/load-syscalls.js');
const SQLITE_LIFE_LOCKS = import.meta.resolve('#src/metadata/sqlite/sqlite-life-locks.js');

/** The kinds of locks that show who is alive: here, and as code of a module that another process runs, after which it has `locks` and `Liveness`. */
export const LIFE_LOCKS: Readonly<Record<'kernel' | 'sqlite', { locks(): LifeLocks; readonly code: string }>> = {
  kernel: {
    locks: () => new KernelLifeLocks(loadSyscalls),
    code: `
      const { Liveness } = await import('${LIVENESS}');
      const { KernelLifeLocks } = await import('${LIFE_LOCKS_MODULE}');
      const { loadSyscalls } = await import('${LOAD_SYSCALLS}');
      const locks = new KernelLifeLocks(loadSyscalls);`,
  },
  sqlite: {
    locks: () => new SqliteLifeLocks(),
    code: `
      const { Liveness } = await import('${LIVENESS}');
      const { SqliteLifeLocks } = await import('${SQLITE_LIFE_LOCKS}');
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
  const died = gone.then(() => {
    throw new Error('the other process has ended before it had begun a life');
  });
  died.catch(() => {});
  const [identity] = (await Promise.race([once(child.stdout.setEncoding('utf8'), 'data'), died])) as [string];
  return { identity, pid: child.pid as number, kill };
}
