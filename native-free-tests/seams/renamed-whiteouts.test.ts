import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { buildLayer } from '../helpers/image-builder.js';
import { useLayers } from '../helpers/layers.js';
import { type Entries, stackOf } from './stack-builder.js';

/** With whiteouts and opaque directories in a layer, and in a seam: `moved/` is a symlink below where the topmost only implies it. */
const ARCHIVES: readonly Entries[] = [
  [
    { path: 'data/' },
    { path: 'data/old', content: '1' },
    { path: 'kept/' },
    { path: 'kept/gone', content: '1' },
    { path: 'kept/stays', content: '1' },
    { path: 'real/' },
    { path: 'real/gone', content: '1' },
    { path: 'real/replaced/' },
    { path: 'real/replaced/old', content: '1' },
    { path: 'moved', type: 'symlink', target: 'real' },
  ],
  [
    { path: 'data/.wh..wh..opq' },
    { path: 'data/new', content: '2' },
    { path: 'kept/.wh.gone' },
    { path: 'kept/.wh..wh=not-there' },
    { path: 'kept/.wh..wh=.opq' },
    { path: 'moved/.wh.gone' },
    { path: 'moved/replaced/.wh..wh..opq' },
    { path: 'moved/replaced/new', content: '2' },
  ],
];

describe('whiteouts of other names, for file systems that refuse the common ones', () => {
  const layers = useLayers();

  it('hide the same in layers, seams and copies, and do not show', async () => {
    const plain = await stackOf(layers, ARCHIVES);
    const renamed = await stackOf(layers, ARCHIVES, { whiteouts: 'renamed' });
    expect(renamed.tree).toEqual(plain.tree);
    expect(Object.keys(renamed.tree).toSorted()).toEqual([
      '.',
      'data',
      'data/new',
      'kept',
      'kept/stays',
      'moved',
      'real',
      'real/replaced',
      'real/replaced/new',
    ]);
    expect(renamed.seams.some(({ whiteouts }) => whiteouts)).toBe(true);
    for (const directory of renamed.directories) {
      const names = readdirSync(join(directory, 'rootfs'), { recursive: true, encoding: 'utf8' });
      expect(names.filter((name) => name.includes('.wh.'))).toEqual([]);
    }
  });

  it('are the reason to refuse an image that has such names of its own, wherever they stand', async () => {
    const link = { path: 'way', type: 'symlink', target: '.wh=there' } as const;
    for (const entries of [
      [{ path: 'kept/.wh=stays' }],
      [{ path: '.wh=d/f' }],
      [{ path: '.wh=.wh=.opq' }],
      [link, { path: 'way/f' }],
    ] as const) {
      const { tar } = buildLayer(entries);
      const { code, message, hint } = await layers.refusal(tar, { format: 'renamed' });
      expect({ entries, code }).toEqual({ entries, code: 'ERR_UNSAFE_PATH' });
      expect(message).toMatch(/"[^"]*\.wh=.*in this store/);
      expect(hint).toMatch(/another file system.*--root/);
      await layers.unpack(tar, { format: 'plain' });
    }
  });
});
