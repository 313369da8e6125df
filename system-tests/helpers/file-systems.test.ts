import { spawnSync } from 'node:child_process';
import {
  appendFileSync,
  chmodSync,
  copyFileSync,
  existsSync,
  readdirSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { mountsBelow } from '#src/system/syscalls/mounts/mount-table.js';
import { FILE_SYSTEMS, mountFileSystem, needsOf } from './file-systems.js';
import { describeWith } from './requirements.js';

const paths: string[] = [];

for (const kind of FILE_SYSTEMS) {
  describeWith(needsOf(kind), `a file system for tests: ${kind}`, () => {
    test('can be written, belongs to whom it should, and becomes read-only and noexec when told', () => {
      const { path, remount } = mountFileSystem(kind, { owner: 65534 });
      paths.push(path);
      expect(statSync(path)).toMatchObject({ uid: 65534, gid: 65534 });
      const program = join(path, 'true');
      copyFileSync('/bin/true', program);
      chmodSync(program, 0o755);
      expect(spawnSync(program).status).toBe(0);
      remount('noexec');
      expect(spawnSync(program).error).toMatchObject({ code: 'EACCES' });
      remount('ro');
      expect(() => appendFileSync(program, 'x')).toThrow('EROFS');
      remount('rw');
      writeFileSync(join(path, 'more'), 'x');
      expect(readdirSync(path)).toEqual(expect.arrayContaining(['more', 'true']));
      rmSync(program);
    });
  });
}

afterAll(() => {
  for (const path of paths) expect(existsSync(path)).toBe(false);
  expect(mountsBelow('/dev/shm').filter((mount) => paths.includes(mount))).toEqual([]);
});
