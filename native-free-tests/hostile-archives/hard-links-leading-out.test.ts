import { lstatSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { useLayers } from '../helpers/layers.js';
import { archive, entry, header, pax } from '../helpers/raw-tar.js';

const link = (name: string, target: string) =>
  Buffer.concat([pax({ linkpath: Buffer.from(target) }), header({ name, type: '1', linkName: 'x' })]);
const symlink = (name: string, target: string) =>
  Buffer.concat([pax({ linkpath: Buffer.from(target) }), header({ name, type: '2', linkName: 'x' })]);

describe('a hard link to a file outside the layer', () => {
  const layers = useLayers();

  it.each(['../../outside/file', '../outside/file', 'a/../../../outside/file', '/../../outside/file', '..'])(
    'is refused when its target is %s',
    async (target) => {
      expect((await layers.refusal(archive(link('a', target)))).code).toBe('ERR_UNSAFE_PATH');
    },
  );

  it('finds nothing with an absolute target, which is one inside the image', async () => {
    const target = `${layers.outside}/file`;
    const { tree, stacking } = await layers.unpack(archive(link('a', target)));
    expect(tree).toEqual({ '.': 'directory 755' });
    expect(stacking.lowerLinks).toEqual([{ path: 'a', target: target.slice(1) }]);
  });

  it('finds nothing through a symlink that leads out', async () => {
    for (const out of [layers.outside, '../../outside', '../../../../../../../../..']) {
      const { tree, stacking } = await layers.unpack(archive(symlink('l', out), link('a', 'l/file')));
      expect(tree).not.toHaveProperty('a');
      expect(stacking.lowerLinks).toHaveLength(1);
      expect(JSON.stringify(stacking)).not.toContain('..');
    }
  });

  it('is a name of the symlink itself when its target is one that leads out', async () => {
    const { tree, rootfs } = await layers.unpack(archive(symlink('l', '../../outside/file'), link('a', 'l')));
    expect(tree['a']).toBe('symlink to ../../outside/file');
    expect(lstatSync(join(rootfs, 'a')).nlink).toBe(2);
  });

  it('cannot be written through: a later entry replaces the name', async () => {
    const { tree } = await layers.unpack(
      archive(symlink('l', '../../outside/file'), link('a', 'l'), entry({ name: 'a' }, 'inside')),
    );
    expect(tree['a']).toBe('file 644 inside');
  });
});

describe('a hard link to what cannot have a second name', () => {
  const layers = useLayers();
  const directory = header({ name: 'd', type: '5' });

  it.each([
    ['a directory', [directory, link('a', 'd')]],
    ['an implied directory', [entry({ name: 'd/x' }), link('a', 'd')]],
    ['the directory it stands in', [directory, link('d/a', 'd')]],
    ['the root', [link('a', './')]],
    ['a file below the directory whose place it takes', [entry({ name: 'd/x' }), link('d', 'd/x')]],
    ['nothing', [header({ name: 'a', type: '1' })]],
    ['a whiteout', [entry({ name: '.wh.x' }), link('a', '.wh.x')]],
    ['an opaque marker', [link('a', 'd/.wh..wh..opq')]],
    ['something below a whiteout', [link('a', '.wh.d/x')]],
  ])('is refused: %s', async (_what, parts) => {
    expect((await layers.refusal(archive(...parts))).code).toBe('ERR_LAYER_MALFORMED');
  });

  it('is harmless to itself', async () => {
    const { tree, stacking } = await layers.unpack(archive(link('a', 'a'), link('d/b', 'd/b')));
    expect(tree).toEqual({ '.': 'directory 755', d: 'directory 755' });
    expect(stacking.lowerLinks).toEqual([]);
  });
});
