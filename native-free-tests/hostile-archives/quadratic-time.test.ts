import { describe, expect, it } from 'vitest';
import { processorSeconds, useLayers } from '../helpers/layers.js';
import { archive, entry, gnuLong, header, pax, paxRecord } from '../helpers/raw-tar.js';

/** Each case takes well below a second on an idle machine; what is quadratic would take minutes. */
const SECONDS = 10;

describe('an archive made to take more time than its length is worth', () => {
  const layers = useLayers();

  const cases: Record<string, () => Buffer[]> = {
    'a global header that is long, and many entries': () => [
      pax(
        Array.from(
          { length: 60 },
          (_, index) => [`SCHILY.xattr.user.${'n'.repeat(200)}${index}`, 'v'.repeat(800)] as const,
        ),
        'g',
      ),
      ...Array.from({ length: 1000 }, (_, index) => header({ name: `f${index}` })),
    ],
    'global headers one after the other': () =>
      Array.from({ length: 10_000 }, (_, index) => pax({ uid: `${index}`, gid: `${index}` }, 'g')),
    'comments in thousands, in front of each entry': () => {
      const comments = Buffer.concat(Array.from({ length: 80_000 }, (_, index) => paxRecord(`c${index}`, '')));
      return Array.from({ length: 10 }, (_, index) => [
        entry({ name: 'x', type: 'x' }, comments),
        header({ name: `f${index}` }),
      ]).flat();
    },
    'extended headers of one byte more each': () =>
      Array.from({ length: 1000 }, (_, index) => [
        gnuLong('L', 'n'.repeat(index % 250 || 1)),
        gnuLong('K', 't'.repeat(index + 1)),
        header({ name: 'x', linkName: 'y', type: '2' }),
      ]).flat(),
    'a directory replaced by a file and back': () =>
      Array.from({ length: 500 }, () => [
        entry({ name: 'd/e/f/g' }),
        entry({ name: 'd' }),
        header({ name: 'd', type: '5' }),
      ]).flat(),
    'a replaced symlink in the way of every entry': () =>
      Array.from({ length: 1000 }, (_, index) => [
        header({ name: 'l', linkName: `t${index % 7}`, type: '2' }),
        header({ name: `l/d${index}/f` }),
      ]).flat(),
    'links that wait for lower layers, and directories that are replaced': () => [
      ...Array.from({ length: 8000 }, (_, index) => header({ name: `l${index}`, linkName: 'lower', type: '1' })),
      ...Array.from({ length: 300 }, () => [header({ name: 'd', type: '5' }), header({ name: 'd' })]).flat(),
    ],
    'links to links to links': () =>
      Array.from({ length: 10_000 }, (_, index) =>
        header({ name: `l${index}`, linkName: index === 0 ? 'lower' : `l${index - 1}`, type: '1' }),
      ),
    'whiteouts below whiteouts of everything': () =>
      Array.from({ length: 1500 }, (_, index) => header({ name: `d${index % 100}/e${index}/.wh.f` })),
    'names of a thousand dots': () =>
      Array.from({ length: 1000 }, (_, index) => [
        pax({ path: `${'./'.repeat(1000)}f${index}` }),
        header({ name: 'x' }),
      ]).flat(),
    'empty files with data that is passed over': () =>
      Array.from({ length: 1500 }, (_, index) => entry({ name: `d${index}/`, type: '7' }, 'x')),
  };

  it.each(Object.keys(cases))(
    'takes time in proportion: %s',
    async (name) => {
      const tar = archive(...(cases[name]?.() ?? []));
      const start = processorSeconds();
      await layers.unpack(tar);
      expect(processorSeconds() - start).toBeLessThan(SECONDS);
    },
    60_000,
  );
});
