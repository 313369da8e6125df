import { describe, expect, it } from 'vitest';
import { useLayers } from '../helpers/layers.js';
import { archive, entry, gnuLong, header, pax } from '../helpers/raw-tar.js';

describe('an entry that tries to climb out of its layer with ".." in its name', () => {
  const layers = useLayers();
  const names = [
    '..',
    '../a',
    '../../outside/file',
    'a/../../outside/file',
    'a/..',
    'a/../b',
    './../a',
    '/../a',
    'a/b/../../../..',
    '..//a',
    'd/..',
  ];

  it.each(names)('is refused: %s', async (name) => {
    const tar = archive(entry({ name: 'before' }), entry({ name }, 'x'));
    expect(await layers.refusal(tar)).toMatchObject({ code: 'ERR_UNSAFE_PATH', details: { path: name } });
  });

  it.each(['0', '1', '2', '3', '4', '5', '6'])('is refused as typeflag %s', async (type) => {
    const tar = archive(header({ name: '../../outside/new', linkName: 'x', type, major: 1, minor: 3 }));
    expect((await layers.refusal(tar)).code).toBe('ERR_UNSAFE_PATH');
  });

  it('is refused wherever the name is written', async () => {
    const name = '../../outside/file';
    for (const parts of [
      [pax({ path: name }), entry({ name: 'a' })],
      [gnuLong('L', name), entry({ name: 'a' })],
      [entry({ name: 'file', prefix: '../../outside' })],
      [pax({ path: name }, 'g'), entry({ name: 'a' })],
      [pax({ 'GNU.sparse.name': name, 'GNU.sparse.size': '1', 'GNU.sparse.map': '0,1' }), entry({ name: 'a' }, 'x')],
    ]) {
      expect((await layers.refusal(archive(...parts))).code).toBe('ERR_UNSAFE_PATH');
    }
  });

  it('is told from names that only begin with dots', async () => {
    const { tree } = await layers.unpack(
      archive(...['...', '..a', 'a..', '.a', 'd/...', '..b/c'].map((name) => entry({ name }))),
    );
    expect(Object.keys(tree).sort()).toEqual(['.', '...', '..a', '..b', '..b/c', '.a', 'a..', 'd', 'd/...']);
  });

  it('does not bring control characters into the message', async () => {
    expect((await layers.refusal(archive(entry({ name: '../\x1b[2J\x07' })))).message).toContain(
      '../\\\\x1b[2J\\\\x07',
    );
  });
});
