import { existsSync, readFileSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { ContainerCgroup } from '#src/containerizer/cgroups/container-cgroup.js';
import { hierarchiesOfThisProcess, parentOf } from '#src/containerizer/cgroups/hierarchies.js';
import { SURROUNDINGS } from '../helpers/cgroups.js';
import { expectNothingLeft, IMAGE, keyOf, storeWithBusybox } from '../helpers/containers.js';
import { describeWith } from '../helpers/requirements.js';
import { temporaryDirectory } from '../helpers/test-store.js';

const NEEDS = ['root', 'overlay', 'crun', 'runc', 'busybox', 'cgroups', 'loop'] as const;
const RUNS = { command: ['sleep', '100'] };
const LOOP = '/dev/loop0';
const MIB = 2 ** 20;

/** What the kernel says of a launch's limits of the first loop device, in either version. */
function ratesOf(root: string, launchId: string): Record<string, string> {
  const hierarchies = hierarchiesOfThisProcess();
  const path = `${parentOf(hierarchies, keyOf(root))}/${launchId}`;
  const rates: Record<string, string> = {};
  for (const directory of new ContainerCgroup(hierarchies, path, SURROUNDINGS).directories()) {
    for (const [name, file] of Object.entries({
      rbps: 'read_bps',
      wbps: 'write_bps',
      riops: 'read_iops',
      wiops: 'write_iops',
    })) {
      const found = textOf(join(directory, `blkio.throttle.${file}_device`)).match(/^7:0 (\d+)$/m)?.[1];
      if (found !== undefined) rates[name] = found;
    }
    for (const [, name = '', rate = ''] of (textOf(join(directory, 'io.max')).match(/^7:0 .*$/m)?.[0] ?? '').matchAll(
      /(\w+)=(\d+)/g,
    ))
      rates[name] = rate;
  }
  return rates;
}

const textOf = (path: string) => (existsSync(path) ? readFileSync(path, 'utf8') : '');

describeWith(NEEDS, 'how fast a disk may be used', () => {
  test.each(['crun', 'runc'] as const)(
    'is said to the kernel, and can be changed and lifted, by %s',
    async (runtime) => {
      const { containers, root } = await storeWithBusybox({ runtime });
      const link = join(temporaryDirectory(), 'disk');
      symlinkSync(LOOP, link);
      const io = [
        { device: LOOP, readBps: MIB, writeBps: 2 * MIB, readIops: 10 },
        { device: link, readIops: 20, writeIops: 30 },
      ];
      const { launchId } = await containers.launch('job', IMAGE, { ...RUNS, limits: { io } });
      expect(ratesOf(root, launchId)).toEqual({
        rbps: `${MIB}`,
        wbps: `${2 * MIB}`,
        riops: '20',
        wiops: '30',
      });
      await containers.update('job', { io: [{ device: LOOP, readBps: 3 * MIB, writeBps: 0 }] });
      expect(ratesOf(root, launchId)).toEqual({ rbps: `${3 * MIB}`, riops: '20', wiops: '30' });
      await containers.stop('job', { grace: 0 });
      const again = await containers.start('job');
      expect(ratesOf(root, again.launchId)).toEqual({ rbps: `${3 * MIB}`, riops: '20', wiops: '30' });
      await containers.destroy('job', { running: 'kill' });
      await expectNothingLeft(root);
    },
  );

  test('stays as it was where one of several cannot be changed', async () => {
    const { containers, root } = await storeWithBusybox();
    const { launchId } = await containers.launch('job', IMAGE, {
      ...RUNS,
      limits: { io: [{ device: LOOP, readBps: MIB }] },
    });
    await expect(
      containers.update('job', {
        io: [
          { device: LOOP, readBps: 2 * MIB },
          { device: '/dev/null', readBps: 1 },
        ],
      }),
    ).rejects.toMatchObject({ code: 'ERR_NO_BLOCK_DEVICE' });
    expect(ratesOf(root, launchId)).toEqual({ rbps: `${MIB}` });
  });

  test.each([
    ['/dev/null', 'ERR_NO_BLOCK_DEVICE'],
    ['/dev/nothing-like-it', 'ERR_DEVICE_NOT_FOUND'],
    ['loop0', 'ERR_LIMIT_INVALID'],
  ])('is nothing that %s could have, and nothing is left of that', async (device, code) => {
    const { containers, root } = await storeWithBusybox();
    const launched = containers.launch('job', IMAGE, { ...RUNS, limits: { io: [{ device, readBps: MIB }] } });
    await expect(launched).rejects.toMatchObject({ code });
    await expectNothingLeft(root);
  });
});
