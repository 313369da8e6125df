import { type ChildProcessByStdio, spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import type { Readable, Writable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import { afterEach } from 'vitest';
import { Provisioner } from '#src/index.js';
import { putFilledStore } from '../helpers/filled-stores.js';
import { temporaryDirectory } from '../helpers/test-store.js';

export const MAIN = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url));

/** Committed layouts of one image in two versions; see `fixtures/make-fixtures.mjs`. */
export const APP_V1 = `oci:${fileURLToPath(new URL('../../fixtures/app-v1', import.meta.url))}`;
export const APP_V2 = `oci:${fileURLToPath(new URL('../../fixtures/app-v2', import.meta.url))}`;

export interface Outcome {
  /** Null when a signal ended it. */
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface CliOptions {
  /** What stdin holds. Default: nothing. */
  readonly input?: string | Uint8Array;
  /** Run as this user. Default: as the tests. */
  readonly uid?: number;
  /** A command that runs another one, such as `unshare`. Default: none. */
  readonly within?: readonly string[];
  /** Beside PATH and the store. Default: nothing. */
  readonly env?: Readonly<Record<string, string>>;
}

export interface RunningCli {
  readonly process: ChildProcessByStdio<Writable, Readable, Readable>;
  /** Resolves once stderr holds `text`; rejects when the process ends without it. */
  says(text: string): Promise<void>;
  readonly done: Promise<Outcome>;
}

const running = new Set<RunningCli>();

// Before the store's directory goes, which another hook removes: hooks run in reverse order.
afterEach(async () => {
  for (const { process, done } of [...running]) {
    process.kill('SIGKILL');
    await done;
  }
});

/** As `newStore`, of a store that is there, and empty. */
export async function madeStore(): Promise<ReturnType<typeof newStore>> {
  const store = newStore();
  await (await Provisioner.open({ root: store.root })).close();
  return store;
}

/**
 * As `newStore`, of a store that is filled before: by the command line once in a file of tests, and copied from then on.
 * @param kind the same for all that `fill` fills alike
 * @param fill leaves nothing mounted
 * @returns what `fill` returned, too
 */
export async function filledStore<Told>(
  kind: string,
  fill: (store: ReturnType<typeof newStore>) => Promise<Told>,
): Promise<ReturnType<typeof newStore> & { readonly told: Told }> {
  const store = newStore();
  const told = await putFilledStore(store.root, kind, (root) => fill(storeAt(root)));
  return { ...store, told };
}

/** As `filledStore`, of a store into which something was pulled. @param args of `pull` @returns its lines, the digests of the images, too */
export async function pulledStore(...args: string[]) {
  const { told, ...store } = await filledStore(`pull ${args.join(' ')}`, ({ lines }) => lines('pull', ...args));
  return { ...store, digests: told };
}

/** The built command line on a store of its own, as users have it, that is not made yet. */
export function newStore() {
  return storeAt(join(temporaryDirectory(), 'store'));
}

function storeAt(root: string) {
  const start = (args: readonly string[], { input = '', ...options }: CliOptions = {}): RunningCli => {
    const cli = startCli(args, root, options);
    cli.process.stdin.end(input);
    return cli;
  };
  return {
    root,
    start,
    /** Runs without feeding stdin: it stays open and empty. */
    startWaiting: (args: readonly string[]) => startCli(args, root),
    run: (args: readonly string[], options?: CliOptions): Promise<Outcome> => start(args, options).done,
    /** Runs a command that must succeed. @returns the lines of stdout */
    lines: async (...args: string[]): Promise<string[]> => {
      const outcome = await start(args).done;
      if (outcome.status !== 0) throw new Error(`${args.join(' ')}: status ${outcome.status}: ${outcome.stderr}`);
      return outcome.stdout.split('\n').slice(0, -1);
    },
    /** Runs a command with `--json` that must succeed. */
    json: async (...args: string[]): Promise<unknown> => {
      const outcome = await start([...args, '--json']).done;
      if (outcome.status !== 0) throw new Error(`${args.join(' ')}: status ${outcome.status}: ${outcome.stderr}`);
      return JSON.parse(outcome.stdout);
    },
  };
}

function startCli(
  args: readonly string[],
  root: string,
  { uid, env, within = [] }: Omit<CliOptions, 'input'> = {},
): RunningCli {
  const [command = process.execPath, ...before] = [...within, process.execPath];
  const child = spawn(command, [...before, MAIN, ...args], {
    stdio: ['pipe', 'pipe', 'pipe'],
    env: { PATH: process.env['PATH'], PROVISIONER_ROOT: root, ...env },
    ...(uid === undefined ? {} : { uid, gid: uid }),
  });
  let stdout = '';
  let stderr = '';
  child.stdout.setEncoding('utf8').on('data', (text) => {
    stdout += text;
  });
  child.stderr.setEncoding('utf8').on('data', (text) => {
    stderr += text;
  });
  // A command that does not read its input closes it.
  child.stdin.on('error', () => {});
  const done = once(child, 'close').then(([status]: (number | null)[]) => ({ status: status ?? null, stdout, stderr }));
  const says = async (text: string) => {
    while (!stderr.includes(text)) {
      const more = await Promise.race([once(child.stderr, 'data'), done.then(() => undefined)]);
      if (more === undefined && !stderr.includes(text)) throw new Error(`it never said ${text}, but: ${stderr}`);
    }
  };
  const cli = { process: child, says, done };
  running.add(cli);
  void done.then(() => running.delete(cli));
  return cli;
}
