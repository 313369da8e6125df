import { posix } from 'node:path';
import { describe, expect, it } from 'vitest';
import { placeIn, type SourceFile, scan, sourceFiles, unitOf } from './source-files.js';

/**
 * Imports point down. Each row is a folder of `src`, or a file beside the folders, and what it may import, from the bottom up: only rows
 * above it, and of those only the ones of a lower rank. Types count as much as values do.
 */
const BOTTOM =
  'errors failed-entry config crash-points unhurried check-document check-options foreign-file own-files native-loading working-directory';
const CONCEPTS = `${BOTTOM} image`;
const MACHINE = `${CONCEPTS} paths events locks syscalls isal zstd`;
const LAYERS = `${MACHINE} registry tree contents unpack seams`;
const PARTS = `${LAYERS} pull metadata workers mounts`;

const MAY_IMPORT: Readonly<Record<string, string>> = {
  errors: '',
  'failed-entry': 'errors',
  'check-options': 'errors',
  config: 'check-options',
  'crash-points': '',
  unhurried: '',
  'check-document': '',
  'foreign-file': 'errors',
  'own-files': '',
  'native-loading': '',
  koffi: '',
  'working-directory': 'errors',
  //
  image: BOTTOM,
  //
  paths: CONCEPTS,
  events: CONCEPTS,
  syscalls: `${CONCEPTS} koffi`,
  isal: `${CONCEPTS} koffi`,
  zstd: `${CONCEPTS} koffi`,
  //
  locks: `${CONCEPTS} syscalls`,
  //
  registry: `${CONCEPTS} locks`,
  //
  tree: MACHINE,
  //
  contents: `${MACHINE} tree`,
  //
  unpack: `${MACHINE} tree contents`,
  //
  seams: `${MACHINE} tree contents unpack`,
  //
  pull: LAYERS,
  metadata: LAYERS,
  // Threads work on the records too.
  workers: `${LAYERS} metadata`,
  mounts: `${LAYERS} metadata workers`,
  //
  store: PARTS,
  backends: PARTS,
  //
  prune: `${PARTS} store`,
  //
  check: `${PARTS} store`,
  //
  provisioner: `${PARTS} store backends prune check`,
  //
  index: `${PARTS} store backends prune check provisioner`,
  //
  // The library, what its failures are called, and how files of others are opened: `--help` should not have to load the rest.
  cli: 'index errors failed-entry foreign-file',
};

/** Packages that only these folders may know. */
const PACKAGE_OF: Readonly<Record<string, string>> = {
  koffi: 'koffi syscalls',
  fzstd: 'unpack',
  'better-sqlite3': 'metadata',
  commander: 'cli',
  'cli-progress': 'cli',
  undici: 'registry',
  'smol-toml': 'registry',
};

function violations(files: readonly SourceFile[]): string[] {
  return files.flatMap((file) => {
    const unit = unitOf(file.path);
    return scan(file.text).literals.flatMap(({ value, start }) => {
      const fault = faultOf(unit, file.path, value);
      return fault === undefined ? [] : [`${placeIn(file, start)}: ${fault}`];
    });
  });
}

/** Judges any literal that names a module, whether it is imported, required, or handed to a worker thread. */
function faultOf(unit: string, path: string, literal: string): string | undefined {
  const owners = PACKAGE_OF[literal]?.split(' ');
  if (owners?.includes(unit) === false)
    return `${literal} is for ${owners.map((owner) => `src/${owner}`).join(' and ')} only`;
  if (literal.startsWith('#src/')) return 'inside src, imports are relative';
  if (!/^\.\.?\/.*\.[cm]?js$/.test(literal)) return undefined;
  const target = posix.join(posix.dirname(path), literal);
  if (!target.startsWith('src/')) return `${literal} leads out of src`;
  const imported = unitOf(target.replace(/\.js$/, '.ts'));
  if (imported === unit || MAY_IMPORT[unit]?.split(' ').includes(imported)) return undefined;
  return `${unit} may not import ${imported}`;
}

describe('the modules', () => {
  it('import only what the table allows', () => {
    expect(violations(sourceFiles())).toEqual([]);
  });

  it('all have a row in the table', () => {
    const units = new Set(sourceFiles().map(({ path }) => unitOf(path)));
    expect([...units].filter((unit) => MAY_IMPORT[unit] === undefined)).toEqual([]);
  });
});

describe('the table of what may import what', () => {
  it('points down only, so there is no circle', () => {
    const above = new Set<string>();
    for (const [unit, allowed] of Object.entries(MAY_IMPORT)) {
      for (const name of allowed.split(' ').filter(Boolean)) expect(above, `${unit} imports ${name}`).toContain(name);
      above.add(unit);
    }
  });
});

describe('the rule about imports', () => {
  it.each([
    ['an import of a higher rank', 'src/pull/a.ts', `import { b } from '../store/b.js';`, 'pull may not import store'],
    [
      'an import of the same rank',
      'src/store/a.ts',
      `import { b } from '../backends/b.js';`,
      'store may not import backends',
    ],
    [
      'a type of a higher rank',
      'src/tree/a.ts',
      `import type { B } from '../unpack/b.js';`,
      'tree may not import unpack',
    ],
    ['an export of a higher rank', 'src/image/a.ts', `export * from '../paths.js';`, 'image may not import paths'],
    ['a lazy import', 'src/locks/a.ts', `const b = await import('../store/b.js');`, 'locks may not import store'],
    ['a required module', 'src/syscalls/a.ts', `require('../metadata/b.js');`, 'syscalls may not import metadata'],
    [
      'a worker of another folder',
      'src/store/a.ts',
      `new URL('../backends/b.js', import.meta.url);`,
      'store may not import backends',
    ],
    [
      'the command line reaching inside',
      'src/cli/commands/a.ts',
      `import { b } from '../../paths.js';`,
      'cli may not import paths',
    ],
    [
      'the command line reaching for a type',
      'src/cli/a.ts',
      `import type { B } from '../store/b.js';`,
      'cli may not import store',
    ],
    [
      'the library reaching for the command line',
      'src/index.ts',
      `import './cli/main.js';`,
      'index may not import cli',
    ],
    ['a folder without a row', 'src/utils/a.ts', `import '../errors.js';`, 'utils may not import errors'],
    [
      'koffi elsewhere',
      'src/backends/a.ts',
      `import koffi from 'koffi';`,
      'koffi is for src/koffi and src/syscalls only',
    ],
    [
      'better-sqlite3 elsewhere',
      'src/store/a.ts',
      `createRequire(url)('better-sqlite3');`,
      'better-sqlite3 is for src/metadata only',
    ],
    [
      'a way round through the package',
      'src/tree/a.ts',
      `import '#src/store/b.js';`,
      'inside src, imports are relative',
    ],
    ['a way out of the sources', 'src/tree/a.ts', `import '../../scripts/b.mjs';`, 'leads out of src'],
  ])('finds %s', (_, path, text, fault) => {
    expect(violations([{ path, text: `\n${text}\n` }])).toEqual([expect.stringMatching(`^${path}:2: .*${fault}$`)]);
  });

  it.each([
    ['a lower rank', 'src/pull/a.ts', `import { b } from '../image/b.js';`],
    ['its own folder', 'src/pull/a.ts', `import { b } from './b.js';`],
    [
      'the public surface, for the command line',
      'src/cli/commands/a.ts',
      `import { Provisioner } from '../../index.js';`,
    ],
    ['what a comment mentions', 'src/pull/a.ts', `// import { b } from '../store/b.js';`],
  ])('allows %s', (_, path, text) => {
    expect(violations([{ path, text }])).toEqual([]);
  });
});
