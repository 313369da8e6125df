import { spawnSync } from 'node:child_process';
import { mkdirSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { describeWith } from '../helpers/requirements.js';
import { openStore, temporaryDirectory } from '../helpers/test-store.js';

const LIBRARY = new URL('../../dist/index.js', import.meta.url).href;

describeWith(['root'], 'a listener that throws while something cannot be deleted', () => {
  test('neither stops the sweep nor leaves close half way, and its author is told', async () => {
    const root = join(temporaryDirectory(), 'store');
    await (await openStore({ root })).close();
    const code = `
      import { mkdirSync, readdirSync } from 'node:fs';
      import { Provisioner } from '${LIBRARY}';
      const faults = [];
      process.on('uncaughtException', (error) => faults.push(error.message));
      const p = await Provisioner.open({ root: '${root}', unsafeNoSync: true });
      p.events.on('warning', () => { throw new Error('a fault in a listener'); });
      await p.store.swept();
      const { postponed } = (await p.store.info()).gc;
      mkdirSync(p.root + '/gc/other.2');
      await p.store.swept();
      const left = readdirSync(p.root + '/gc');
      await p.close();
      console.log(JSON.stringify({ faults, postponed: postponed.length, left }));`;
    const busy = join(root, 'gc/busy.1/m');
    for (const directory of [join(root, 'gc/busy.1'), busy]) mkdirSync(directory, { mode: 0o700 });
    spawnSync('chattr', ['+i', busy]);
    // Root without the right to make it mutable again.
    const argv = ['--bounding-set=-linux_immutable', process.execPath, '--input-type=module', '-e', code];
    const { status, stdout, stderr } = spawnSync('setpriv', argv, { encoding: 'utf8', timeout: 60_000 });
    spawnSync('chattr', ['-i', busy]);
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
    expect(JSON.parse(stdout)).toEqual({ faults: ['a fault in a listener'], postponed: 1, left: ['busy.1'] });
  });
});

describeWith(['root', 'overlay'], 'a backend that is first asked for while the disk is full', () => {
  test('is asked again when there is room, and is not given up for a copy meanwhile', () => {
    const directory = temporaryDirectory();
    mkdirSync(join(directory, 'small'));
    const code = `
      import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
      import { Provisioner } from '${LIBRARY}';
      const small = '${directory}/small';
      const p = await Provisioner.open({ root: small + '/store', limits: { freeSpaceReserve: 0 }, unsafeNoSync: true });
      const warnings = [];
      p.events.on('warning', ({ code }) => warnings.push(code));
      await p.images.pull('${new URL('../../fixtures/app-v2', import.meta.url).pathname.replace(/^/, 'oci:')}', { name: 'app' });
      await p.recover();
      mkdirSync(small + '/fill');
      try { for (let n = 0; ; n++) writeFileSync(small + '/fill/' + n, ''); } catch {}
      const full = await p.provision('one', 'app').catch((error) => error.code);
      const told = (await p.store.info()).backends.find(({ name }) => name === 'overlay');
      rmSync(small + '/fill', { recursive: true });
      const made = await p.provision('two', 'app');
      const { findings } = await p.store.check();
      await p.destroy('two');
      await p.close();
      console.log(JSON.stringify({ full, told, backend: made.backend, warnings, findings }));`;
    const mounted = 'mount -t tmpfs -o size=64m,nr_inodes=2000 none "$1"; shift; exec "$@"';
    const argv = ['-m', 'sh', '-c', mounted, 'sh', join(directory, 'small')];
    const node = [process.execPath, '--input-type=module', '-e', code];
    const { status, stdout, stderr } = spawnSync('unshare', [...argv, ...node], { encoding: 'utf8', timeout: 60_000 });
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
    expect(JSON.parse(stdout)).toEqual({
      full: 'ERR_NO_SPACE',
      told: {
        name: 'overlay',
        chosen: false,
        usable: false,
        reason: 'a probe mount could not be made now (ENOSPC)',
      },
      backend: 'overlay',
      warnings: [],
      findings: [],
    });
    expect(readdirSync(join(directory, 'small'))).toEqual([]);
  });
});
