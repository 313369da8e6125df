import { expect, it } from 'vitest';
import { archive, entry, header, pax } from '../../native-free-tests/helpers/raw-tar.js';
import { describeWith } from '../helpers/requirements.js';
import { useRootedLayers } from './workbench.js';

const plain = { uid: 0, gid: 0, mode: '0644', mtime: '1704067200000000000', xattrs: [] };
/** What `a` is as each type, with nothing left of what it was. */
const TYPES: Record<string, { part: Uint8Array; is: object }> = {
  file: { part: entry({ name: 'a' }, 'content'), is: { ...plain, type: 'file', size: 7 } },
  directory: { part: header({ name: 'a', type: '5' }), is: { ...plain, type: 'directory' } },
  symlink: {
    part: header({ name: 'a', type: '2', linkName: 'd' }),
    is: { ...plain, mode: '0777', type: 'symlink', target: 'd' },
  },
  fifo: { part: header({ name: 'a', type: '6' }), is: { ...plain, type: 'fifo' } },
  'character device': {
    part: header({ name: 'a', type: '3', major: 1, minor: 3 }),
    is: { ...plain, type: 'character device', device: '259' },
  },
  'block device': {
    part: header({ name: 'a', type: '4', major: 8, minor: 0 }),
    is: { ...plain, type: 'block device', device: '2048' },
  },
  'hard link': { part: header({ name: 'a', type: '1', linkName: 'f' }), is: { ...plain, type: 'file', size: 6 } },
  'device 0/0': { part: header({ name: 'a', type: '3' }), is: { type: 'character device', device: '0' } },
  whiteout: { part: entry({ name: '.wh.a' }), is: { type: 'character device', device: '0' } },
};
const pairs = Object.keys(TYPES).flatMap((first) => Object.keys(TYPES).map((second) => [first, second] as const));
const around = [
  entry({ name: 'f' }, 'target'),
  header({ name: 'd', type: '5', mode: 0o750 }),
  entry({ name: 'd/f' }, 'other'),
];
/** Says of the layers below that there is no `a`. */
const HIDES = new Set(['whiteout', 'device 0/0']);
/** What the first entry has of its own. */
const PRIVATE = pax({ uid: '5', gid: '6', mtime: '1.5', 'SCHILY.xattr.trusted.first': 'x' });

describeWith(['root'], 'a later entry replaces the earlier of the same path, with all its attributes', () => {
  const layers = useRootedLayers();

  it.each(pairs)('%s by %s', async (first, second) => {
    const { part: before = Buffer.alloc(0), is: was = {} } = TYPES[first] ?? {};
    const { part = Buffer.alloc(0), is = {} } = TYPES[second] ?? {};
    const { at } = await layers.apply(archive(...around, PRIVATE, before, part));
    if (second === 'whiteout' && !HIDES.has(first)) {
      // It concerns lower layers only: what the layer has stays, with the attributes it came with.
      const own = first === 'hard link' ? {} : { uid: 5, gid: 6, mtime: '1500000000', xattrs: expect.anything() };
      expect(at('a')).toMatchObject({ ...was, ...own });
    } else if (HIDES.has(first) && second === 'directory') {
      expect(at('a')).toMatchObject({ ...is, xattrs: ['trusted.overlay.opaque=79'] });
    } else {
      expect(at('a')).toMatchObject(is);
    }
    expect(at('f')).toMatchObject({ ...plain, size: 6 });
    expect(at('d')).toMatchObject({ ...plain, mode: '0750' });
    expect(at('d/f')).toMatchObject({ ...plain, size: 5 });
  });
});
