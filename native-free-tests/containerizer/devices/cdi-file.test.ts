import { describe, expect, it } from 'vitest';
import { parseCdiName, readCdiDocument } from '#src/containerizer/devices/cdi/cdi-file.js';

const NODE = { path: '/dev/thing0' };
/** The least that a file must say, with other edits, and other words around. */
const file = (edits: object = { deviceNodes: [NODE] }, rest: object = {}) => ({
  cdiVersion: '1.1.0',
  kind: 'example.com/thing',
  devices: [{ name: 'one', containerEdits: edits }],
  ...rest,
});

describe('a CDI file', () => {
  it('is read with all that it may say', () => {
    const edits = {
      env: ['A=1', 'B='],
      deviceNodes: [
        {
          path: '/dev/a',
          hostPath: '/dev/b',
          type: 'c',
          major: 1,
          minor: 3,
          fileMode: 438,
          permissions: 'rw',
          uid: 1,
          gid: 2,
        },
        { path: '/dev/c', permissions: 'none' },
      ],
      netDevices: [{ hostInterfaceName: 'eth1', name: 'eth0' }],
      mounts: [{ hostPath: '/a', containerPath: '/b', options: ['ro', 'bind'], type: 'none' }],
      hooks: [{ hookName: 'createContainer', path: '/bin/x', args: ['x', 'y'], env: ['C=1'], timeout: 5 }],
      intelRdt: {
        closID: 'a',
        l3CacheSchema: 'L3:0=f',
        memBwSchema: 'MB:0=20',
        schemata: ['x'],
        enableMonitoring: true,
      },
      additionalGids: [0, 44],
    };
    const rest = { annotations: { a: 'b' }, containerEdits: { env: ['ALL=1'] } };
    expect(readCdiDocument(file(edits, rest))).toEqual({
      kind: 'example.com/thing',
      devices: [{ name: 'one', edits }],
      common: { env: ['ALL=1'] },
    });
  });

  it('may leave out what is empty, in whatever way', () => {
    for (const nothing of [null, []]) {
      const edits = { deviceNodes: [NODE], env: nothing, mounts: nothing, hooks: nothing, additionalGids: nothing };
      expect(readCdiDocument(file(edits, { containerEdits: null, annotations: null })).common).toBeUndefined();
    }
  });

  it.each<[string, unknown, RegExp]>([
    ['is no object', [], /the document: expected object, found array/],
    ['says nothing', {}, /is missing/],
    ['has a word that is not known', file(undefined, { devises: [] }), /devises: is unknown/],
    [
      'has an edit that is not known',
      file({ deviceNodes: [NODE], rlimits: [] }),
      /devices\[0\].containerEdits.rlimits: is unknown/,
    ],
    ['has a field of a device that is not known', file({ deviceNodes: [{ ...NODE, mode: 'x' }] }), /mode: is unknown/],
    ['names no kind', file(undefined, { kind: 'thing' }), /kind: must be of the form VENDOR\/CLASS/],
    ['has a kind of three parts', file(undefined, { kind: 'a.b/c/d' }), /kind: must be/],
    ['describes nothing', file(undefined, { devices: [] }), /devices: is empty/],
    ['has a device without edits', file({}), /one says nothing of a container/],
    ['has a device whose edits are all empty', file({ env: [], mounts: null }), /one says nothing of a container/],
    [
      'has a name twice',
      file(undefined, { devices: [1, 2].map(() => ({ name: 'x', containerEdits: { env: ['A=1'] } })) }),
      /x stands there twice/,
    ],
    [
      'has a name that is none',
      file(undefined, { devices: [{ name: 'a b', containerEdits: { env: ['A=1'] } }] }),
      /name: is no name/,
    ],
    ['has a relative path', file({ deviceNodes: [{ path: 'dev/x' }] }), /path: must be an absolute path/],
    ['has a variable without a name', file({ env: ['=1'] }), /env\[0\]: must be NAME=VALUE/],
    [
      'has permissions that are none',
      file({ deviceNodes: [{ ...NODE, permissions: 'rx' }] }),
      /permissions: must be of the letters/,
    ],
    ['has a type that is none', file({ deviceNodes: [{ ...NODE, type: 'd' }] }), /type: expected/],
    ['has a number below 0', file({ deviceNodes: [{ ...NODE, major: -1 }] }), /major: is below 0/],
    ['has a hook of no moment', file({ hooks: [{ hookName: 'never', path: '/x' }] }), /hookName: expected/],
    [
      'has a hook with no time',
      file({ hooks: [{ hookName: 'poststop', path: '/x', timeout: 0 }] }),
      /timeout: must be above 0/,
    ],
    [
      'is of a version to come',
      file(undefined, { cdiVersion: '1.2.0' }),
      /"1.2.0" is none that is known; the newest is 1.1.0/,
    ],
    ['is of a version that is none', file(undefined, { cdiVersion: 'new' }), /"new" is none that is known/],
  ])('that %s is refused, with the place', (_, value, message) => {
    expect(() => readCdiDocument(value)).toThrow(message);
  });

  it.each<[string, string, object, object?]>([
    ['1.1', 'network interfaces', { netDevices: [{ hostInterfaceName: 'a', name: 'b' }] }],
    ['1.1', 'schemata', { intelRdt: { schemata: ['x'] } }],
    ['0.7', 'groups', { additionalGids: [1] }],
    ['0.7', 'shares of caches', { intelRdt: { closID: 'x' } }],
    ['0.6', 'annotations', { env: ['A=1'] }, { annotations: { a: 'b' } }],
    ['0.6', 'a class with a dot', { env: ['A=1'] }, { kind: 'example.com/a.b' }],
    ['0.5', 'a path on the host', { deviceNodes: [{ ...NODE, hostPath: '/dev/x' }] }],
    ['0.5', 'a name that begins with a digit', {}, { devices: [{ name: '0', containerEdits: { env: ['A=1'] } }] }],
    ['0.4', 'types of mounts', { mounts: [{ hostPath: '/a', containerPath: '/b', type: 'none' }] }],
  ])('must be of version %s for %s', (needed, _, edits, rest = {}) => {
    const [major = 0, minor = 0] = needed.split('.').map(Number);
    const before = minor === 0 ? `${major - 1}.8.0` : `${major}.${minor - 1}.0`;
    expect(() => readCdiDocument(file(edits, { ...rest, cdiVersion: before }))).toThrow(`needs ${needed}.0 at least`);
    for (const version of [`${needed}.0`, `v${needed}.0`, '1.1.0'])
      expect(readCdiDocument(file(edits, { ...rest, cdiVersion: version })).devices).toHaveLength(1);
  });

  it('gives names of three parts', () => {
    expect(parseCdiName('nvidia.com/gpu=GPU-1a.2:0')).toEqual({ kind: 'nvidia.com/gpu', name: 'GPU-1a.2:0' });
    for (const text of ['', 'a=b', 'a/b', 'a/b=', '/b=c', 'a/=c', '1/b=c', 'a/b=c=d', 'a/b/c=d', 'a/b=-', '/dev/fuse'])
      expect(parseCdiName(text), text).toBeUndefined();
  });
});
