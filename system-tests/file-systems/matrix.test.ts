import { chmodSync, chownSync, mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { beforeEach, expect, test } from 'vitest';
import { FILE_SYSTEMS, type FileSystemKind, mountFileSystem, needsOf } from '../helpers/file-systems.js';
import { describeWith, type Requirement } from '../helpers/requirements.js';
import { temporaryDirectory } from '../helpers/test-store.js';
import { writeImages } from './image.mjs';
import { STORE_USERS, type StoreUser } from './users.js';

const SCENARIO = fileURLToPath(new URL('scenario.mjs', import.meta.url));
const LOOK = fileURLToPath(new URL('look.mjs', import.meta.url));
const LIBRARY = fileURLToPath(new URL('../../dist/index.js', import.meta.url));
const DOCUMENT = fileURLToPath(new URL('../../docs/file-systems.md', import.meta.url));

type Outcome = Readonly<Record<string, unknown>>;

/** What the table says of a store. */
const COLUMNS: readonly { readonly title: string; readonly cell: (outcome: Outcome) => string }[] = [
  {
    title: 'whiteouts',
    cell: ({ format }) => (format as { readonly whiteouts: string } | undefined)?.whiteouts ?? '–',
  },
  ...['overlay', 'copy', 'bind'].map((backend) => ({
    title: backend,
    cell: (outcome: Outcome) => (outcome[backend] === 'ok' ? 'yes' : 'no'),
  })),
  { title: 'owners', cell: (outcome) => kept(outcome, 'owners') },
  { title: 'setuid', cell: (outcome) => (outcome['copy: setuid'] === 'cleared' ? 'cleared' : 'kept') },
  { title: 'devices', cell: (outcome) => kept(outcome, 'device') },
  { title: 'nanoseconds', cell: (outcome) => kept(outcome, 'nanoseconds') },
  { title: '`user.` attributes', cell: (outcome) => kept(outcome, 'xattr') },
];
/** How each step must end, whatever the file system. */
const STEPS = [
  'open',
  'pull',
  'copy',
  'copy: destroy',
  'check',
  'provision again',
  'prune',
  'recover',
  'destroy',
  'prune all',
  'close',
];
/** What each rootfs must have, whatever the file system. */
const ALWAYS = ['whiteouts', 'hard link', 'fifo', 'writable'];

const rows: string[] = [];

describeWith(everyNeed(), 'a store', () => {
  let layout: string;
  beforeEach(async () => {
    const directory = temporaryDirectory();
    chmodSync(directory, 0o755);
    layout = join(directory, 'layout');
    await writeImages(layout);
  });

  for (const kind of FILE_SYSTEMS) {
    for (const user of STORE_USERS) {
      test(`on ${kind} does for ${user.title} all that it is for`, async () => {
        const outcome = await runOn(kind, user, layout);
        rows.push(`| ${[kind, user.title, ...COLUMNS.map(({ cell }) => cell(outcome))].join(' | ')} |`);
        const ended = Object.fromEntries(STEPS.map((step) => [step, outcome[step]]));
        expect(ended, JSON.stringify(outcome, undefined, 1)).toEqual(
          Object.fromEntries(STEPS.map((step) => [step, 'ok'])),
        );
        for (const backend of ['overlay', 'copy'].filter((name) => outcome[name] === 'ok')) {
          const has = Object.fromEntries(ALWAYS.map((what) => [what, outcome[`${backend}: ${what}`]]));
          expect(has, backend).toEqual(Object.fromEntries(ALWAYS.map((what) => [what, true])));
          // A program that takes on its owner's rights never gets those of somebody else.
          expect(['cleared', 'of 0'], backend).toContain(outcome[`${backend}: setuid`]);
        }
        for (const backend of ['overlay', 'bind']) expect(['ok', 'ERR_BACKEND_UNUSABLE']).toContain(outcome[backend]);
        if (user.uid === 0)
          expect(outcome).toMatchObject({ 'copy: owners': true, 'copy: setuid': 'of 0', 'copy: device': true });
      });
    }
  }

  for (const user of STORE_USERS) {
    test(`on a read-only mount can be looked at by ${user.title}, and is changed by nothing`, async () => {
      const { path, remount } = mountFileSystem('tmpfs');
      const root = join(homeOn(path, user), 'store');
      await user.run(SCENARIO, root, layout, LIBRARY, 'leave');
      remount('ro');
      const seen = JSON.parse(await user.run(LOOK, root, LIBRARY)) as Outcome;
      const looks = { images: 2, containers: 1, info: 3, 'disk usage': 2, check: true, why: true };
      const changes = Object.fromEntries(
        ['prune', 'provision', 'destroy', 'recover', 'tag'].map((call) => [call, 'ERR_READ_ONLY']),
      );
      expect(seen).toEqual({ ...looks, ...changes });
    });
  }

  test('is told of in docs/file-systems.md as these tests have seen it', () => {
    const [, table = ''] = readFileSync(DOCUMENT, 'utf8').split(/<!-- (?:table|end) -->\n/);
    const header = ['file system', 'as', ...COLUMNS.map(({ title }) => title)];
    const lines = [header, header.map(() => '---')].map((cells) => `| ${cells.join(' | ')} |`);
    expect(table).toBe(`${[...lines, ...rows].join('\n')}\n`);
  });
});

function everyNeed(): Requirement[] {
  return ['user namespaces', ...new Set(FILE_SYSTEMS.flatMap(needsOf))];
}

async function runOn(kind: FileSystemKind, user: StoreUser, layout: string): Promise<Outcome> {
  const { path } = mountFileSystem(kind);
  const root = join(homeOn(path, user), 'store');
  return JSON.parse(await user.run(SCENARIO, root, layout, LIBRARY)) as Outcome;
}

function homeOn(path: string, user: StoreUser): string {
  const home = join(path, 'home');
  mkdirSync(home);
  chownSync(home, user.uid, user.uid);
  return home;
}

function kept(outcome: Outcome, what: string): string {
  const seen = ['overlay', 'copy']
    .filter((backend) => outcome[backend] === 'ok')
    .map((backend) => outcome[`${backend}: ${what}`]);
  return seen.length > 0 && seen.every((has) => has === true) ? 'kept' : 'not kept';
}
