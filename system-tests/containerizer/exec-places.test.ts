import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { expect, test } from 'vitest';
import {
  expectNothingLeft,
  IMAGE,
  launchPath,
  otherContainerizer,
  sh,
  storeWithBusybox,
} from '../helpers/containers.js';
import { describeWith } from '../helpers/requirements.js';

const placesOf = (path: string) => readdirSync(path).filter((name) => name.startsWith('exec-'));

describeWith(['root', 'overlay', 'cgroups', 'crun', 'busybox'], 'an exec whose caller is killed', () => {
  test.each(['the next exec in its container', 'a recovery'] as const)(
    'has what it leaves taken away by %s, and no other has',
    async (by) => {
      const { containers, root } = await storeWithBusybox();
      const { launchId } = await containers.launch('job', IMAGE, sh('exec sleep 60'));
      const path = launchPath(root, launchId);
      const living = await containers.exec('job', ['cat'], { stdin: 'pipe' });
      const [kept = ''] = placesOf(path);
      expect(kept).toMatch(/^exec-[0-9a-f]{16}$/);
      const other = otherContainerizer(
        root,
        "const e = await c.exec('job', ['sh', '-c', 'echo ready; sleep 60']); e.stdout.on('data', () => say('ready')); await sleep(60_000);",
      );
      await other.says('ready');
      expect(placesOf(path)).toHaveLength(2);
      await other.kill();
      expect(placesOf(path)).toHaveLength(2);
      if (by === 'a recovery') {
        expect(await containers.recover()).toMatchObject({ running: ['job'], failed: [] });
        expect(placesOf(path)).toEqual([kept]);
      } else {
        const next = await containers.exec('job', ['true']);
        expect(placesOf(path)).toEqual(expect.arrayContaining([kept]));
        expect(placesOf(path)).toHaveLength(2);
        expect(await next.ended).toMatchObject({ code: 0 });
        expect(placesOf(path)).toEqual([kept]);
      }
      // It is whole, and works.
      expect(JSON.parse(readFileSync(join(path, kept, 'process.json'), 'utf8'))).toMatchObject({ args: ['cat'] });
      expect(statSync(join(path, kept)).mode & 0o777).toBe(0o700);
      living.stdin?.end('through it');
      expect(await text(living.stdout)).toBe('through it');
      expect(await living.ended).toMatchObject({ code: 0 });
      expect(placesOf(path)).toEqual([]);
      await containers.destroy('job', { running: 'kill' });
      await expectNothingLeft(root);
    },
  );

  test('is never taken for one that is just being begun', async () => {
    const { containers, root } = await storeWithBusybox();
    await containers.launch('job', IMAGE, sh('exec sleep 60'));
    const sweeping =
      'for (;;) { const { failed } = await c.recover(); if (failed.length > 0) say(JSON.stringify(failed)); }';
    const other = otherContainerizer(root, sweeping);
    for (let round = 0; round < 12; round++) {
      const all = await Promise.all(Array.from({ length: 4 }, () => containers.exec('job', ['true'])));
      for (const { stdout, stderr } of all) for (const stream of [stdout, stderr]) stream.resume();
      expect(await Promise.all(all.map(({ ended }) => ended))).toEqual(Array(4).fill({ code: 0, reason: 'exited' }));
    }
    await other.kill();
    expect((await other.done.catch(() => [])).filter((line) => line !== '')).toEqual([]);
    await containers.destroy('job', { running: 'kill' });
    await expectNothingLeft(root);
  });
});
