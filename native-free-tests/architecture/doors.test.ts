import { existsSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';
import { doorsOf } from '../../scripts/doors.mjs';
import { sourceFiles } from './source-files.js';

const { exports } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8'));

it('a wing is imported by its name, and has a bundle, a module and types', () => {
  const wing = { types: './dist/containerizer/index.d.ts', default: './dist/containerizer.js' };
  expect(doorsOf({ './containerizer': wing, './package.json': './package.json' })).toEqual([
    {
      name: './containerizer',
      bundle: 'containerizer',
      module: 'containerizer/index.js',
      types: 'containerizer/index.d.ts',
    },
  ]);
});

it('the library and every wing can be imported, and nothing else', () => {
  const wings = sourceFiles().flatMap(({ path }) => /^src\/([^/]+)\/index\.ts$/.exec(path)?.[1] ?? []);
  expect(doorsOf(exports).map(({ name }) => name)).toEqual(['.', ...wings.map((wing) => `./${wing}`)]);
});

it('what can be imported is there', () => {
  for (const { bundle, types } of doorsOf(exports)) {
    for (const file of [`dist/${bundle}.js`, `dist/${types}`]) {
      expect(existsSync(fileURLToPath(new URL(`../../${file}`, import.meta.url))), file).toBe(true);
    }
  }
});
