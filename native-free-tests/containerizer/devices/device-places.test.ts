import { describe, expect, it } from 'vitest';
import type { PlannedMount } from '#src/containerizer/bundle/mounts/planned-mounts.js';
import type { DeviceNode } from '#src/containerizer/devices/device-edits.js';
import { besideDevices, placeOf } from '#src/containerizer/devices/device-places.js';

const node = (path: string, numbers: Partial<DeviceNode> = {}): DeviceNode => ({
  path,
  type: 'c',
  major: 10,
  minor: 229,
  mode: 0o600,
  uid: 0,
  gid: 0,
  access: 'rwm',
  ...numbers,
});
const mount = (destination: string, source = '/somewhere', type = 'bind'): PlannedMount => ({
  mount: { destination, type, source, options: [] },
  origin: 'user',
  kind: 'directory',
  isReadOnly: false,
});

describe('the place of a device', () => {
  it('is any below /dev that no container uses itself, however it is written', () => {
    for (const path of ['/dev/fuse', '/dev/net/tun', '/dev/core1', '/dev/nullx', '/dev/a:b', '/dev/ptsx'])
      expect(placeOf(path, '/dev/x')).toBe(path);
    expect(placeOf('/dev//a/./b/../c/', '/dev/x')).toBe('/dev/a/c');
    expect(placeOf(`/dev/${'é'.repeat(127)}`, '/dev/x')).toHaveLength('/dev/'.length + 127);
  });

  it.each([
    ['/dev/null', /own there/],
    ['/dev/null/x', /own there/],
    ['/dev/console/x', /own there/],
    ['/dev/fd/3', /own there/],
    ['/dev/core/x', /own there/],
    ['/dev/init', /own there/],
    ['/dev/stdin', /own there/],
    ['/dev/pts/0', /own there/],
    ['/dev/shm/a/b', /own there/],
    ['/dev', /not below \/dev/],
    ['/etc/x', /not below \/dev/],
    ['/dev/../x', /not below \/dev/],
    ['dev/x', /no absolute path/],
    ['/dev/a\0b', /NUL/],
    ['/dev/a\ud800', /no Unicode/],
    [`/dev/${'x'.repeat(256)}`, /too long/],
    [`/dev/${'é'.repeat(128)}`, /too long/],
  ])('is not %j', (path, message) => {
    expect(() => placeOf(path, '/dev/x')).toThrow(
      expect.objectContaining({ code: 'ERR_BAD_OPTION', message: expect.stringMatching(message) }),
    );
  });

  it('is no longer than any path can be', () => {
    expect(() => placeOf(`/dev/${'x/'.repeat(2048)}`, '/dev/x')).toThrow(/too long/);
  });
});

describe('devices and mounts', () => {
  it.each([
    ['at', '/dev/vol', '/dev/vol'],
    ['below', '/dev/vol', '/dev/vol/deep/down'],
    ['above', '/dev/vol/deep/down', '/dev/vol'],
    ['at, written otherwise', '/dev/x/../vol/', '/dev/vol'],
  ])('exclude each other: a device %s a mount', async (_, target, path) => {
    for (const type of ['bind', 'tmpfs']) {
      await expect(besideDevices([mount(target, '/of/mine', type)], [node('/dev/first'), node(path)])).rejects.toThrow(
        expect.objectContaining({
          code: 'ERR_BAD_OPTION',
          message: expect.stringMatching(new RegExp(`${path} .*/dev/vol.*${type === 'bind' ? '/of/mine' : 'tmpfs'}`)),
        }),
      );
    }
  });

  it('do not, beside each other or elsewhere', async () => {
    const planned = ['/dev', '/', '/dev/shm', '/dev/volume', '/data/dev/vol'].map((target) => mount(target));
    expect(await besideDevices(planned, [node('/dev/vol'), node('/dev/a/b'), node('/dev/ab')])).toEqual(planned);
  });

  it('are one where a device is asked for in both ways, and only if it is the same one', async () => {
    const null3 = { major: 1, minor: 3 };
    const planned = [mount('/dev/mine', '/dev/null'), mount('/data')];
    expect(await besideDevices(planned, [node('/dev/mine', null3)])).toEqual([planned[1]]);
    for (const other of [
      { ...null3, minor: 5 },
      { ...null3, type: 'b' as const },
    ])
      await expect(besideDevices(planned, [node('/dev/mine', other)])).rejects.toThrow(/there cannot be a device/);
    await expect(
      besideDevices([mount('/dev', '/x'), mount('/dev/a', '/dev/null')], [node('/dev/a/b', null3)]),
    ).rejects.toThrow(/there cannot be a device/);
  });

  it('have no device below another one', async () => {
    await expect(besideDevices([], [node('/dev/a/b/c'), node('/dev/a')])).rejects.toThrow(
      expect.objectContaining({
        code: 'ERR_BAD_OPTION',
        message: expect.stringMatching(/\/dev\/a\/b\/c .*\/dev\/a is/),
      }),
    );
  });
});
