import { mkdirSync, readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { withAuthFileLock } from '#src/registry/credentials/auth-file-lock.js';
import { loadSyscalls } from '#src/system/syscalls/load-syscalls.js';
import { describeWith } from '../helpers/requirements.js';
import { temporaryDirectory } from '../helpers/test-store.js';

const here = () => join(temporaryDirectory(), 'auth.json');
const namesBeside = (path: string) => readdirSync(join(path, '..'));

describeWith(['root'], 'the lock of an auth file', () => {
  it('is waited for as long as its holder works, and goes with its file', async () => {
    const path = here();
    const order: string[] = [];
    let letGo = () => {};
    const held = new Promise<void>((resolve) => {
      letGo = resolve;
    });
    const first = withAuthFileLock(path, undefined, async () => {
      await held;
      order.push('first');
    });
    const second = withAuthFileLock(path, undefined, async () => order.push('second'));
    letGo();
    await Promise.all([first, second]);
    expect(order).toEqual(['first', 'second']);
    expect(namesBeside(path)).toEqual([]);
  });

  it('that is never let go is told with who holds it', async () => {
    const path = here();
    const lock = loadSyscalls().openLockFile(`${path}.lock`);
    expect(lock.tryLock('exclusive')).toBe(true);
    await expect(withAuthFileLock(path, undefined, async () => {}, { patience: 0 })).rejects.toMatchObject({
      code: 'ERR_REGISTRY_CONFIG',
      message: expect.stringContaining(`process ${process.pid} is changing the auth file ${path}`),
    });
    lock.close();
  });

  it('is given up by who gives up', async () => {
    const path = here();
    const lock = loadSyscalls().openLockFile(`${path}.lock`);
    lock.tryLock('exclusive');
    const abort = new AbortController();
    const waiting = withAuthFileLock(path, abort.signal, async () => {});
    abort.abort();
    await expect(waiting).rejects.toMatchObject({ code: 'ERR_ABORTED' });
    lock.close();
  });

  it('is given up at once also by who waits for another call of this process, and the next one goes on', async () => {
    const path = here();
    let letGo = () => {};
    const held = new Promise<void>((resolve) => {
      letGo = resolve;
    });
    const first = withAuthFileLock(path, undefined, () => held);
    const abort = new AbortController();
    const second = withAuthFileLock(path, abort.signal, async () => 'never');
    const third = withAuthFileLock(path, undefined, async () => 'third');
    abort.abort();
    await expect(second).rejects.toMatchObject({ code: 'ERR_ABORTED' });
    letGo();
    await first;
    expect(await third).toBe('third');
    expect(namesBeside(path)).toEqual([]);
  });

  it('is not looked for in what somebody else has put there', async () => {
    const path = here();
    mkdirSync(`${path}.lock`);
    await expect(withAuthFileLock(path, undefined, async () => {})).rejects.toThrow(/\.lock/);
    expect(statSync(`${path}.lock`).isDirectory()).toBe(true);
  });
});
