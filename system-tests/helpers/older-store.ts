import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { inspect } from '../metadata/sqlite-files.js';

/** Makes a store, which nobody has open, one that a release of format 1 has written; its layers should have been stored without tar records. */
export function makeOlder(root: string): void {
  inspect(join(root, 'metadata.sqlite'), (database) => {
    database.exec(
      `DROP TABLE volume_use; DROP TABLE volume; DROP TABLE holding; DROP TABLE launch; DROP TABLE launch_event;
       ALTER TABLE layer DROP COLUMN tar; ALTER TABLE layer DROP COLUMN tar_bytes; PRAGMA user_version = 3`,
    );
  });
  const format = readFileSync(join(root, 'format'), 'utf8');
  writeFileSync(join(root, 'format'), format.replace('"version":2', '"version":1'));
}
