import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmdirSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { loadSyscalls } from '#src/syscalls/load-syscalls.js';
import { useLayers } from '../../native-free-tests/helpers/layers.js';
import { archive, entry, header } from '../../native-free-tests/helpers/raw-tar.js';
import { describeWith } from '../helpers/requirements.js';

const MIB = 2 ** 20;
const NATIVE = { syscalls: loadSyscalls(), format: 'trusted', privileged: true } as const;

describeWith(['root'], 'unpacking onto a file system', () => {
  const mountPoint = mkdtempSync(join(tmpdir(), 'small-'));
  beforeAll(() => {
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=40m,nr_inodes=2000', 'tmpfs', mountPoint]);
  });
  afterAll(() => {
    execFileSync('umount', [mountPoint]);
    rmdirSync(mountPoint);
  });
  const layers = useLayers(mountPoint);

  it('that has no space left for the data says so', async () => {
    // The archive itself takes 16 of the 40 MiB.
    const tar = archive(
      entry({ name: 'a' }, Buffer.alloc(16 * MIB)),
      header({ name: 'b' }),
      entry({ name: 'c' }, Buffer.alloc(1)),
    );
    expect((await layers.unpack(tar, NATIVE)).entries).toBe(3);
    expect(await layers.refusal(tar, NATIVE)).toMatchObject({ code: 'ERR_NO_SPACE' });
  });

  it('that has no inodes left says so', async () => {
    const tar = archive(...Array.from({ length: 2500 }, (_, index) => header({ name: `d${index}`, type: '5' })));
    expect(await layers.refusal(tar, NATIVE)).toMatchObject({ code: 'ERR_NO_SPACE' });
  });

  it('keeps what is to be left free', async () => {
    const tar = archive(entry({ name: 'a' }, Buffer.alloc(4 * MIB)));
    expect(await layers.refusal(tar, { ...NATIVE, limits: { freeSpaceReserve: 39 * MIB } })).toMatchObject({
      code: 'ERR_NO_SPACE',
      details: { reserve: 39 * MIB },
    });
  });
});
