import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, expect, test } from 'vitest';
import { Provisioner } from '#src/index.js';
import { isStopped } from '#src/system/syscalls/process-state.js';
import { buildImage, buildLayer } from '../../native-free-tests/helpers/image-builder.js';
import { describeWith } from '../helpers/requirements.js';
import { pullImages, temporaryDirectory } from '../helpers/test-store.js';

const CLI = new URL('../../dist/cli/main.js', import.meta.url).pathname;
const IMAGE = buildImage([buildLayer([{ path: 'etc/motd', content: 'welcome' }])]);

/** Steps of a process that cannot open its records, at which it stops itself. */
const STOPS = {
  /** When it has made the rest, and undone nothing. */
  recordsRefused: `
    const load = Module._load;
    Module._load = function (request, ...rest) {
      const driver = load.call(this, request, ...rest);
      if (!/[/]better-sqlite3[/]lib[/]index[.]js$/.test(request)) return driver;
      return function (path, ...options) {
        if (path === ':memory:') return new driver(path, ...options);
        STOP
        throw Object.assign(new Error('unable to open database file'), { code: 'SQLITE_CANTOPEN' });
      };
    };`,
  /** When it is in the middle of undoing it: the next that it would remove are the records. */
  stagingRemoved: `
    const remove = fs.rmdirSync;
    fs.rmdirSync = function (path, ...rest) {
      remove.call(this, path, ...rest);
      if (String(path).endsWith('/staging')) { STOP }
    };
    syncBuiltinESMExports();`,
} as const;

const children: ChildProcess[] = [];
const opened: Provisioner[] = [];
afterEach(async () => {
  for (const child of children.splice(0)) child.kill('SIGKILL');
  for (const p of opened.splice(0)) await p.close();
});

/** A command on a new store whose records it cannot open. Resolves when it has stopped itself. */
async function failing(root: string, stop: keyof typeof STOPS) {
  const hook = join(temporaryDirectory(), 'hook.mjs');
  const stopping = `fs.writeSync(1, 'stopped'); process.kill(process.pid, 'SIGSTOP');`;
  const steps = [STOPS.recordsRefused.replace('STOP', stop === 'recordsRefused' ? stopping : '')];
  if (stop === 'stagingRemoved') steps.push(STOPS.stagingRemoved.replace('STOP', stopping));
  writeFileSync(
    hook,
    `import fs from 'node:fs'; import Module, { syncBuiltinESMExports } from 'node:module';\n${steps.join('\n')}`,
  );
  const child = spawn(process.execPath, ['--import', hook, CLI, '--root', root, 'load', '-i', '/dev/null'], {
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  children.push(child);
  const ended = once(child, 'exit') as Promise<[number | null]>;
  const failed = ended.then(() => Promise.reject(new Error('it did not stop')));
  failed.catch(() => {});
  await Promise.race([once(child.stdout, 'data'), failed]);
  // It says so right before.
  while (!isStopped(child.pid as number)) await Promise.race([sleep(5), failed]);
  return {
    pid: child.pid as number,
    async goesOn(): Promise<number | null> {
      child.kill('SIGCONT');
      return (await ended)[0];
    },
  };
}

async function open(root: string): Promise<Provisioner> {
  const p = await Provisioner.open({ root });
  opened.push(p);
  return p;
}

describeWith(['root'], 'a new store that one process cannot make, and another can', () => {
  test('is refused to the other one for as long as the first is removing what it made, and is there for it after that', async () => {
    const root = join(temporaryDirectory(), 'store');
    const first = await failing(root, 'stagingRemoved');
    await expect(open(root)).rejects.toMatchObject({ code: 'ERR_STORE_BUSY', details: { pids: String(first.pid) } });
    // It waits for a second, and goes on as soon as the other one has ended.
    const opening = open(root);
    expect(await first.goesOn()).toBe(1);
    const p = await opening;
    await pullImages(p, { app: IMAGE });
    await p.close();
    expect(await (await open(root)).images.list()).toHaveLength(1);
  });

  test('keeps all that the other one has made in it, when the first undoes its own after that', async () => {
    const root = join(temporaryDirectory(), 'store');
    const first = await failing(root, 'recordsRefused');
    const p = await open(root);
    await pullImages(p, { app: IMAGE });
    await p.provision('job', 'app', { backend: 'copy' });
    expect(await first.goesOn()).toBe(1);
    expect(await p.images.list()).toHaveLength(1);
    await p.close();
    const again = await open(root);
    expect(await again.images.list()).toHaveLength(1);
    expect((await again.containers.list()).map(({ id }) => id)).toEqual(['job']);
    expect((await again.store.check()).findings).toEqual([]);
  });

  test('leaves nothing when there is no other one', async () => {
    const root = join(temporaryDirectory(), 'deep', 'store');
    const first = await failing(root, 'stagingRemoved');
    expect(await first.goesOn()).toBe(1);
    expect(existsSync(dirname(root))).toBe(false);
    expect(readdirSync(dirname(dirname(root)))).toEqual([]);
  });
});
