import { createReadStream, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { Parser } from 'tar';
import { beforeAll, expect, test } from 'vitest';
import { WHOLE_RANGE } from '../../native-free-tests/helpers/whole-range.js';
import { withPodmanRootfs } from '../helpers/podman.js';
import { type RealImages, realImages } from '../helpers/real-images.js';
import { describeWith } from '../helpers/requirements.js';
import { openStore, temporaryDirectory } from '../helpers/test-store.js';
import { snapshotTree, type TreeEntry, treeDifferences } from '../helpers/tree-snapshot.js';

interface Circumstances {
  readonly ours: TreeEntry;
  /** The last layer that has to do with this directory changes something in it, and has no entry for the directory itself. */
  readonly onlyImplied: boolean;
  /** When podman began, in nanoseconds since the epoch. */
  readonly started: bigint;
}

/**
 * Where podman shows something else than the layers say, and what it shows there. Each is as narrow as it can be: any other value in the
 * same place is a difference. The image specification (layer.md) decides for us every time.
 */
const PODMAN_DOES_OTHERWISE: Readonly<
  Record<string, (theirs: TreeEntry, circumstances: Circumstances) => readonly (keyof TreeEntry)[]>
> = {
  // "File Attributes": the entry of a directory sets its mode and time, and the root has an entry like any other. podman makes the root anew.
  'the root is r-xr-xr-x and from just now': (theirs, { started }) =>
    theirs.path !== '.' ? [] : [...when(theirs.mode === '0555', 'mode'), ...when(isSince(theirs, started), 'mtime')],
  // "Applying Changesets": only what a layer names is changed by it. podman's layers hold the directories on the way to
  // what they change, made when they were unpacked, and those show.
  'a directory which the last layer to change something in it does not name is from just now': (
    theirs,
    { onlyImplied, started },
  ) => when(onlyImplied && isSince(theirs, started), 'mtime'),
  'such a directory belongs to root': (theirs, { onlyImplied }) => [
    ...when(onlyImplied && theirs.uid === 0, 'uid'),
    ...when(onlyImplied && theirs.gid === 0, 'gid'),
  ],
  // "File Attributes": the time of an entry is the time of the file, and a PAX archive can tell times before 1970.
  'a time before 1970 becomes the epoch': (theirs, { ours }) =>
    when(theirs.mtime === '0' && ours.mtime.startsWith('-'), 'mtime'),
};

function when(condition: boolean, key: keyof TreeEntry): (keyof TreeEntry)[] {
  return condition ? [key] : [];
}

function isSince({ type, mtime }: TreeEntry, started: bigint): boolean {
  return type === 'directory' && BigInt(mtime) >= started;
}

/** What podman shows, with the values of ours where it is known to do otherwise and does. */
function withoutKnownDeviations(
  theirs: readonly TreeEntry[],
  ours: readonly TreeEntry[],
  onlyImplied: ReadonlySet<string>,
  started: bigint,
): TreeEntry[] {
  const ourEntries = new Map(ours.map((entry) => [entry.path, entry]));
  return theirs.map((entry) => {
    const own = ourEntries.get(entry.path);
    if (own === undefined) return entry;
    const circumstances = { ours: own, onlyImplied: onlyImplied.has(entry.path), started };
    const keys = Object.values(PODMAN_DOES_OTHERWISE).flatMap((deviation) => deviation(entry, circumstances));
    return { ...entry, ...Object.fromEntries(keys.map((key) => [key, own[key]])) };
  });
}

/** Directories that the last layer which changes something in them has no entry for. @param layout of gzip layers */
async function onlyImpliedDirectories(layout: string): Promise<Set<string>> {
  const implied = new Set<string>();
  for (const names of await entryNames(layout)) {
    for (const name of names) for (const directory of directoriesAbove(name)) implied.add(directory);
    for (const name of names) implied.delete(name);
  }
  return implied;
}

function directoriesAbove(name: string): string[] {
  const components = name.split('/').slice(0, -1);
  return components.map((_, index) => components.slice(0, index + 1).join('/'));
}

/** Of each layer, without `./` in front and without a slash behind. */
async function entryNames(layout: string): Promise<string[][]> {
  const blob = (digest: string) => join(layout, 'blobs', digest.replace(':', '/'));
  const read = (path: string) => JSON.parse(readFileSync(path, 'utf8'));
  const [{ digest }] = read(join(layout, 'index.json')).manifests;
  const layers: string[][] = [];
  for (const layer of read(blob(digest)).layers) {
    const names: string[] = [];
    const parser = new Parser({
      onReadEntry(entry) {
        names.push(entry.path.replace(/^\.\/|\/$/g, ''));
        entry.resume();
      },
    });
    await pipeline(createReadStream(blob(layer.digest)), parser as unknown as NodeJS.WritableStream);
    layers.push(names);
  }
  return layers;
}

describeWith(['root', 'overlay', 'podman', 'real images'], 'podman', () => {
  let images: RealImages;
  beforeAll(async () => {
    images = await realImages();
  });

  test.each([
    // Thousands of ordinary files, with debian as the lowest layer: `real-images.test.ts` compares them with umoci's.
    ...(WHOLE_RANGE ? ([['appV2', 'appV2']] as const) : []),
    // Every kind of file.
    ['mixed', 'mixed'],
    // The same layers, in a form that umoci cannot be compared on.
    ['mixedZstd', 'mixed'],
  ] as const)(
    'shows the same tree of %s as we do, entry by entry, with xattrs and nanoseconds, but for what it is known to do otherwise',
    async (name, sameLayers) => {
      const p = await openStore();
      await p.images.pull(`oci:${images[name]}`, { name: 'real' });
      const { rootfs } = await p.provision('overlay', 'real', { backend: 'overlay' });
      const ours = snapshotTree(rootfs);
      const started = BigInt(Date.now()) * 1_000_000n;
      const theirs = await withPodmanRootfs(images[name], join(temporaryDirectory(), 'podman'), (mounted) =>
        snapshotTree(mounted),
      );
      const implied = await onlyImpliedDirectories(images[sameLayers]);
      expect(theirs.length).toBeGreaterThan(10);
      expect(treeDifferences(withoutKnownDeviations(theirs, ours, implied, started), ours)).toEqual([]);
    },
  );
});
