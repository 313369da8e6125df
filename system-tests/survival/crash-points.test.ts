import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { CRASH_POINTS } from '#src/base/crash-points.js';
import { Provisioner } from '#src/index.js';
import { WHOLE_RANGE } from '../../native-free-tests/helpers/whole-range.js';
import { callMethod } from '../../survival/call-method.mjs';
import { KEPT, PINNED } from '../../survival/images.mjs';
import { brokenPromises, readRecords } from '../../survival/invariants.mjs';
import { putFilledStore } from '../helpers/filled-stores.js';
import { makeOlder } from '../helpers/older-store.js';
import { unmountAll } from '../helpers/reboot.js';
import { describeWith } from '../helpers/requirements.js';
import { temporaryDirectory } from '../helpers/test-store.js';
import { Driver } from '../metadata/sqlite-files.js';
import { type Call, callInProcess, makeSurroundings, runCommand, type Surroundings } from './survival.js';

/** What a process is killed at, one after the other, and what it is doing. */
interface Case {
  readonly operation: string;
  /** Right after which steps. `name:2` is the second time that the step is done. */
  readonly points: readonly string[];
  /** The calls, or the arguments of the command line. */
  readonly calls?: (images: Surroundings['images']) => readonly Call[];
  readonly command?: (images: Surroundings['images']) => readonly string[];
  /** The machine has lost its power in the middle of much work, and is up again. Default: it has not. */
  readonly afterReboot?: boolean;
  /** What was done to the store before. */
  readonly before?: (root: string, images: Surroundings['images']) => Promise<void>;
  /** The container that the operation makes or removes. After the crash it is there whole, or not at all. */
  readonly inDoubt?: string;
  /** The container that it has all files of, where it is a fork. Default: it has those of its image. */
  readonly forkOf?: string;
  /** Whether the agent still takes the container in doubt for its own when it recovers. Default: false. */
  readonly stillKnown?: boolean;
  /** A file of a layer that is damaged before, below the layer's root: until the operation has been repeated it may be. */
  readonly damaged?: string;
  /** What it says when it is repeated and had been done already. Default: it says nothing, and succeeds. */
  readonly alreadyDone?: string;
  /** There is no store yet. Default: there is one with images and containers. */
  readonly onNewStore?: boolean;
}

const PULL = ['pull.leased', 'pull.unpacked', 'pull.synced', 'pull.oneRenamed', 'pull.oneRenamed:2', 'pull.published'];
const RECORD = ['pull.layersRecorded', 'pull.stackCompleted', 'pull.imageRecorded', 'pull.unstaged'];
const SEAM = ['pull.unpacked:2', 'pull.synced:2', 'pull.published:2', 'pull.layersRecorded:2'];
const COPY = [
  'provision.recorded',
  'provision.directoriesMade',
  'provision.made',
  'provision.synced',
  'provision.finished',
];
const FORK = ['fork.recorded', 'fork.directoriesMade', 'fork.copied', 'fork.synced', 'fork.mounted', 'fork.finished'];
const DESTROY = ['destroy.letGo', 'destroy.removed', 'destroy.forgotten'];
const PRUNE = ['prune.decided', 'prune.oneMarked', 'prune.oneMarked:2', 'prune.marked', 'prune.released'];
const SWEEP = ['sweep.started', 'sweep.oneRemoved'];
const RECOVER = [
  'recover.leasesDropped',
  'recover.layersForgotten',
  'recover.layersReconciled',
  'recover.containersReconciled',
];

const STAGE = ['repair.leased', 'repair.staged', 'repair.synced'];
const SWAP = ['repair.exchanged', 'repair.retired', 'repair.recorded', 'repair.unstaged'];
const PARK = ['repair.parkingDrafted', 'repair.parked', 'repair.exchanged', 'repair.recorded', 'repair.unstaged'];

/** The command line does with one call of the library what a case of its own does at each step: one of them shows that it is the same. */
const ofCommand = (one: string, ...others: readonly string[]) => (WHOLE_RANGE ? [one, ...others] : [one]);

/** A file of the layer that all the images of `fillStore` lie on, and one of a layer that no container has. */
const SHOWN_FILE = 'usr/lib/f1';
const UNUSED_FILE = 'app/data/f0';

const seams = (images: Surroundings['images']) => images['loose/seams:1']?.source ?? '';

const CASES: readonly Case[] = [
  {
    operation: 'the first opening of a store',
    points: ['open.generationBegun', 'open.formatDrafted', 'open.formatMade', 'open.recordsMade'],
    calls: () => [['images.list']],
    onNewStore: true,
  },
  {
    operation: 'the first opening of a store of an older format',
    points: ['open.formatRaised'],
    calls: () => [['images.list']],
    before: async (root) => makeOlder(root),
  },
  {
    operation: 'a pull',
    points: [...PULL, ...RECORD, ...SEAM, 'records.committed', 'records.committed:2'],
    calls: (images) => [['images.pull', seams(images), { name: 'loose/seams:1' }]],
  },
  {
    operation: 'a pull by the command line',
    points: ofCommand('pull.published', 'pull.unpacked', 'pull.imageRecorded'),
    command: (images) => ['pull', seams(images), '--name', 'loose/seams:1'],
  },
  {
    operation: 'a provision by overlay',
    points: ['provision.directoriesMade', 'provision.made', 'records.committed', 'provision.finished'],
    calls: () => [['provision', 'doubt', KEPT, { backend: 'overlay' }]],
    inDoubt: 'doubt',
  },
  {
    operation: 'a provision by overlay of a container that is still known',
    points: ['provision.directoriesMade', 'provision.made', 'records.committed', 'provision.finished'],
    calls: () => [['provision', 'told-copy/doubt', KEPT, { backend: 'overlay' }]],
    inDoubt: 'told-copy/doubt',
    stillKnown: true,
  },
  {
    operation: 'a provision in memory',
    points: ['provision.memoryMounted', 'provision.made', 'records.committed', 'provision.finished'],
    calls: () => [['provision', 'doubt', KEPT, IN_MEMORY]],
    inDoubt: 'doubt',
  },
  {
    operation: 'a provision in memory of a container that is still known',
    points: ['provision.memoryMounted', 'provision.made', 'provision.finished'],
    calls: () => [['provision', 'told-copy/doubt', KEPT, IN_MEMORY]],
    inDoubt: 'told-copy/doubt',
    stillKnown: true,
  },
  {
    operation: 'a provision by copy',
    points: COPY,
    calls: () => [['provision', 'doubt', KEPT, { backend: 'copy' }]],
    inDoubt: 'doubt',
  },
  {
    operation: 'a provision by copy of a container that is still known',
    points: COPY,
    calls: () => [['provision', 'told-overlay/doubt', KEPT, { backend: 'copy' }]],
    inDoubt: 'told-overlay/doubt',
    stillKnown: true,
  },
  {
    operation: 'a provision by the command line',
    points: ofCommand('provision.directoriesMade', 'provision.finished'),
    command: () => ['provision', 'doubt', KEPT],
    inDoubt: 'doubt',
  },
  {
    operation: 'a fork of an overlay',
    points: [...FORK, 'records.committed', 'records.committed:2'],
    calls: () => [['fork', 'told-overlay', 'doubt']],
    inDoubt: 'doubt',
    forkOf: 'told-overlay',
  },
  {
    operation: 'a fork of a copy to one that is still known',
    points: FORK,
    calls: () => [['fork', 'told-copy', 'told-overlay/doubt']],
    inDoubt: 'told-overlay/doubt',
    forkOf: 'told-copy',
    stillKnown: true,
    alreadyDone: 'already',
  },
  {
    operation: 'a fork by the command line',
    points: ofCommand('fork.mounted', 'fork.copied', 'fork.finished'),
    command: () => ['fork', 'told-overlay', 'doubt'],
    inDoubt: 'doubt',
    forkOf: 'told-overlay',
    alreadyDone: 'already',
  },
  {
    operation: 'a destroy of an overlay',
    points: DESTROY,
    calls: () => [['destroy', 'told-overlay']],
    inDoubt: 'told-overlay',
  },
  {
    operation: 'a destroy of what is in memory',
    points: ['destroy.letGo', 'destroy.memoryLetGo', 'destroy.removed', 'destroy.forgotten'],
    calls: () => [['destroy', 'in-memory']],
    before: provisionInMemory,
    inDoubt: 'in-memory',
  },
  {
    operation: 'a destroy of what is in memory, and still known',
    points: ['destroy.letGo', 'destroy.memoryLetGo', 'destroy.removed', 'destroy.forgotten'],
    calls: () => [['destroy', 'in-memory']],
    before: provisionInMemory,
    inDoubt: 'in-memory',
    stillKnown: true,
  },
  {
    operation: 'a destroy of a copy that is still known',
    points: DESTROY,
    calls: () => [['destroy', 'told-copy']],
    inDoubt: 'told-copy',
    stillKnown: true,
  },
  {
    operation: 'a destroy by the command line of an overlay that is still known',
    points: ofCommand('destroy.removed', 'destroy.letGo', 'destroy.forgotten'),
    command: () => ['destroy', 'told-overlay'],
    alreadyDone: 'no container',
    inDoubt: 'told-overlay',
    stillKnown: true,
  },
  {
    operation: 'a destroy of an overlay that may be mounted elsewhere',
    points: ['destroy.detachedElsewhere'],
    calls: () => [['destroy', 'told-overlay']],
    before: recordElsewhere,
    inDoubt: 'told-overlay',
  },
  {
    operation: 'a prune',
    points: [...PRUNE, ...SWEEP],
    calls: () => [['pruneImages', [KEPT]], ['store.swept']],
  },
  {
    operation: 'a prune by the command line',
    points: ofCommand('prune.released', 'prune.decided', 'prune.oneMarked', 'sweep.oneRemoved'),
    command: () => ['prune', '--exclude', KEPT],
  },
  {
    operation: 'a sweep',
    points: SWEEP,
    calls: () => [['store.swept']],
    before: leaveUnswept,
  },
  {
    operation: 'a recovery after a reboot',
    points: [...RECOVER, 'recover.oneRemounted', 'recover.mountsRecorded', ...SWEEP],
    calls: () => [['recover', { knownContainerIds: ['told-overlay', 'told-copy'] }], ['store.swept']],
    afterReboot: true,
  },
  {
    operation: 'a recovery that destroys a container',
    points: DESTROY,
    calls: () => [['recover', { knownContainerIds: ['told-overlay'] }]],
    inDoubt: 'told-copy',
  },
  {
    operation: 'a recovery by the command line',
    points: ofCommand('recover.oneRemounted', 'recover.layersReconciled'),
    command: () => ['recover', '--known', 'told-overlay', '--known', 'told-copy'],
    afterReboot: true,
  },
  {
    operation: 'a repair of a layer that nobody uses',
    points: [...STAGE, ...SWAP],
    calls: () => [['store.check', { full: true, repair: true }], ['store.swept']],
    before: async (root) => damage(root, PINNED, -1, UNUSED_FILE),
    damaged: UNUSED_FILE,
  },
  {
    operation: 'a repair of a layer that a container shows',
    points: [...STAGE, ...PARK],
    calls: () => [['store.check', { full: true, repair: true }], ['store.swept']],
    before: async (root) => damage(root, KEPT, 0, SHOWN_FILE),
    damaged: SHOWN_FILE,
  },
  {
    operation: 'a repair by the command line of a layer that a container shows',
    points: ofCommand('repair.exchanged', 'repair.staged', 'repair.parked'),
    command: () => ['check', '--full', '--repair'],
    before: async (root) => damage(root, KEPT, 0, SHOWN_FILE),
    damaged: SHOWN_FILE,
  },
  {
    operation: 'a repair of a layer whose directory is gone',
    points: ['repair.staged', 'repair.exchanged', 'repair.recorded'],
    calls: () => [['store.check', { repair: true }], ['store.swept']],
    before: async (root) => rmSync(layerOf(root, 'loose/stack:1', -1), { recursive: true }),
  },
  {
    operation: 'a repair of a store with a layer that no record names',
    points: ['repair.unrecordedRetired'],
    calls: () => [['store.check', { repair: true }], ['store.swept']],
    before: leaveUnrecorded,
  },
  { operation: 'a tag', points: ['tag.done'], calls: () => [['images.tag', KEPT, 'told/other:1']] },
  { operation: 'a tag by the command line', points: ['tag.done'], command: () => ['tag', KEPT, 'told/other:1'] },
  {
    operation: 'an rmi',
    points: ['rmi.done'],
    calls: () => [['images.remove', 'loose/stack:1']],
    alreadyDone: 'no image',
  },
  {
    operation: 'an rmi by the command line',
    points: ['rmi.done'],
    command: () => ['rmi', 'loose/stack:1'],
    alreadyDone: 'no image',
  },
];

const OWN_FILE = 'own.txt';
const IN_MEMORY = { backend: 'overlay', inMemoryBytes: 64 * 2 ** 20 };

async function provisionInMemory(root: string): Promise<void> {
  await callHere(root, [['provision', 'in-memory', KEPT, IN_MEMORY]]);
}

describeWith(['root', 'overlay'], 'a process that is killed right after a step', () => {
  let surroundings: Surroundings;
  beforeAll(async () => {
    surroundings = await makeSurroundings();
  });
  afterAll(() => surroundings.remove());

  test('is killed at every step that has a name', () => {
    const killed = new Set(CASES.flatMap(({ points }) => points.map((point) => point.split(':')[0])));
    // Those of launches, networks, volumes, checks of health and limits of space have files of their own.
    const points = CRASH_POINTS.filter((point) => !/^(?:launch|network|volume|health|space|pool)\./.test(point));
    expect([...killed].sort()).toEqual(points.sort());
  });

  for (const one of CASES) {
    for (const point of one.points) {
      test(`${point}, during ${one.operation}, loses nothing that was reported and leaves nothing`, async () => {
        const { images, reference } = surroundings;
        const root = join(temporaryDirectory(), 'store');
        try {
          const told = one.onNewStore ? NOTHING : withDamage(await putStore(root, one, images), one.damaged);
          await one.before?.(root, images);
          expect(await crash(root, one, point, images)).toMatchObject({ signal: 'SIGKILL', stdout: '' });

          const known = [...told.containers.keys()].filter((id) => id !== one.inDoubt);
          if (one.stillKnown && one.inDoubt !== undefined) known.push(one.inDoubt);
          await recover(root, known, one.command !== undefined);
          const broken = brokenPromises(root, reference, whatIsTold(root, told, one));
          expect(broken.filter((fault) => one.damaged === undefined || !fault.includes(one.damaged))).toEqual([]);

          await repeat(root, one, images);
          expect(brokenPromises(root, reference, whatIsTold(root, told, one))).toEqual([]);
          if (one.damaged === undefined) return;
          // What is parked goes with the containers that show it.
          await callHere(root, [
            ...[...told.containers.keys()].map((id): Call => ['destroy', id]),
            ['recover'],
            ['store.swept'],
          ]);
          expect(brokenPromises(root, reference, { ...told, containers: new Map() })).toEqual([]);
          expect(readdirIfThere(join(root, 'parked'))).toEqual([]);
        } finally {
          await removeStore(root);
        }
      });
    }
  }
});

interface Told {
  readonly names: ReadonlyMap<string, string>;
  readonly absentNames: readonly string[];
  readonly containers: ReadonlyMap<string, ToldContainer>;
}
type ToldContainer = {
  readonly image: string;
  readonly owner: string;
  readonly files: ReadonlyMap<string, string | undefined>;
};

const OWNER = 'default';
const NOTHING: Told = { names: new Map(), absentNames: [], containers: new Map() };

/** A filled store: as a process left it that has ended well, or as a power cut left it. */
async function putStore(root: string, { afterReboot = false }: Case, images: Surroundings['images']): Promise<Told> {
  const told = await putFilledStore(root, afterReboot ? 'after a reboot' : 'filled', async (first) => {
    const filled = await fillStore(first, images);
    if (afterReboot) await leaveHalfDone(first, images);
    await unmountAll(first);
    return filled;
  });
  if (!afterReboot) await callHere(root, [['recover', { knownContainerIds: [...told.containers.keys()] }]]);
  return told;
}

/** Images of every kind, two containers with something of their own in them. */
async function fillStore(root: string, images: Surroundings['images']): Promise<Told> {
  const provisioner = await Provisioner.open({ root, workers: 1 });
  const containers = new Map<string, ToldContainer>();
  try {
    for (const name of [KEPT, PINNED, 'loose/stack:1'])
      await provisioner.images.pull(images[name]?.source ?? '', { name });
    await provisioner.images.pin(PINNED);
    await provisioner.images.tag(KEPT, 'told/name:1');
    for (const backend of ['overlay', 'copy'] as const) {
      const id = `told-${backend}`;
      const { rootfs } = await provisioner.provision(id, KEPT, { backend });
      writeFileSync(join(rootfs, OWN_FILE), id);
      containers.set(id, { image: KEPT, owner: OWNER, files: new Map([[OWN_FILE, id]]) });
    }
    const names = new Map([
      [KEPT, KEPT],
      [PINNED, PINNED],
      ['told/name:1', KEPT],
    ]);
    return { names, absentNames: [], containers };
  } finally {
    await provisioner.close();
  }
}

function crash(root: string, { command, calls }: Case, crashAt: string, images: Surroundings['images']) {
  if (command !== undefined) return runCommand(root, command(images), { crashAt });
  return callInProcess(root, calls?.(images) ?? [], { crashAt });
}

/** What was interrupted, once more. */
async function repeat(root: string, one: Case, images: Surroundings['images']): Promise<void> {
  if (one.command !== undefined) {
    const { status, stderr } = await runCommand(root, one.command(images));
    if (status !== 0) expect(stderr).toContain(one.alreadyDone ?? 'nothing, since it succeeds');
    return;
  }
  await callHere(root, one.calls?.(images) ?? []).catch((error: Error) => {
    expect(error.message).toContain(one.alreadyDone ?? 'nothing, since it succeeds');
  });
}

/** With the command line, or in this process, which is another than the one that died. */
async function recover(root: string, known: readonly string[], byCommand: boolean): Promise<void> {
  if (!byCommand) return callHere(root, [['recover', { knownContainerIds: known }], ['store.swept']]);
  const flags = known.flatMap((id) => ['--known', id]);
  const outcome = await runCommand(root, ['recover', '--destroy-unknown', ...flags]);
  expect(outcome, outcome.stderr).toMatchObject({ signal: null, status: 0 });
}

async function callHere(root: string, calls: readonly Call[]): Promise<void> {
  const provisioner = await Provisioner.open({ root, workers: 1 });
  try {
    for (const [method, ...args] of calls) {
      await callMethod(provisioner, method, args);
    }
  } finally {
    await provisioner.close();
  }
}

/** The one in doubt is there whole, or not at all; the others are there. */
function whatIsTold(root: string, told: Told, { inDoubt, forkOf = '' }: Case): Told {
  if (inDoubt === undefined) return told;
  const recorded = readRecords(join(root, 'metadata.sqlite')).rootfses.map(({ container }) => container);
  const containers = new Map(told.containers);
  if (!recorded.includes(inDoubt)) containers.delete(inDoubt);
  else if (!containers.has(inDoubt)) {
    const files = told.containers.get(forkOf)?.files ?? new Map();
    containers.set(inDoubt, { image: KEPT, owner: OWNER, files });
  }
  return { ...told, containers };
}

/** What a container shows of a damaged file may be anything, until it is destroyed. */
function withDamage(told: Told, file: string | undefined): Told {
  if (file === undefined) return told;
  const containers = [...told.containers].map(([id, container]) => {
    return [id, { ...container, files: new Map([...container.files, [file, undefined]]) }] as const;
  });
  return { ...told, containers: new Map(containers) };
}

/** @param position in the image's stack, from the end when negative */
function layerOf(root: string, image: string, position: number): string {
  const { images, names } = readRecords(join(root, 'metadata.sqlite'));
  const id = names.get(`docker.io/${image}`);
  const layer = images.find((row) => row.id === id)?.layers.at(position) ?? '';
  return join(root, 'layers', layer.replace('sha256:', ''));
}

/** Flips a bit, which leaves the size as it is. */
function damage(root: string, image: string, position: number, file: string): void {
  const path = join(layerOf(root, image, position), 'rootfs', file);
  const bytes = readFileSync(path);
  bytes.writeUInt8(bytes.readUInt8(0) ^ 1, 0);
  writeFileSync(path, bytes);
}

async function leaveUnrecorded(root: string): Promise<void> {
  const directory = join(root, 'layers', 'f'.repeat(64));
  mkdirSync(directory);
  writeFileSync(join(directory, 'file'), 'nobody knows it');
}

/** As if it had been mounted in another mount namespace. */
async function recordElsewhere(root: string): Promise<void> {
  const database = new Driver(join(root, 'metadata.sqlite'));
  database.exec("UPDATE rootfs SET mount_namespace = 'mnt:[1]' WHERE mount_namespace IS NOT NULL");
  database.close();
}

function readdirIfThere(path: string): string[] {
  return existsSync(path) ? readdirSync(path) : [];
}

/** What a machine that lost its power in the middle of much work comes up with. */
async function leaveHalfDone(root: string, images: Surroundings['images']): Promise<void> {
  const pull: Call = ['images.pull', seams(images), { name: 'loose/seams:1' }];
  for (const crashAt of ['pull.unpacked', 'pull.published']) await callInProcess(root, [pull], { crashAt });
  await callInProcess(root, [['provision', 'unknown', KEPT, { backend: 'overlay' }]], { crashAt: 'provision.made' });
  await callInProcess(root, [['provision', 'half', KEPT, { backend: 'copy' }]], { crashAt: 'provision.made' });
}

async function leaveUnswept(root: string): Promise<void> {
  await callInProcess(root, [['pruneImages', [KEPT]]], { crashAt: 'prune.released' });
  expect(readdirSync(join(root, 'gc'))).not.toEqual([]);
}

/** Also what is mounted in it. */
async function removeStore(root: string): Promise<void> {
  await unmountAll(root);
  rmSync(root, { recursive: true, force: true });
}
