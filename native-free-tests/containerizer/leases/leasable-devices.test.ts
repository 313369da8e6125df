import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import {
  countedDevices,
  deviceAt,
  deviceNamed,
  devicesOfClass,
  ownNodes,
} from '#src/containerizer/leases/leasable-devices.js';

/** @param nodes of each device, a letter each */
function own(nodes: Readonly<Record<string, string>>): Record<string, string> {
  const sets = new Map(Object.entries(nodes).map(([name, letters]) => [name, new Set(letters)]));
  return Object.fromEntries([...ownNodes(sets)].map(([name, letters]) => [name, letters.join('')]));
}

describe('what of devices only one may have', () => {
  it.each<[string, Record<string, string>, Record<string, string>]>([
    ['is all of those that have nothing in common', { 0: 'a', 1: 'bc' }, { 0: 'a', 1: 'bc' }],
    [
      'is the same by another name, and by a name for all',
      { 0: 'a', 'GPU-1': 'a', 1: 'b', all: 'ab' },
      { 0: 'a', 'GPU-1': 'a', 1: 'b', all: 'ab' },
    ],
    [
      'is not the door to a driver that each of them has',
      { 0: 'kab', 1: 'kcd', all: 'kabcd' },
      { 0: 'ab', 1: 'cd', all: 'abcd' },
    ],
    [
      'is not the card, for parts of one that have more besides',
      { '0:0': 'nab', '0:1': 'ncd', 1: 'm', all: 'nmabcd' },
      { '0:0': 'ab', '0:1': 'cd', 1: 'm', all: 'mabcd' },
    ],
    ['is everything of the only one', { 0: 'kab', all: 'kab' }, { 0: 'kab', all: 'kab' }],
    ['is what one has alone, also when another has it and more', { one: 'x', both: 'xy' }, { one: 'x', both: 'xy' }],
    [
      'is never nothing: where pairs overlap, a pair in the middle keeps both others out',
      { ab: 'ab', bc: 'bc', cd: 'cd' },
      { ab: 'ab', bc: 'bc', cd: 'cd' },
    ],
    ['is nothing of one without nodes', { bare: '', 0: 'a' }, { bare: '', 0: 'a' }],
  ])('%s', (_, nodes, expected) => {
    expect(own(nodes)).toEqual(expected);
  });
});

describe('the devices of a class that are counted', () => {
  const named = (devices: Readonly<Record<string, string>>) =>
    countedDevices(Object.entries(devices).map(([name, letters]) => ({ name, identities: [...letters] }))).map(
      ({ name }) => name,
    );

  it('are none that is several others, and each once', () => {
    expect(named({ n0: 'a', 'GPU-1': 'a', n1: 'b', all: 'ab' })).toEqual(['n0', 'n1']);
    expect(named({ all: 'a', n0: 'a' })).toEqual(['all']);
  });
});

describe('a device', () => {
  let place: string;
  beforeEach(() => {
    place = mkdtempSync(join(tmpdir(), 'leasable-'));
  });
  afterEach(() => rmSync(place, { recursive: true, force: true }));

  it('is the same by whatever path', async () => {
    symlinkSync('/dev/tty1', join(place, 'link'));
    // On a machine without such a terminal there is nothing to be found.
    const direct = await deviceAt('/dev/tty1').catch((error) => error.code);
    const linked = await deviceAt(join(place, 'link')).catch((error) => error.code);
    expect(linked.identities ?? linked).toEqual(direct.identities ?? direct);
  });

  it.each([
    ['/dev/null', 'every container has it'],
    ['/dev/urandom', 'every container has it'],
  ])('that every container has cannot be leased: %s', async (path, why) => {
    await expect(deviceAt(path)).rejects.toMatchObject({
      code: 'ERR_BAD_OPTION',
      message: expect.stringContaining(why),
    });
  });

  it.each([
    ['/dev/nothing-like-it', 'ERR_DEVICE_NOT_FOUND'],
    ['dev/fuse', 'ERR_BAD_OPTION'],
  ])('that there is not cannot be leased: %s', async (path, code) => {
    await expect(deviceAt(path)).rejects.toMatchObject({ code });
  });

  it('is not a directory without devices, also one that leads round in a circle', async () => {
    symlinkSync(place, join(place, 'round'));
    await expect(deviceAt(place)).rejects.toMatchObject({ code: 'ERR_DEVICE_NOT_FOUND' });
  });

  function cdi(devices: readonly object[]): string[] {
    const directory = join(place, 'cdi');
    mkdirSync(directory);
    const document = { cdiVersion: '0.6.0', kind: 'example.com/gpu', devices };
    writeFileSync(join(directory, 'a.json'), JSON.stringify(document), { mode: 0o644 });
    return [directory];
  }
  const node = (minor: number) => ({ path: `/dev/gpu${minor}`, type: 'c', major: 195, minor });

  it('that a CDI file describes is its nodes by number; one without nodes is its name', async () => {
    const directories = cdi([
      { name: '10', containerEdits: { deviceNodes: [node(10)] } },
      { name: '2', containerEdits: { deviceNodes: [node(2), { path: '/dev/pipe', type: 'p' }] } },
      { name: 'env', containerEdits: { env: ['A=1'] } },
      { name: 'gone', containerEdits: { deviceNodes: [{ path: '/dev/nothing-like-it' }] } },
    ]);
    expect(await devicesOfClass('example.com/gpu', directories)).toEqual([
      { name: 'example.com/gpu=2', identities: ['c 195:2'] },
      { name: 'example.com/gpu=10', identities: ['c 195:10'] },
      { name: 'example.com/gpu=env', identities: ['cdi example.com/gpu=env'] },
    ]);
    expect(await deviceNamed('example.com/gpu=10', directories)).toMatchObject({ identities: ['c 195:10'] });
    for (const name of ['gone', 'never']) {
      await expect(deviceNamed(`example.com/gpu=${name}`, directories)).rejects.toMatchObject({
        code: 'ERR_DEVICE_NOT_FOUND',
      });
    }
    await expect(devicesOfClass('example.com/other', directories)).rejects.toMatchObject({
      code: 'ERR_DEVICE_NOT_FOUND',
      hint: expect.stringContaining('example.com/gpu'),
    });
  });
});
