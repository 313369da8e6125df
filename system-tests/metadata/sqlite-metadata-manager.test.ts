import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll } from 'vitest';
import { SqliteMetadataManager } from '#src/metadata/sqlite/sqlite-metadata-manager.js';
import { metadataManagerContract } from '../../native-free-tests/contracts/metadata-manager.js';

let directory: string;
let stores = 0;

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'provisioner-metadata-'));
});

afterAll(() => rm(directory, { recursive: true }));

metadataManagerContract('the manager on SQLite', () => {
  stores += 1;
  return SqliteMetadataManager.open(join(directory, `${stores}.sqlite`));
});
