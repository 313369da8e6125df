import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import picomatch from 'picomatch';
import { expect, test } from 'vitest';

const repository = fileURLToPath(new URL('../..', import.meta.url));
const page = readFileSync(new URL('../../docs/threat-model.md', import.meta.url), 'utf8');

function below(folder: string): string[] {
  return readdirSync(`${repository}${folder}`, { recursive: true, withFileTypes: true }).map(
    (entry) => `${entry.parentPath.slice(repository.length)}/${entry.name}${entry.isDirectory() ? '/' : ''}`,
  );
}

test('every test that the threat model names is there', () => {
  const files = [...['native-free-tests', 'system-tests', 'fuzz'].flatMap(below), 'system-tests/', 'fuzz/'];
  const named = [...page.matchAll(/`([\w./*-]+(?:\.test\.ts|\/))`/g)].map(([, name = '']) => name);
  const tests = named.filter((name) => !['alive/', 'gc/', 'staging/'].includes(name));
  expect(tests.length).toBeGreaterThan(30);
  const isThere = (name: string) => {
    const matches = picomatch([name, `*/${name}`, `*/*/${name}`]);
    return files.some((file) => matches(file));
  };
  expect(tests.filter((name) => !isThere(name))).toEqual([]);
});
