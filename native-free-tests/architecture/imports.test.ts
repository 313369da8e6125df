import { posix } from 'node:path';
import { describe, expect, it } from 'vitest';
import { placeIn, type SourceFile, scan, sourceFiles, unitOf } from './source-files.js';

/**
 * Imports point down. Each row is a room of `src`: a folder, a folder in `system` or `files`, or a file beside the folders; and what it may import, from the bottom
 * up: only rows above it, and of those only the ones of a lower rank. Types count as much as values do.
 */
const SYSTEM = 'base image system/koffi system/native-loading system/syscalls system/compression system/tar';
const MACHINE = `${SYSTEM} events paths system/locks files/space`;
const LAYERS = `${MACHINE} files/tree files/contents files/tar-record registry metadata unpack seams sources`;
const DISK = `${LAYERS} workers mounts store-directory layer-store`;
const WHOLE = `${DISK} remote code-lists pulls backends containers volumes prune check`;

/** What a wing may use: the public surface, and what knows nothing of a store. */
const FRONT = `${SYSTEM} system/processes system/seccomp system/locks index`;
/** Each has a door, its `index.ts`, which is all that others see of it; but for `codes.ts`, the table of its codes, which imports `base` alone and which `code-lists` lists. */
const WINGS = ['retention', 'catalogue', 'publish', 'containerizer', 'warm-pool', 'dependencies', 'runs'];

const MAY_IMPORT: Readonly<Record<string, string>> = {
  base: '',
  image: 'base',
  //
  'system/koffi': '',
  'system/native-loading': 'base',
  'system/syscalls': 'base image system/koffi system/native-loading',
  'system/compression': 'base system/koffi system/native-loading system/syscalls',
  'system/tar': 'base system/syscalls system/compression',
  'system/processes': 'base system/koffi system/native-loading system/syscalls',
  'system/seccomp': 'base system/koffi system/native-loading system/syscalls system/processes',
  'system/terminals': 'system/koffi system/syscalls',
  //
  events: 'base image',
  paths: 'base image',
  'system/locks': 'base image system/syscalls',
  'files/space': 'base',
  //
  'files/tree': MACHINE,
  'files/contents': `${MACHINE} files/tree`,
  'files/tar-record': `${MACHINE} files/tree files/contents`,
  //
  registry: `${SYSTEM} events system/locks`,
  metadata: MACHINE,
  //
  unpack: `${MACHINE} files/tree files/contents files/tar-record`,
  seams: `${MACHINE} files/tree files/contents files/tar-record unpack`,
  sources: `${MACHINE} files/tree files/contents files/tar-record registry unpack`,
  //
  // Threads work on the records too.
  workers: LAYERS,
  mounts: `${LAYERS} workers`,
  // Looks at what is elsewhere, and knows no store.
  remote: `${LAYERS} workers`,
  //
  'store-directory': `${LAYERS} workers mounts`,
  'layer-store': `${LAYERS} workers mounts store-directory`,
  //
  pulls: DISK,
  backends: DISK,
  containers: `${DISK} backends`,
  volumes: DISK,
  //
  prune: `${DISK} pulls backends containers`,
  check: `${DISK} pulls backends containers`,
  // The tables of codes and counters, of each room and wing that has some.
  'code-lists': 'base registry',
  //
  provisioner: WHOLE,
  index: `${WHOLE} provisioner`,
  //
  // Wings stand on the library, and see no more of it than everybody.
  retention: FRONT,
  catalogue: FRONT,
  publish: `${FRONT} catalogue`,
  containerizer: FRONT,
  'warm-pool': `${FRONT} containerizer`,
  dependencies: FRONT,
  runs: `${FRONT} containerizer dependencies`,
  agent: `${FRONT} ${WINGS.join(' ')}`,
  //
  // The library, and what its failures are called: `--help` should not have to load the rest.
  // Its own terminal is nothing of the library's.
  cli: `index base system/terminals ${WINGS.join(' ')} agent`,
};

/** Packages that only these rooms may know. */
const PACKAGE_OF: Readonly<Record<string, string>> = {
  koffi: 'system/koffi system/syscalls',
  fzstd: 'system/compression',
  'better-sqlite3': 'metadata',
  'node:sqlite': 'metadata',
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
  if ([...WINGS, 'agent'].includes(unit) && path === `src/${unit}/codes.ts` && imported !== 'base')
    return 'the codes of a wing stand on base alone';
  if (imported === unit) return undefined;
  const isWing = [...WINGS, 'agent'].includes(imported);
  if (isWing && unit === 'code-lists' && target === `src/${imported}/codes.js`) return undefined;
  if (isWing && target !== `src/${imported}/index.js`) return `others enter ${imported} by its index.js`;
  if (MAY_IMPORT[unit]?.split(' ').includes(imported)) return undefined;
  return `${unit} may not import ${imported}`;
}

describe('the modules', () => {
  it('import only what the table allows', () => {
    expect(violations(sourceFiles())).toEqual([]);
  });

  it('of wings take types alone from the front, which would be loaded with them else', () => {
    const found = sourceFiles().flatMap(({ path, text }) => {
      if (!WINGS.includes(unitOf(path))) return [];
      const imports = [...text.matchAll(/^import (type )?[^;]*? from '([^']+)';/gm)];
      const values = imports.filter(
        ([, isType, from = '']) => isType === undefined && posix.join(posix.dirname(path), from) === 'src/index.js',
      );
      return values.map(() => path);
    });
    expect(found).toEqual([]);
  });

  it('all have a row in the table', () => {
    const units = new Set(sourceFiles().map(({ path }) => unitOf(path)));
    expect([...units].filter((unit) => MAY_IMPORT[unit] === undefined)).toEqual([]);
  });
});

/** @returns files that import themselves by way of others, each way once, from its first file on */
function circles(files: readonly SourceFile[]): string[] {
  const imports = new Map(files.map((file) => [file.path, importsOf(file)]));
  const found = new Set<string>();
  const finished = new Set<string>();
  const visit = (path: string, way: readonly string[]): void => {
    const begin = way.indexOf(path);
    if (begin >= 0) found.add([...way.slice(begin), path].join(' imports '));
    if (begin >= 0 || finished.has(path)) return;
    for (const next of imports.get(path) ?? []) visit(next, [...way, path]);
    finished.add(path);
  };
  for (const path of imports.keys()) visit(path, []);
  return [...found];
}

function importsOf({ path, text }: SourceFile): string[] {
  const named = scan(text).literals.filter(({ value }) => /^\.\.?\/.*\.js$/.test(value));
  return named.map(({ value }) => posix.join(posix.dirname(path), value).replace(/\.js$/, '.ts'));
}

describe('files', () => {
  it('do not import themselves by way of others, types included', () => {
    expect(circles(sourceFiles())).toEqual([]);
  });

  it('that do so are found', () => {
    const file = (name: string, other: string) => ({
      path: `src/${name}.ts`,
      text: `import type { X } from './${other}.js';`,
    });
    expect(circles([file('a', 'b'), file('b', 'c'), file('c', 'b'), file('d', 'e')])).toEqual([
      'src/b.ts imports src/c.ts imports src/b.ts',
    ]);
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
    [
      'an import of a higher rank',
      'src/sources/a.ts',
      `import { b } from '../pulls/b.js';`,
      'sources may not import pulls',
    ],
    [
      'an import of the same rank',
      'src/pulls/a.ts',
      `import { b } from '../backends/b.js';`,
      'pulls may not import backends',
    ],
    [
      'a type of a higher rank',
      'src/files/tree/a.ts',
      `import type { B } from '../../unpack/b.js';`,
      'files/tree may not import unpack',
    ],
    ['an export of a higher rank', 'src/image/a.ts', `export * from '../paths.js';`, 'image may not import paths'],
    [
      'a lazy import',
      'src/system/locks/a.ts',
      `const b = await import('../../metadata/b.js');`,
      'system/locks may not import metadata',
    ],
    [
      'a required module',
      'src/system/syscalls/native/a.ts',
      `require('../../../metadata/b.js');`,
      'system/syscalls may not import metadata',
    ],
    [
      'a room beside it in the same house',
      'src/files/tree/a.ts',
      `import '../contents/b.js';`,
      'files/tree may not import files/contents',
    ],
    [
      'a worker of another folder',
      'src/pulls/a.ts',
      `new URL('../backends/b.js', import.meta.url);`,
      'pulls may not import backends',
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
      `import type { B } from '../pulls/b.js';`,
      'cli may not import pulls',
    ],
    [
      'the library reaching for the command line',
      'src/index.ts',
      `import './cli/main.js';`,
      'index may not import cli',
    ],
    [
      'a wing reaching into the store',
      'src/containerizer/a.ts',
      `import { b } from '../layer-store/b.js';`,
      'containerizer may not import layer-store',
    ],
    [
      'the store reaching for a wing',
      'src/prune/a.ts',
      `import { b } from '../retention/index.js';`,
      'prune may not import retention',
    ],
    [
      'a way into a wing beside its door',
      'src/warm-pool/a.ts',
      `import { b } from '../containerizer/launch.js';`,
      'others enter containerizer by its index.js',
    ],
    ['a folder without a row', 'src/utils/a.ts', `import '../base/errors.js';`, 'utils may not import base'],
    [
      'koffi elsewhere',
      'src/backends/a.ts',
      `import koffi from 'koffi';`,
      'koffi is for src/system/koffi and src/system/syscalls only',
    ],
    [
      'better-sqlite3 elsewhere',
      'src/pulls/a.ts',
      `createRequire(url)('better-sqlite3');`,
      'better-sqlite3 is for src/metadata only',
    ],
    [
      'a way round through the package',
      'src/unpack/a.ts',
      `import '#src/pulls/b.js';`,
      'inside src, imports are relative',
    ],
    ['a way out of the sources', 'src/unpack/a.ts', `import '../../scripts/b.mjs';`, 'leads out of src'],
  ])('finds %s', (_, path, text, fault) => {
    expect(violations([{ path, text: `\n${text}\n` }])).toEqual([expect.stringMatching(`^${path}:2: .*${fault}$`)]);
  });

  it.each([
    ['a lower rank', 'src/sources/a.ts', `import { b } from '../image/b.js';`],
    ['its own folder', 'src/sources/archives/a.ts', `import { b } from '../b.js';`],
    [
      'the public surface, for the command line',
      'src/cli/commands/a.ts',
      `import { Provisioner } from '../../index.js';`,
    ],
    ['the public surface, for a wing', 'src/runs/a.ts', `import { Provisioner } from '../index.js';`],
    ['the door of a wing below', 'src/warm-pool/a.ts', `import { launch } from '../containerizer/index.js';`],
    ['what a comment mentions', 'src/sources/a.ts', `// import { b } from '../pulls/b.js';`],
  ])('allows %s', (_, path, text) => {
    expect(violations([{ path, text }])).toEqual([]);
  });
});
