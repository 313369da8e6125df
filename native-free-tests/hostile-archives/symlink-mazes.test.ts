import { describe, expect, it } from 'vitest';
import { processorSeconds, useLayers } from '../helpers/layers.js';
import { archive, entry, header, pax } from '../helpers/raw-tar.js';

const symlink = (name: string, target: string) =>
  Buffer.concat([pax({ linkpath: target }), header({ name, type: '2', linkName: 'x' })]);

describe('an entry behind symlinks that lead in circles', () => {
  const layers = useLayers();

  it.each([
    ['to itself', [symlink('l', 'l')]],
    ['to itself below', [symlink('l', 'l/l')]],
    ['to each other', [symlink('l', 'm'), symlink('m', './l')]],
    ['through the root', [symlink('l', '/m/..//l')]],
  ])('(%s) is refused', async (_what, links) => {
    expect((await layers.refusal(archive(...links, entry({ name: 'l/a' })))).code).toBe('ERR_LAYER_MALFORMED');
  });

  it('does not matter as long as nothing goes through them', async () => {
    expect((await layers.unpack(archive(symlink('l', 'l'), entry({ name: 'a' })))).tree).toMatchObject({
      l: 'symlink to l',
    });
  });

  it('is where a hard link finds nothing', async () => {
    expect(
      (await layers.refusal(archive(symlink('l', 'l'), header({ name: 'a', linkName: 'l/x', type: '1' })))).code,
    ).toBe('ERR_LAYER_MALFORMED');
  });
});

describe('an entry behind a chain of symlinks', () => {
  const layers = useLayers();
  const chain = (length: number) =>
    Array.from({ length }, (_, index) => symlink(`l${index}`, index === 0 ? 'end' : `l${index - 1}`));

  it('is found behind as many as the kernel follows', async () => {
    expect((await layers.unpack(archive(...chain(40), entry({ name: 'l39/a' }, 'x')))).tree['end/a']).toBe(
      'file 644 x',
    );
  });

  it('is refused behind one more, and behind thousands', async () => {
    for (const length of [41, 3000]) {
      expect((await layers.refusal(archive(...chain(length), entry({ name: `l${length - 1}/a` })))).code).toBe(
        'ERR_LAYER_MALFORMED',
      );
    }
  });

  it('cannot keep the engine busy with targets that go to and fro', async () => {
    // Forty links of a thousand steps each, walked anew for every one of many entries.
    const detour = 'd/../'.repeat(800);
    const links = Array.from({ length: 40 }, (_, index) =>
      symlink(`l${index}`, `${detour}${index === 0 ? 'd' : `l${index - 1}`}`),
    );
    const start = processorSeconds();
    const entries = Array.from({ length: 20_000 }, (_, index) => header({ name: `l39/${index}/a` }));
    const error = await layers.refusal(archive(header({ name: 'd', type: '5' }), ...links, ...entries));
    expect(error.code).toBe('ERR_LIMIT_EXCEEDED');
    expect(processorSeconds() - start).toBeLessThan(15);
  });
});
