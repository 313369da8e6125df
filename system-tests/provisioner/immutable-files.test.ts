import { execFileSync } from 'node:child_process';
import { mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { expect, test } from 'vitest';
import { buildImage, buildLayer } from '../../native-free-tests/helpers/image-builder.js';
import { describeWith } from '../helpers/requirements.js';
import { expectNoContainers, openStore, pullImages } from '../helpers/test-store.js';

const app = buildImage([buildLayer([{ path: 'etc/name', content: 'base' }])]);

const flag = (flags: string, path: string) => execFileSync('chattr', [flags, path], { stdio: 'pipe' });

/** What a process in a container, or somebody on the host, can flag. */
const FLAGGED: Readonly<Record<string, (rootfs: string) => void>> = {
  'an immutable file': (rootfs) => flag('+i', join(rootfs, 'etc/name')),
  'a file that can only be appended to': (rootfs) => flag('+a', join(rootfs, 'etc/name')),
  'an immutable directory with files in it': (rootfs) => flag('+i', join(rootfs, 'etc')),
  'an immutable directory deep within others': (rootfs) => {
    const deep = join(rootfs, ...Array.from({ length: 100 }, () => 'd'));
    mkdirSync(deep, { recursive: true });
    writeFileSync(join(deep, 'file'), '');
    for (const path of [join(deep, 'file'), deep, dirname(deep)]) flag('+i', path);
  },
  'a directory that can only be appended to': (rootfs) => flag('+a', join(rootfs, 'etc')),
  'its immutable root': (rootfs) => flag('+i', rootfs),
  'a root that can only be appended to': (rootfs) => flag('+a', rootfs),
  'the immutable directory that it lies in': (rootfs) => flag('+i', dirname(rootfs)),
};

describeWith(['root', 'overlay'], 'a container in which flags keep things from being deleted', () => {
  test.each(
    Object.keys(FLAGGED).flatMap(
      (what) =>
        [
          [what, 'copy'],
          [what, 'overlay'],
        ] as const,
    ),
  )('%s, by the %s backend, is destroyed as any other, and nothing is left', async (what, backend) => {
    const p = await openStore();
    const warnings: string[] = [];
    p.events.on('warning', ({ message }) => warnings.push(message));
    await pullImages(p, { 'app:v1': app });
    const { rootfs } = await p.provision('job', 'app:v1', { backend });
    FLAGGED[what]?.(rootfs);
    expect(await p.destroy('job')).toBe(true);
    expect(await p.store.swept()).toEqual([]);
    await expectNoContainers(p);
    expect(readdirSync(join(p.root, 'gc'))).toEqual([]);
    expect(warnings).toEqual([]);
  });
});
