import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { cdiEdits } from '#src/containerizer/devices/cdi/cdi-edits.js';

let place: string;
beforeEach(() => {
  place = mkdtempSync(join(tmpdir(), 'cdi-'));
});
afterEach(() => rmSync(place, { recursive: true, force: true }));

/** What one device takes whose file says this. */
async function editsOf(edits: object) {
  const directory = join(place, 'cdi');
  mkdirSync(directory, { recursive: true });
  const document = {
    cdiVersion: '1.1.0',
    kind: 'example.com/thing',
    devices: [{ name: 'one', containerEdits: edits }],
  };
  writeFileSync(join(directory, 'a.json'), JSON.stringify(document), { mode: 0o644 });
  return cdiEdits(['example.com/thing=one'], [directory]);
}
const nodeOf = async (node: object) => (await editsOf({ deviceNodes: [node] })).nodes[0];
const ZERO = { path: '/dev/thing', hostPath: '/dev/zero' };

describe('a device node of a CDI file', () => {
  it.each<[string, object, object]>([
    ['nothing', {}, { type: 'c', major: 1, minor: 5, mode: 0o666 }],
    ['its type alone', { type: 'c' }, { type: 'c', major: 1, minor: 5 }],
    ['the type of unbuffered ones', { type: 'u' }, { type: 'c', major: 1, minor: 5 }],
    ['numbers of 0, which are none', { type: 'c', major: 0, minor: 0 }, { major: 1, minor: 5 }],
    ['a minor alone, which says nothing', { minor: 7 }, { major: 1, minor: 5 }],
    ['a type and a major, so that its minor is 0', { type: 'b', major: 7 }, { type: 'b', major: 7, minor: 0 }],
    ['a major alone, the same', { major: 7 }, { type: 'c', major: 7, minor: 0 }],
    ['all, whatever is here', { type: 'b', major: 7, minor: 3 }, { type: 'b', major: 7, minor: 3, mode: 0o666 }],
    ['a mode', { fileMode: 0o100640 }, { mode: 0o640 }],
  ])('has from this machine what it does not say: it says %s', async (_, says, expected) => {
    expect(await nodeOf({ ...ZERO, ...says })).toMatchObject({ path: '/dev/thing', ...expected });
  });

  it('need not be here when it says all', async () => {
    const whole = { path: '/dev/not-here', type: 'c', major: 195, minor: 1 };
    expect(await nodeOf(whole)).toMatchObject({ type: 'c', major: 195, minor: 1, mode: 0o666 });
    expect(await nodeOf({ path: '/dev/not-here', type: 'p' })).toMatchObject({ type: 'p' });
    await expect(nodeOf({ ...whole, major: 0 })).rejects.toThrow(/there is no \/dev\/not-here/);
  });

  it('is not of another type than it says', async () => {
    await expect(nodeOf({ ...ZERO, type: 'b' })).rejects.toMatchObject({
      code: 'ERR_DEVICE_NOT_FOUND',
      message: expect.stringContaining('/dev/zero is a character device on this machine, and no block device'),
      hint: expect.stringContaining('a.json'),
    });
  });

  it('is not what a symlink leads to, and has nothing from one', async () => {
    const link = join(place, 'link');
    symlinkSync('/dev/zero', link);
    await expect(nodeOf({ ...ZERO, hostPath: link })).rejects.toThrow(/is a symlink, and no device/);
    const whole = { ...ZERO, hostPath: link, type: 'c', major: 1, minor: 5 };
    expect(await nodeOf(whole)).toMatchObject({ mode: 0o666 });
  });

  it('is the last of those at one place, however that is written', async () => {
    const { nodes } = await editsOf({
      deviceNodes: [
        { ...ZERO, permissions: 'rwm' },
        { path: '/dev/other', hostPath: '/dev/null' },
        { ...ZERO, path: '/dev//thing/', permissions: 'r' },
      ],
    });
    expect(nodes.map(({ path, access }) => [path, access])).toEqual([
      ['/dev/other', 'rwm'],
      ['/dev/thing', 'r'],
    ]);
  });
});

describe('mounts of a CDI file', () => {
  it('are the last of those at one place, however that is written', async () => {
    const { mounts } = await editsOf({
      mounts: [
        { hostPath: '/etc', containerPath: '/opt/x' },
        { hostPath: '/usr', containerPath: '/opt/x/' },
      ],
    });
    expect(mounts.map(({ mount }) => [mount.source, mount.destination])).toEqual([['/usr', '/opt/x']]);
  });

  it('may be a file system, whose source is but a name', async () => {
    const { mounts } = await editsOf({
      mounts: [{ hostPath: 'tmpfs', containerPath: '/scratch', type: 'tmpfs', options: ['size=1m', 'nosuid'] }],
    });
    expect(mounts[0]?.mount).toEqual({
      destination: '/scratch',
      type: 'tmpfs',
      source: 'tmpfs',
      options: ['size=1m', 'nosuid'],
    });
    for (const type of [undefined, 'none', 'bind'])
      await expect(editsOf({ mounts: [{ hostPath: 'tmpfs', containerPath: '/scratch', type }] })).rejects.toThrow(
        /hostPath: must be an absolute path/,
      );
  });

  it('say who asks for them', async () => {
    const { mounts } = await editsOf({ mounts: [{ hostPath: '/etc', containerPath: '/opt/x' }] });
    expect(mounts[0]?.askedBy).toMatch(/example\.com\/thing=one, in .*a\.json/);
  });
});

describe('hooks of a CDI file', () => {
  it.each(['prestart', 'createRuntime', 'createContainer'])('run before the program: %s', async (hookName) => {
    const { hooks } = await editsOf({ hooks: [{ hookName, path: '/bin/sh', args: ['sh'], timeout: 3 }] });
    expect(hooks).toEqual([{ name: hookName, path: '/bin/sh', args: ['sh'], timeout: 3 }]);
  });

  it.each(['startContainer', 'poststart', 'poststop'])('at other moments are refused: %s', async (hookName) => {
    await expect(editsOf({ hooks: [{ hookName, path: '/bin/sh' }] })).rejects.toMatchObject({
      code: 'ERR_DEVICE_UNSUPPORTED',
      message: expect.stringContaining(hookName),
    });
  });

  it('must be programs of this machine', async () => {
    for (const path of ['/nothing/like/it', '/etc', '/etc/passwd']) {
      await expect(editsOf({ hooks: [{ hookName: 'prestart', path }] })).rejects.toMatchObject({
        code: 'ERR_DEVICE_NOT_FOUND',
        message: expect.stringContaining(`its prestart hook ${path}`),
      });
    }
  });
});
