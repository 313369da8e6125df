import { execFileSync } from 'node:child_process';
import { mkdirSync, rmdirSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { loadSyscalls } from '#src/system/syscalls/load-syscalls.js';
import { useLayers } from '../../native-free-tests/helpers/layers.js';
import { archive, entry, header } from '../../native-free-tests/helpers/raw-tar.js';
import { describeWith } from '../helpers/requirements.js';

const MIB = 2 ** 20;
const NATIVE = { syscalls: loadSyscalls(), format: 'trusted', privileged: true } as const;

describeWith(['root'], 'unpacking onto a file system', () => {
  const mountPoint = join(tmpdir(), `small-${process.pid}`);
  beforeAll(() => {
    mkdirSync(mountPoint);
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=40m,nr_inodes=2000', 'tmpfs', mountPoint]);
  });
  afterAll(() => {
    // Streams close their files a little after their reader has gone.
    execFileSync('umount', ['--lazy', mountPoint]);
    rmdirSync(mountPoint);
  });
  const layers = useLayers(mountPoint);

  it('that has no space left for the data says so', async () => {
    const tar = archive(entry({ name: 'a' }, Buffer.alloc(30 * MIB)), header({ name: 'b' }));
    const options = { ...NATIVE, blob: gzipSync(tar) };
    expect((await layers.unpack(tar, options)).entries).toBe(2);
    expect(await layers.refusal(tar, options)).toMatchObject({ code: 'ERR_NO_SPACE' });
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
