import { type ChildProcessByStdio, spawn } from 'node:child_process';
import { once } from 'node:events';
import type { Readable } from 'node:stream';
import { afterEach } from 'vitest';

const LIBRARY = new URL('../../dist/index.js', import.meta.url).href;

export interface OtherProcess {
  readonly pid: number;
  /** Resolves once it has said `line`; rejects when it ends without having said it. */
  says(line: string): Promise<void>;
  /** As `kill -9` does. Resolves when it is gone. */
  kill(): Promise<void>;
  /** Resolves to all that it said when it has ended by itself; rejects when it failed. */
  readonly done: Promise<string[]>;
}

const running = new Set<ChildProcessByStdio<null, Readable, Readable>>();
afterEach(async () => {
  for (const child of [...running]) {
    child.kill('SIGKILL');
    await once(child, 'close');
  }
});

/**
 * Another process with a provisioner `p` on the store.
 * @param options of the provisioner; `crashAt` is where the process dies, see `src/base/crash-points.ts`; `within` is a command that runs another one, such as `unshare`
 * @param body of a module; `say(text)` tells this process a line, `sleep(ms)` waits
 */
export function otherProcess(
  root: string,
  body: string,
  {
    crashAt,
    within = [],
    ...options
  }: Readonly<Record<string, unknown>> & { readonly crashAt?: string; readonly within?: readonly string[] } = {},
): OtherProcess {
  const code = `
    import { writeSync } from 'node:fs';
    import { setTimeout as sleep } from 'node:timers/promises';
    import { Provisioner } from '${LIBRARY}';
    const say = (text) => writeSync(1, text + '\\n');
    const p = await Provisioner.open(${JSON.stringify({ root, ...options })});
    ${body}`;
  const [program = '', ...args] = [...within, process.execPath, '--input-type=module', '-e', code];
  const child = spawn(program, args, {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, ...(crashAt === undefined ? {} : { PROVISIONER_CRASH_AT: crashAt }) },
  });
  running.add(child);
  let output = '';
  let errors = '';
  child.stdout.setEncoding('utf8').on('data', (text) => {
    output += text;
  });
  child.stderr.setEncoding('utf8').on('data', (text) => {
    errors += text;
  });
  const lines = () => output.split('\n').slice(0, -1);
  const closed = once(child, 'close').then(([status]: (number | null)[]) => {
    running.delete(child);
    return status;
  });
  const done = closed.then((status) => {
    if (status !== 0 && status !== null) throw new Error(`the other process failed: ${errors}`);
    return lines();
  });
  done.catch(() => {});
  return {
    pid: child.pid as number,
    done,
    async says(line) {
      while (!lines().includes(line)) {
        const more = await Promise.race([once(child.stdout, 'data'), closed.then(() => undefined)]);
        if (more === undefined && !lines().includes(line)) throw new Error(`it never said ${line}: ${errors}`);
      }
    },
    async kill() {
      child.kill('SIGKILL');
      await closed;
    },
  };
}
