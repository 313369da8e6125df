import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { processorSeconds, useLayers } from '../helpers/layers.js';
import { archive, entry, header } from '../helpers/raw-tar.js';
import { seamed } from '../seams/stack-builder.js';

/** Each case takes a second or less on an idle machine; what is quadratic would take minutes. */
const SECONDS = 5;

const times = (count: number, make: (index: number) => Buffer): Buffer[] =>
  Array.from({ length: count }, (_, index) => make(index));
const link = (name: string, target: string): Buffer => header({ name, linkName: target, type: '1' });
const symlink = (name: string, target: string): Buffer => header({ name, linkName: target, type: '2' });
const directory = (name: string): Buffer => header({ name, type: '5', mode: 0o700 });

describe('a stack made to take more time than its length is worth', () => {
  const layers = useLayers();

  const cases: Record<string, () => Buffer[][]> = {
    'files in an implied directory that lies elsewhere': () => [
      [directory('real'), symlink('d', 'real')],
      times(5500, (index) => entry({ name: `d/f${index}` })),
    ],
    'whiteouts in an implied directory that lies elsewhere': () => [
      [directory('real'), symlink('d', 'real')],
      times(5500, (index) => entry({ name: `d/.wh.f${index}` })),
    ],
    'implied directories': () => [
      times(3500, (index) => directory(`d${index}`)),
      times(3500, (index) => entry({ name: `d${index}/f` })),
    ],
    'implied directories within each other': () => [
      times(700, (index) => directory('d/'.repeat(index + 1))),
      [entry({ name: `${'d/'.repeat(40)}f` }), ...times(40, (index) => entry({ name: `${'d/'.repeat(index + 1)}f` }))],
    ],
    'links to one file of the layer below': () => [
      [entry({ name: 'f' }, 'x')],
      times(5500, (index) => link(`l${index}`, 'f')),
    ],
    'links to links, and links to as many files': () => [
      times(2100, (index) => entry({ name: `f${index}` }, 'x')),
      times(2100, (index) => link(`l${index}`, `f${index}`)),
      times(2100, (index) => link(`m${index}`, `l${index}`)),
    ],
    'links in many layers': () => [
      [entry({ name: 'f' }, 'x')],
      ...times(30, () => Buffer.alloc(0)).map((_, layer) => times(40, (index) => link(`l${layer}-${index}`, 'f'))),
    ],
    'symlinks to symlinks on the way to each link': () => [
      [directory('real'), entry({ name: 'real/f' }, 'x'), symlink('s0', 'real')],
      times(30, (index) => symlink(`s${index + 1}`, `s${index}`)),
      times(1400, (index) => link(`l${index}`, 's30/f')),
    ],
  };

  it.each(Object.keys(cases))(
    'takes time in proportion: %s',
    async (name) => {
      const unpacked: string[] = [];
      for (const parts of cases[name]?.() ?? []) {
        const { rootfs } = await layers.unpack(archive(...parts));
        unpacked.push(join(rootfs, '..'));
      }
      const start = processorSeconds();
      const { seams } = await seamed(layers, unpacked);
      expect(processorSeconds() - start).toBeLessThan(SECONDS);
      expect(seams.some(({ entries }) => entries > 0)).toBe(true);
    },
    60_000,
  );
});
