import { describe, expect, it } from 'vitest';
import { processorSeconds, useLayers } from '../helpers/layers.js';
import { archive, entry, header, pax } from '../helpers/raw-tar.js';

/** Its length is just below what the system takes behind the path of a layer. */
const deepest = Array.from({ length: 1980 }, () => 'd').join('/');

describe('directories two thousand deep', () => {
  const layers = useLayers();
  const named = (path: string, ...parts: Uint8Array[]) => Buffer.concat([pax({ path }), ...parts]);

  it('are made when they are only implied', async () => {
    const { stacking, entries } = await layers.unpack(archive(named(`${deepest}/f`, entry({ name: 'x' }, 'deep'))));
    expect(stacking.implied).toHaveLength(1981);
    expect(entries).toBe(1);
  });

  it('are made one by one', async () => {
    const parts = Array.from({ length: 1980 }, (_, index) =>
      named(deepest.slice(0, 2 * index + 1), header({ name: 'x', type: '5', mode: 0o755 })),
    );
    expect((await layers.unpack(archive(...parts))).stacking.implied).toEqual(['']);
  });

  it('go when a file takes the place of the first', async () => {
    const { tree } = await layers.unpack(
      archive(named(`${deepest}/f`, entry({ name: 'x' })), entry({ name: 'd' }, 'instead')),
    );
    expect(tree).toEqual({ '.': 'directory 755', d: 'file 644 instead' });
  });

  it('are refused when they are deeper than the system takes', async () => {
    const parts = archive(named(`${deepest}/${'e/'.repeat(100)}f`, entry({ name: 'x' })));
    expect((await layers.refusal(parts)).code).toBe('ERR_LIMIT_EXCEEDED');
  });

  it('do not make each entry in them as slow as the first', async () => {
    const start = processorSeconds();
    const parts = Array.from({ length: 200 }, (_, index) => named(`${deepest}/${index}/f`, header({ name: 'x' })));
    await layers.unpack(archive(...parts));
    expect(processorSeconds() - start).toBeLessThan(10);
  });
});
