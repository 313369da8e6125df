import { expect, it } from 'vitest';
import { checkLayers } from '#src/check/check-layers.js';
import { StorePaths } from '#src/paths.js';

it('when one comparison fails, the others are broken off and over before it is told, and no more are begun', async () => {
  const layers = Array.from({ length: 10 }, (_, n) => ({
    id: `sha256:${String(n).repeat(64)}`,
    entries: 1000,
    bytes: 0,
  }));
  let [begun, underWay] = [0, 0];
  const run = async (_: string, __: unknown, { signal }: { readonly signal: AbortSignal }) => {
    underWay++;
    try {
      if (++begun === 3) throw new Error('the first failure');
      await new Promise((_resolve, reject) => signal.addEventListener('abort', () => reject(new Error('broken off'))));
    } finally {
      await new Promise((resolve) => setTimeout(resolve, 5));
      underWay--;
    }
  };
  const parts = {
    paths: new StorePaths('/store'),
    metadata: { listLayers: async () => layers },
    pool: { size: 4, run },
  };
  const checking = checkLayers(parts as never, { mode: 'quick', signal: undefined, report: () => {} });
  await expect(checking).rejects.toThrow('the first failure');
  expect({ begun, underWay }).toEqual({ begun: 4, underWay: 0 });
});
