import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { buildImage, buildLayer, writeOciLayout } from '../../native-free-tests/helpers/image-builder.js';
import { withPodmanRootfs } from '../helpers/podman.js';
import { describeWith } from '../helpers/requirements.js';
import { openStore, temporaryDirectory } from '../helpers/test-store.js';
import { snapshotTree, treeDifferences } from '../helpers/tree-snapshot.js';

type Entries = Parameters<typeof buildLayer>[0];

const file = (path: string, content = path) => ({ path, content }) as const;
const link = (path: string, target: string) => ({ path, type: 'hardlink', target }) as const;
const symlink = (path: string, target: string) => ({ path, type: 'symlink', target }) as const;
const directory = (path: string, mode = 0o755) => ({ path: `${path}/`, mode, mtime: 1000 }) as const;
/** The root has an entry, so that all tools know what it is like. */
const root = { path: './', mode: 0o755, mtime: 1000 } as const;
const base: Entries = [
  root,
  directory('d', 0o711),
  directory('d/e', 0o700),
  file('d/e/old'),
  file('d/a'),
  symlink('d/s', '../other'),
  directory('other'),
  file('a', 'x'),
];

/** Images by what is special about them. */
const KINDS: Readonly<Record<string, readonly Entries[]>> = {
  'a whiteout of a directory, and others inside it behind it': [
    base,
    [file('.wh.d', ''), file('d/.wh.a', ''), file('d/e/.wh.old', '')],
  ],
  'a whiteout of a directory, and others inside it in front of it': [
    base,
    [file('d/e/.wh.old', ''), file('d/.wh.a', ''), file('.wh.d', '')],
  ],
  'a whiteout of a directory, and an opaque mark inside it': [base, [file('d/.wh..wh..opq', ''), file('.wh.d', '')]],
  'a whiteout of a directory that is there anew': [base, [file('.wh.d', ''), directory('d'), file('d/new')]],
  'directories that are implied below an opaque one': [
    base,
    [directory('d'), file('d/.wh..wh..opq', ''), file('d/e/new'), file('d/s/new')],
  ],
  'links into a lower layer': [base, [link('b', 'a')], [link('c', 'b'), link('other/d', 'a')]],
  'links that come back to the first name': [base, [link('b', 'a')], [file('.wh.a', '')], [link('a', 'b')]],
  'links to one of several names of a file below': [[...base, link('b', 'a'), link('d/c', 'a')], [link('e', 'd/c')]],
  'links to what lands where a symlink of a layer below leads': [
    [root, directory('usr'), directory('usr/lib'), directory('bin'), symlink('lib', 'usr/lib'), file('old', 'x')],
    [root, file('lib/a', 'y'), link('bin/b', 'lib/a'), link('c', 'usr/lib/a'), link('lib/d', 'old')],
    [root, link('e', 'bin/b'), link('f', 'usr/lib/d')],
  ],
  'links of aufs': [
    base,
    [
      file('.wh..wh.aufs', ''),
      directory('.wh..wh.plnk'),
      file('.wh..wh.plnk/1.2', 'shared'),
      link('b', '.wh..wh.plnk/1.2'),
      link('d/c', '.wh..wh.plnk/1.2'),
    ],
  ],
  'no layers': [],
};

/** What another tool shows otherwise, as `treeDifferences` tells it, with the times at which it ran left out. The image specification (layer.md) decides for us. */
type Deviations = Readonly<Record<string, readonly string[]>>;

/** "Applying Changesets": what only leads to something has no entry that could give it a time, so it has none of when it was unpacked; the others make it then. */
const IMPLIED_JUST_NOW = ['d/e: mtime is just now, expected 0', 'd/s: mtime is just now, expected 0'];
/** The records of aufs never were part of a container: Docker leaves them out. */
const SHOWS_AUFS = [
  '.wh..wh.plnk: unexpected directory',
  '.wh..wh.plnk/1.2: unexpected file',
  'b: linkedTo is .wh..wh.plnk/1.2, expected b',
  'd/c: linkedTo is .wh..wh.plnk/1.2, expected b',
];

const UMOCI_DOES_OTHERWISE: Deviations = {
  'directories that are implied below an opaque one': [
    'd: mtime is just now, expected 1000000000000',
    ...IMPLIED_JUST_NOW,
  ],
  'links of aufs': ['.: mtime is just now, expected 1000000000000', ...SHOWS_AUFS],
};

/** It makes the root anew. */
const OWN_ROOT = ['.: mode is 0555, expected 0755', '.: mtime is just now, expected 1000000000000'];
/** Those that it unpacks at all: links to lower layers are missing files for it, and of an image without layers it mounts nothing. */
const PODMAN_DOES_OTHERWISE: Deviations = {
  'a whiteout of a directory, and others inside it behind it': OWN_ROOT,
  'directories that are implied below an opaque one': [...OWN_ROOT, ...IMPLIED_JUST_NOW],
};

function withoutTimes(differences: readonly string[]): string[] {
  return differences.map((line) => line.replace(/mtime is \d{19},/, 'mtime is just now,'));
}

/** Writes an image as a layout, in a place whose name podman takes: it wants no capital letters. */
async function layoutOf(kind: string): Promise<string> {
  const layout = join(tmpdir(), `layout-${randomBytes(8).toString('hex')}`);
  onTestFinished(() => rmSync(layout, { recursive: true, force: true }));
  const layers = (KINDS[kind] ?? []).map((entries) => buildLayer(entries));
  await writeOciLayout(layout, [{ image: buildImage(layers), refName: 'latest' }]);
  return layout;
}

/** What we show, by whatever backend. */
async function ours(layout: string): Promise<ReturnType<typeof snapshotTree>> {
  const p = await openStore();
  await p.images.pull(`oci:${layout}`, { name: 'it' });
  const overlay = snapshotTree((await p.provision('overlay', 'it', { backend: 'overlay' })).rootfs);
  const copy = snapshotTree((await p.provision('copy', 'it', { backend: 'copy' })).rootfs);
  expect(treeDifferences(overlay, copy)).toEqual([]);
  return overlay;
}

describeWith(['root', 'overlay', 'umoci'], 'umoci', () => {
  test.each(Object.keys(KINDS))('shows the same tree as we do of an image with %s', async (kind) => {
    const layout = await layoutOf(kind);
    const bundle = join(temporaryDirectory(), 'bundle');
    execFileSync('umoci', ['unpack', '--image', `${layout}:latest`, bundle]);
    const differences = treeDifferences(await ours(layout), snapshotTree(join(bundle, 'rootfs')));
    expect(withoutTimes(differences)).toEqual(UMOCI_DOES_OTHERWISE[kind] ?? []);
  });
});

describeWith(['root', 'overlay', 'podman'], 'podman', () => {
  test.each(Object.keys(PODMAN_DOES_OTHERWISE))('shows the same tree as we do of an image with %s', async (kind) => {
    const layout = await layoutOf(kind);
    const own = await ours(layout);
    const differences = await withPodmanRootfs(layout, join(temporaryDirectory(), 'podman'), (mounted) =>
      treeDifferences(own, snapshotTree(mounted)),
    );
    expect(withoutTimes(differences)).toEqual(PODMAN_DOES_OTHERWISE[kind]);
  });
});
