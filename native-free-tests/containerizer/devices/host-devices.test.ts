import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { hostDevices } from '#src/containerizer/devices/host-devices.js';

/** Each machine has them, and whoever runs the tests may look at them. */
const pathsOf = async (...args: Parameters<typeof hostDevices>) => (await hostDevices(...args)).map(({ path }) => path);

let place: string;
beforeEach(() => {
  place = mkdtempSync(join(tmpdir(), 'devices-'));
});
afterEach(() => rmSync(place, { recursive: true, force: true }));

describe('devices of this machine', () => {
  it('are those of a directory, but for what each container has of its own', async () => {
    const paths = await pathsOf([{ source: '/dev' }], undefined);
    expect(
      paths.filter((path) => /^\/dev\/(?:null|zero|tty|ptmx|console|fd|shm|pts|mqueue)(?:\/|$)/.test(path)),
    ).toEqual([]);
    // Under other names they are devices like all others.
    expect(await pathsOf([{ source: '/dev', target: '/dev/host' }], undefined)).toEqual(
      expect.arrayContaining(['/dev/host/null', '/dev/host/zero']),
    );
  });

  it('are followed to where a symlink leads that is asked for, and not in a directory', async () => {
    symlinkSync('/dev/null', join(place, 'link'));
    symlinkSync('/dev', join(place, 'all'));
    const [found] = await hostDevices([{ source: join(place, 'link'), target: '/dev/mine' }], undefined);
    expect(found).toMatchObject({ path: '/dev/mine', type: 'c', major: 1, minor: 3 });
    await expect(hostDevices([{ source: place, target: '/dev/mine' }], undefined)).rejects.toMatchObject({
      code: 'ERR_DEVICE_NOT_FOUND',
      message: `there is no device in ${place}`,
    });
    expect(await pathsOf([{ source: join(place, 'all'), target: '/dev/mine' }], undefined)).toContain('/dev/mine/null');
  });

  it('are found in a directory that leads round to itself', async () => {
    mkdirSync(join(place, 'sub'));
    symlinkSync('.', join(place, 'self'));
    symlinkSync('../sub', join(place, 'sub', 'up'));
    await expect(hostDevices([{ source: place, target: '/dev/mine' }], undefined)).rejects.toThrow(
      /there is no device/,
    );
    symlinkSync('loop', join(place, 'loop'));
    await expect(hostDevices([{ source: join(place, 'loop') }], undefined)).rejects.toMatchObject({
      code: 'ERR_DEVICE_NOT_FOUND',
    });
  });

  it.each(['/dev/fd', '/dev/fd/0', '/dev/stdout', '/proc/self/fd', '/proc/self/fd/1', '/dev/../proc/1/fd/0'])(
    'are not what a process has open: %s',
    async (source) => {
      await expect(hostDevices([{ source, target: '/dev/mine' }], undefined)).rejects.toMatchObject({
        code: 'ERR_DEVICE_NOT_FOUND',
        message: expect.stringContaining('has open'),
      });
    },
  );

  it('are not looked for without end', async () => {
    let deep = place;
    for (let depth = 0; depth < 40; depth++) deep = join(deep, 'd');
    mkdirSync(deep, { recursive: true });
    await expect(hostDevices([{ source: place, target: '/dev/mine' }], undefined)).rejects.toMatchObject({
      code: 'ERR_BAD_OPTION',
      message: expect.stringContaining('deep'),
    });
    const given = AbortSignal.abort();
    await expect(hostDevices([{ source: '/dev', target: '/dev/mine' }], given)).rejects.toMatchObject({
      code: 'ERR_ABORTED',
    });
  });

  it('need a place below /dev, also those of a directory', async () => {
    writeFileSync(join(place, 'file'), '');
    for (const target of ['/etc', '/dev/shm', '/dev/null', 'dev', undefined])
      await expect(hostDevices([{ source: place, target }], undefined)).rejects.toMatchObject({
        code: 'ERR_BAD_OPTION',
      });
  });
});
