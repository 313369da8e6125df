import { readdirSync } from 'node:fs';
import { posix } from 'node:path';
import { describe, expect, it } from 'vitest';
import { CRASH_POINTS } from '#src/base/crash-points.js';
import { CONTAINERS } from '#src/cli/commands/containers/group.js';
import { IMAGES } from '#src/cli/commands/images/group.js';
import { NETWORKS } from '#src/cli/commands/networks/group.js';
import { REGISTRIES } from '#src/cli/commands/registries/group.js';
import { RUNNING } from '#src/cli/commands/running/group.js';
import { STORE } from '#src/cli/commands/store/group.js';
import { VOLUMES } from '#src/cli/commands/volumes/group.js';
import { WATCHING } from '#src/cli/commands/watching/group.js';
import { MIGRATIONS } from '#src/metadata/sqlite/migrations.js';
import * as layout from '#src/paths.js';
import { codeIn, deadLinks, deadPages, deadPaths, document, documents, rowsBelow } from './documents.js';
import { scan, sourceFiles, unitOf } from './source-files.js';

const { StorePaths } = layout;
const architecture = document('docs/architecture.md').text;
const format = document('docs/format.md').text;

/** Tables with their columns, as all migrations together leave them. */
function tablesOf(statements: readonly string[]): Map<string, string[]> {
  const tables = new Map<string, string[]>();
  for (const sql of statements) {
    for (const [, table = '', body = ''] of sql.matchAll(/CREATE TABLE (\w+) \(\n([\s\S]*?)\n\)/g))
      tables.set(
        table,
        [...body.matchAll(/^ {2}([a-z_]+)\s/gm)].map(([, column = '']) => column),
      );
    for (const [, table = '', column = ''] of sql.matchAll(/ALTER TABLE (\w+) ADD COLUMN (\w+)/g))
      tables.get(table)?.push(column);
    for (const [, table = ''] of sql.matchAll(/DROP TABLE (\w+)/g)) tables.delete(table);
  }
  return tables;
}

/** Rooms with those that they import, as their files do; but for the tables of codes of wings, which stand on `base` alone and are listed below them. */
function importsOf(files: ReturnType<typeof sourceFiles>): { room: string; imported: string }[] {
  return files.flatMap(({ path, text }) =>
    scan(text)
      .literals.filter(({ value }) => /^\.\.?\/.*\.js$/.test(value))
      .map(({ value }) => posix.join(posix.dirname(path), value.replace(/\.js$/, '.ts')))
      // The codes of a wing stand on `base` alone, and the list of all of them is below the wings.
      .filter((target) => unitOf(path) !== 'code-lists' || !/^src\/[\w-]+\/codes\.ts$/.test(target))
      .map((target) => ({ room: unitOf(path), imported: unitOf(target) })),
  );
}

/** `src/a/b.ts prune` for each place that takes the store's lock alone. */
function exclusiveHolders(files: ReturnType<typeof sourceFiles>): string[] {
  const calls = files.flatMap(({ path, text }) => {
    const { code, literals } = scan(text);
    const purposes = literals.filter(({ start }) =>
      /(?:\.withExclusive\(|\bnew ShortHolds\(\w+,)\s*$/.test(code.slice(0, start)),
    );
    return purposes.map(({ value }) => `${path} ${value}`);
  });
  return [...new Set(calls)].sort();
}

describe('documents', () => {
  it('link to files and headings that are there', () => {
    expect(documents().flatMap(deadLinks)).toEqual([]);
  });

  it('name files of the sources and the tests that are there', () => {
    expect(documents().flatMap(deadPaths)).toEqual([]);
  });

  it('are there, with the heading, where a comment of the sources names them', () => {
    expect(sourceFiles().flatMap(deadPages)).toEqual([]);
  });

  it('have an index of decisions, each in its place', () => {
    const pages = readdirSync(new URL('../../docs/decisions', import.meta.url)).filter((name) => name !== 'README.md');
    const index = document('docs/decisions/README.md').text;
    const listed = [...index.matchAll(/\]\((\d{4}-[\w-]+\.md)\)/g)].map(([, name = '']) => name);
    expect(listed).toEqual(pages.sort());
    expect(pages.map((name) => Number(name.slice(0, 4)))).toEqual(pages.map((_, at) => at + 1));
    for (const page of pages) {
      const { text } = document(`docs/decisions/${page}`);
      expect(text, page).toMatch(new RegExp(`^# ${Number(page.slice(0, 4))}\\. .+`));
      for (const part of ['Context', 'Decision', 'Consequences']) expect(text, page).toContain(`\n**${part}.** `);
    }
  });

  it('have a section of the manual for each command', () => {
    const groups = {
      ...RUNNING,
      ...WATCHING,
      ...IMAGES,
      ...CONTAINERS,
      ...NETWORKS,
      ...VOLUMES,
      ...STORE,
      ...REGISTRIES,
    };
    const commands = Object.keys(groups);
    expect(commands.length).toBeGreaterThan(10);
    const sections = [...document('docs/cli.md').text.matchAll(/^## `([\w-]+)`/gm)].map(([, name]) => name);
    expect(commands.filter((name) => !sections.includes(name))).toEqual([]);
  });
});

it('the manual has every reason to stay', () => {
  const [keepers] = sourceFiles().filter(({ path }) => path === 'src/prune/keepers.ts');
  const union =
    /export type KeepReason =([^;]*?);\n\n/s.exec(keepers?.text.replaceAll('; readonly', ', readonly') ?? '')?.[1] ??
    '';
  const kinds = [...union.matchAll(/readonly kind: '(\w+)'/g)].map(([, kind]) => kind);
  expect(kinds.length).toBeGreaterThan(8);
  const table = document('docs/cli.md').text.split('**Reason**')[1] ?? '';
  const documented = [...table.matchAll(/^\| `(\w+)` +\|/gm)].map(([, kind]) => kind);
  expect(kinds.filter((kind) => !documented.includes(kind))).toEqual([]);
});

describe('docs/architecture.md', () => {
  const rooms = rowsBelow(architecture, 'Rooms').flatMap(([room]) => codeIn(room));

  it('has a row for each room, and for no other', () => {
    const there = new Set(sourceFiles().map(({ path }) => unitOf(path)));
    expect(rooms.filter((room) => room !== 'src').toSorted()).toEqual([...there].sort());
  });

  it('has the rooms from the bottom up', () => {
    const up = importsOf(sourceFiles()).filter(({ room, imported }) => rooms.indexOf(imported) > rooms.indexOf(room));
    expect(up).toEqual([]);
  });

  it('says of each crash point what it leaves, and of no other', () => {
    const told = rowsBelow(architecture, 'Crash points').flatMap(([points]) => codeIn(points));
    expect(told.toSorted()).toEqual([...CRASH_POINTS].sort());
  });

  it('names whoever takes the store’s lock alone, and as what', () => {
    const told = rowsBelow(architecture, 'Locks').flatMap(([files, purposes]) =>
      codeIn(purposes).flatMap((purpose) => codeIn(files).map((file) => `${file} ${purpose}`)),
    );
    expect(exclusiveHolders(sourceFiles()).filter((holder) => !told.includes(holder))).toEqual([]);
    const holders = told.filter((holder) => /^src\/[\w/-]+\.ts \w+$/.test(holder));
    expect(holders.filter((holder) => !exclusiveHolders(sourceFiles()).includes(holder))).toEqual([]);
  });
});

describe('docs/format.md', () => {
  const rows = rowsBelow(format, 'Directories and files');
  /** Lists of the others, and what tells of a path instead of giving one. */
  const NO_ENTRIES = new Set(
    'constructor records ownDirectories ownFiles own StorePaths layerOfDirectory layersNamedIn rootfsIdOf defaultRoot'.split(
      ' ',
    ),
  );

  it('names each entry of StorePaths, and what else gives a path', () => {
    const entries = [...Object.getOwnPropertyNames(StorePaths.prototype), ...Object.keys(layout)];
    expect(entries.length).toBeGreaterThan(30);
    const told = rows.flat().flatMap(codeIn);
    expect(entries.filter((entry) => !NO_ENTRIES.has(entry) && !told.includes(entry))).toEqual([]);
  });

  it('has a row for each file and directory right below the root', () => {
    const { own, records, root, metadata, generation } = new StorePaths('/store');
    const told = rows.flatMap(([, path]) => codeIn(path)).map((path) => path.replace(/\/$/, ''));
    const paths = [...own.filter((path) => !records.includes(path)), metadata, generation];
    expect(paths.map((path) => path.slice(root.length + 1)).filter((path) => !told.includes(path))).toEqual([]);
  });

  it('has each table of the records with its columns, and no other', () => {
    const there = tablesOf(MIGRATIONS.map(({ sql }) => sql));
    const told = rowsBelow(format, 'records').filter(([, columns = '']) => columns.startsWith('`'));
    const tables = told.map(([table, columns]) => [codeIn(table)[0], codeIn(columns).sort()] as const);
    expect(new Map(tables)).toEqual(new Map([...there].map(([table, columns]) => [table, columns.toSorted()])));
  });

  it('has each version of the schema', () => {
    const versions = rowsBelow(format, 'records').flatMap(([version = '']) =>
      /^\d+$/.test(version) ? [Number(version)] : [],
    );
    expect(versions).toEqual(MIGRATIONS.map(({ version }) => version));
  });
});

describe('the rules about documents', () => {
  const page = (text: string) => ({ path: 'docs/page.md', text });

  it.each([
    ['[a](missing.md)', 'no docs/missing.md'],
    ['[a](../README.md#no-such-heading)', 'no heading no-such-heading in README.md'],
    ['[a](#nowhere)', 'no heading nowhere in docs/page.md'],
  ])('find the link %s', (text, fault) => {
    expect(deadLinks(page(text))).toEqual([`docs/page.md: ${fault}`]);
  });

  it('find a path that leads nowhere, and a pattern that fits nothing', () => {
    const text = 'see `src/no/such.ts`, native-free-tests/gone/ and `system-tests/**/no-such-*.test.ts`.';
    expect(deadPaths(page(text)).map((fault) => fault.replace('docs/page.md: no ', ''))).toEqual([
      'src/no/such.ts',
      'native-free-tests/gone',
      'system-tests/**/no-such-*.test.ts',
    ]);
  });

  it('find the page and the heading that a comment names', () => {
    const comments = '// docs/missing.md\n// docs/architecture.md, "Locks"\n// docs/architecture.md, "Keys"';
    expect(deadPages({ path: 'src/a.ts', text: comments })).toEqual([
      'src/a.ts: no docs/missing.md',
      'src/a.ts: no heading "Keys" in docs/architecture.md',
    ]);
  });

  it('leave alone what is no path of ours', () => {
    const text =
      'import `#src/paths.js`, https://example.org/src/x.ts, [a](https://example.org/x.md), `[b](c)`, [p](../src/paths.ts)';
    expect([...deadLinks(page(text)), ...deadPaths(page(text))]).toEqual([]);
  });

  it('see a column that is added, and a table that is gone', () => {
    const first = 'CREATE TABLE a (\n  b TEXT,\n  c TEXT,\n  PRIMARY KEY (b)\n);\nCREATE TABLE d (\n  e TEXT\n);';
    expect(tablesOf([first, 'ALTER TABLE a ADD COLUMN f TEXT;', 'DROP TABLE d;'])).toEqual(
      new Map([['a', ['b', 'c', 'f']]]),
    );
  });
});
