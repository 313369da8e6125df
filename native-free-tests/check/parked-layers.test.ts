import { mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { ParkedLayers } from '#src/check/parked-layers.js';
import { MemoryMetadataManager } from '#src/metadata/memory/memory-metadata-manager.js';
import { parkedParts, StorePaths } from '#src/paths.js';
import { temporaryDirectory } from '../helpers/memory-store.js';

const layer = `sha256:${'a'.repeat(64)}`;

function parkedWith(users: string) {
  const paths = new StorePaths(temporaryDirectory());
  const directory = join(paths.parked, `${'a'.repeat(64)}.1`);
  mkdirSync(parkedParts(directory).layer, { recursive: true });
  writeFileSync(parkedParts(directory).users, users);
  const retired: string[] = [];
  const sweeper = { retire: (path: string) => void retired.push(path) };
  return { parked: new ParkedLayers(paths, new MemoryMetadataManager(), sweeper), directory, retired, paths };
}

test('a parked layer is released when no root filesystem in its list is recorded any more', async () => {
  const { parked, directory, retired } = parkedWith(JSON.stringify({ layer, rootfses: ['r1'] }));
  expect(await parked.release()).toEqual([]);
  expect(retired).toEqual([directory]);
});

test.each([
  'null',
  '7',
  '"text"',
  '[]',
  '{}',
  '{"layer":"sha256:x"}',
  JSON.stringify({ layer, rootfses: [] }),
  JSON.stringify({ layer, rootfses: 'r1' }),
  '{"layer"',
  '',
])('one whose list says %s stays: nobody can say that it is not in use', async (users) => {
  const { parked, retired, paths } = parkedWith(users);
  expect(await parked.release()).toEqual([]);
  expect(retired).toEqual([]);
  expect(readdirSync(paths.parked)).toHaveLength(1);
});
