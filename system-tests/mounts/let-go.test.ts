import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, expect, test } from 'vitest';
import { describeWith } from '../helpers/requirements.js';
import { temporaryDirectory } from '../helpers/test-store.js';
import { inOwnMounts, type Whose, writeImage } from './in-own-mounts.js';

/** How a situation of `situations.mjs` ended. */
interface Outcome {
  readonly error: string | null;
  readonly destroyed: boolean;
  readonly lost: number;
  readonly file: string;
  readonly neighbour: number;
  readonly store: readonly string[];
  readonly left: readonly (string | boolean)[];
  readonly elsewhere: { readonly there?: number; readonly store?: readonly string[] };
}

const SITUATIONS = [
  'nothing is mounted',
  'a tree of the host is bound in it',
  'a tree of the host is bound in it as a slave',
  'a file of the host is bound upon one of its files',
  'something is mounted where the name is odd',
  'it is bound upon itself, five times',
  'it is bound upon itself with a tree of the host in it',
  'a tree of the host is bound upon it, and something is mounted on that tree',
  'a mount of the host is bound in it, and something is mounted on that mount',
  'private mounts lie upon each other in it',
  'a file that is mounted in it is open',
  'another mount namespace has mounted a tree of the host in it',
  'another place of the host shows it, and there something is mounted in it',
] as const;

const CASES: readonly (readonly [backend: string, whose: Whose])[] = [
  ['overlay', 'root'],
  ['copy', 'root'],
  ['bind', 'root'],
  ['overlay', 'user namespace'],
  ['copy', 'user namespace'],
  ['bind', 'user namespace'],
];

// One suite for all backends: what destroy promises does not depend on how a rootfs was made.
for (const [backend, whose] of CASES) {
  describeWith(['root', 'overlay', 'mount'], `destroy on shared mounts with ${backend}, for ${whose}`, () => {
    let outcomes: Readonly<Record<string, Outcome>>;

    beforeAll(async () => {
      const directory = temporaryDirectory();
      await writeImage(join(directory, 'layout'));
      mkdirSync(join(directory, 'work'));
      const words = [join(directory, 'work'), join(directory, 'layout'), backend];
      outcomes = await inOwnMounts('situations.mjs', words, whose);
    });

    test.each(SITUATIONS)('unmounts and deletes nothing of the host, and leaves nothing, when %s', (situation) => {
      const outcome = outcomes[situation];
      expect(outcome).toMatchObject({ error: null, destroyed: true, lost: 0, file: 'of the host', store: [] });
      expect(outcome?.left).toEqual([false]);
      expect(outcome?.neighbour).toBe(backend === 'copy' ? 0 : 1);
      expect(outcome?.elsewhere.there ?? 0).toBe(0);
      // In the other namespace, too, nothing of this rootfs is mounted any more.
      for (const mount of outcome?.elsewhere.store ?? []) expect(mount).toContain('/neighbour/');
    });

    test('has been asked about every situation', () => {
      expect(Object.keys(outcomes)).toEqual([...SITUATIONS]);
    });
  });
}
