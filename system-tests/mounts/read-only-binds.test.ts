import { execFileSync } from 'node:child_process';
import { mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { mountBindClassic, mountBindReadOnly } from '#src/system/syscalls/native/mounts/bind-mount.js';
import { mountFileSystem } from '../helpers/file-systems.js';
import { describeWith } from '../helpers/requirements.js';

/** What the topmost mount at a path is mounted with. */
function flagsOf(path: string): string[] {
  const lines = readFileSync('/proc/self/mountinfo', 'utf8').split('\n');
  return (lines.findLast((line) => line.split(' ')[4] === path)?.split(' ')[5] ?? '').split(',').sort();
}

describeWith(['root', 'mount'], 'a read-only bind mount', () => {
  it.each([
    ['the calls of Linux 5.12', mountBindReadOnly],
    ['those before', mountBindClassic],
  ] as const)('made with %s forbids what the mount forbids that it shows, and no more', (_, bind) => {
    for (const flags of [
      ['nosuid', 'nodev', 'noexec', 'noatime'],
      ['nodev', 'relatime'],
      ['noexec', 'nosymfollow', 'relatime'],
    ]) {
      const system = mountFileSystem('tmpfs');
      system.remount(...flags);
      const [source, target] = ['source', 'target'].map((name) => join(system.path, name)) as [string, string];
      for (const directory of [source, target]) mkdirSync(directory);
      bind(source, target);
      expect(flagsOf(target)).toEqual(['ro', ...flags].sort());
      execFileSync('umount', [target]);
    }
  });
});
