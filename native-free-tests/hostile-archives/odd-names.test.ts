import { describe, expect, it } from 'vitest';
import { useLayers } from '../helpers/layers.js';
import { archive, entry, gnuLong, header, pax } from '../helpers/raw-tar.js';

describe('an entry with a name that no file can have', () => {
  const layers = useLayers();
  const refused = async (...parts: Uint8Array[]) => (await layers.refusal(archive(...parts))).code;

  it('is refused when it is empty, and no directory: that is the root', async () => {
    expect(await refused(entry({ name: '' }, 'x'))).toBe('ERR_LAYER_MALFORMED');
    expect(await refused(gnuLong('L', ''), entry({ name: 'a' }))).toBe('ERR_LAYER_MALFORMED');
    const { entries, tree, describesRoot } = await layers.unpack(archive(header({ name: '', type: '5', mode: 0o711 })));
    expect([entries, tree['.'], describesRoot]).toEqual([1, 'directory 711', true]);
  });

  it('is refused when it has a NUL', async () => {
    expect(await refused(pax({ path: 'a\0b' }), entry({ name: 'a' }))).toBe('ERR_LAYER_MALFORMED');
    expect(await refused(pax({ path: '\0' }), entry({ name: 'a' }))).toBe('ERR_LAYER_MALFORMED');
    expect(await refused(pax({ linkpath: 'a\0b' }), header({ name: 'a', type: '2' }))).toBe('ERR_LAYER_MALFORMED');
  });

  it('is refused when it is the root but no directory', async () => {
    for (const name of ['.', './', '/', './/.']) {
      for (const type of ['0', '1', '2', '3', '6']) {
        // A file whose name ends with a slash is a directory of old.
        if (type === '0' && name.endsWith('/')) continue;
        expect(await refused(header({ name, linkName: 'x', type }))).toBe('ERR_LAYER_MALFORMED');
      }
    }
  });

  it('is refused when a component is longer than the system takes', async () => {
    for (const name of ['n'.repeat(256), `${'n'.repeat(256)}/a`, `d/${'n'.repeat(4000)}`]) {
      expect(await refused(pax({ path: name }), entry({ name: 'x' }))).toBe('ERR_LIMIT_EXCEEDED');
    }
  });

  it('is refused when it is longer than the system takes', async () => {
    for (const name of ['a/'.repeat(2500), `${'n'.repeat(200)}/`.repeat(25), 'a'.repeat(1_000_000)]) {
      expect(await refused(pax({ path: name }), entry({ name: 'x' }))).toBe('ERR_LIMIT_EXCEEDED');
      expect(await refused(gnuLong('L', name), entry({ name: 'x' }))).toBe('ERR_LIMIT_EXCEEDED');
    }
  });

  it('is refused when a symlink makes it longer than the system takes', async () => {
    const deep = Array.from({ length: 15 }, () => 'n'.repeat(250)).join('/');
    const parts = [
      pax({ path: `${deep}/d` }),
      header({ name: 'x', type: '5' }),
      pax({ linkpath: `/${deep}/d` }),
      header({ name: 'l', type: '2' }),
    ];
    expect(
      await refused(...parts, pax({ path: `l/${'m'.repeat(250)}/${'o'.repeat(250)}` }), entry({ name: 'x' })),
    ).toBe('ERR_LIMIT_EXCEEDED');
  });
});

describe('a symlink with a target that no symlink can have', () => {
  const layers = useLayers();

  it('is refused when it is empty', async () => {
    expect((await layers.refusal(archive(header({ name: 'a', type: '2' })))).code).toBe('ERR_LAYER_MALFORMED');
  });

  it('is refused when it is longer than the system takes', async () => {
    for (const length of [4096, 100_000]) {
      expect(
        (await layers.refusal(archive(pax({ linkpath: 't'.repeat(length) }), header({ name: 'a', type: '2' })))).code,
      ).toBe('ERR_LIMIT_EXCEEDED');
      expect(
        (await layers.refusal(archive(gnuLong('K', 't'.repeat(length)), header({ name: 'a', type: '1' })))).code,
      ).toBe('ERR_LIMIT_EXCEEDED');
    }
  });
});
