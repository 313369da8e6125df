import { lstatSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { sha256 } from '../helpers/image-builder.js';
import { below, useLayers } from '../helpers/layers.js';
import { archive, entry, header, pax } from '../helpers/raw-tar.js';

const small = archive(entry({ name: 'a' }, 'abc'));
const large = archive(
  ...Array.from({ length: 64 }, (_, index) => entry({ name: `f${index}` }, Buffer.alloc(100_000, index))),
);

describe('the digests of a layer', () => {
  const layers = useLayers();

  it('are both checked', async () => {
    const blob = gzipSync(small);
    expect((await layers.unpack(small, { blob, digest: sha256(blob) })).entries).toBe(1);
    expect(await layers.refusal(small, { blob, digest: sha256('other') })).toMatchObject({
      code: 'ERR_DIGEST_MISMATCH',
      details: { expected: sha256('other'), found: sha256(blob) },
    });
    expect(await layers.refusal(small, { blob, digest: sha256(blob), diffId: sha256('other') })).toMatchObject({
      code: 'ERR_DIFF_ID_MISMATCH',
      details: { expected: sha256('other'), found: sha256(small) },
    });
  });

  it('may be sha512', async () => {
    const { createHash } = await import('node:crypto');
    const diffId = `sha512:${createHash('sha512').update(small).digest('hex')}`;
    expect((await layers.unpack(small, { diffId, digest: diffId })).entries).toBe(1);
  });

  it('are of all that is stored, also behind the end of the archive', async () => {
    const tar = Buffer.concat([small, Buffer.from('what a writer left there')]);
    expect((await layers.unpack(tar, { digest: sha256(tar) })).tree['a']).toBe('file 644 abc');
    expect(await layers.refusal(tar, { diffId: sha256(small) })).toMatchObject({ code: 'ERR_DIFF_ID_MISMATCH' });
  });

  it('are to blame when damaged data makes no sense', async () => {
    const whole = gzipSync(large);
    const damaged = Buffer.from(whole);
    damaged.fill(0xff, 1000, 1100);
    expect(await layers.refusal(large, { blob: damaged, digest: sha256(whole) })).toMatchObject({
      code: 'ERR_DIGEST_MISMATCH',
      cause: { code: 'ERR_LAYER_MALFORMED' },
    });
    expect(await layers.refusal(large, { blob: damaged })).toMatchObject({ code: 'ERR_LAYER_MALFORMED' });
  });

  it('are to blame when a header of a plain layer is damaged', async () => {
    const damaged = Buffer.from(small);
    damaged[0] = 0x62;
    expect(await layers.refusal(small, { blob: damaged, digest: sha256(small) })).toMatchObject({
      code: 'ERR_DIGEST_MISMATCH',
    });
  });

  it('are not to blame when the layer is as it was meant', async () => {
    const tar = archive(header({ name: '../a' }));
    expect(await layers.refusal(tar, { digest: sha256(tar) })).toMatchObject({ code: 'ERR_UNSAFE_PATH' });
  });
});

describe('unpacking', () => {
  const layers = useLayers();

  it('tells what came of it', async () => {
    const unpacked = await layers.unpack(
      archive(header({ name: './', type: '5' }), entry({ name: 'a' }, 'abc'), entry({ name: '.wh.b' })),
    );
    expect(unpacked).toMatchObject({ entries: 3, opaqueRoot: false, whiteouts: true, describesRoot: true });
    expect(unpacked.bytes).toBeGreaterThan(0);
  });

  it('reports the stored bytes as it reads them', async () => {
    const reported: number[] = [];
    await layers.unpack(large, { progress: (bytes) => reported.push(bytes) });
    expect(reported.length).toBeGreaterThan(1);
    expect(reported.at(-1)).toBe(large.length);
    expect(reported).toEqual([...reported].sort((one, other) => one - other));
  });

  it.each(['plain', 'gzip'])('stops when it is cancelled, amid a layer (%s)', async (form) => {
    const stop = new AbortController();
    const blob = form === 'gzip' ? gzipSync(large, { level: 0 }) : large;
    const progress = () => stop.abort(new Error('enough'));
    expect(await layers.refusal(large, { blob, digest: sha256(blob), signal: stop.signal, progress })).toMatchObject({
      code: 'ERR_ABORTED',
      cause: { message: 'enough' },
    });
  });

  it('stops at once when it was cancelled before', async () => {
    expect(await layers.refusal(large, { signal: AbortSignal.abort() })).toMatchObject({ code: 'ERR_ABORTED' });
  });

  it('leaves no file open when it fails amid one', async () => {
    const before = openFiles();
    const cut = large.subarray(0, 150_000);
    await layers.refusal(cut, { diffId: sha256(cut) });
    await expect.poll(openFiles).toBeLessThanOrEqual(before);
  });

  it('fails when less is stored than was said', async () => {
    expect(await layers.refusal(large, { blob: gzipSync(large).subarray(0, 500) })).toMatchObject({
      code: 'ERR_LAYER_TRUNCATED',
    });
  });

  it('keeps free space in reserve', async () => {
    const limits = { freeSpaceReserve: Number.MAX_SAFE_INTEGER };
    expect(await layers.refusal(large, { limits })).toMatchObject({ code: 'ERR_NO_SPACE' });
  });

  it('keeps free space in reserve also from entries without data', async () => {
    const limits = { freeSpaceReserve: Number.MAX_SAFE_INTEGER };
    const empty = archive(...Array.from({ length: 10 }, (_, index) => header({ name: `d${index}`, type: '5' })));
    expect(await layers.refusal(empty, { limits })).toMatchObject({ code: 'ERR_NO_SPACE' });
  });
});

/** File descriptors of this process, where the system tells. */
function openFiles(): number {
  try {
    return readdirSync('/proc/self/fd').length;
  } catch {
    return 0;
  }
}

describe('what plain Node can apply', () => {
  const layers = useLayers();
  const stat = (rootfs: string, name: string) => lstatSync(below(rootfs, name));

  it('is every mode, whatever the umask is', async () => {
    const modes = [0, 0o400, 0o644, 0o666, 0o777, 0o4755, 0o2755, 0o1777, 0o7777];
    const before = process.umask();
    for (const umask of [0o022, 0o077, 0o777, 0]) {
      setUmask(umask);
      try {
        const parts = modes.flatMap((mode) => [
          entry({ name: `f${mode}`, mode }, 'x'),
          header({ name: `d${mode}`, type: '5', mode }),
        ]);
        const { rootfs } = await layers.unpack(archive(...parts));
        for (const mode of modes) {
          expect(
            stat(rootfs, `f${mode}`).mode & 0o7777,
            `file ${mode.toString(8)} under umask ${umask.toString(8)}`,
          ).toBe(mode);
          expect(stat(rootfs, `d${mode}`).mode & 0o7777, `directory ${mode.toString(8)}`).toBe(mode);
        }
      } finally {
        setUmask(before);
      }
    }
  });

  it('is the time of everything', async () => {
    const { rootfs } = await layers.unpack(
      archive(
        pax({ mtime: '1700000000.25' }),
        entry({ name: 'f' }, 'x'),
        pax({ mtime: '1000.5' }),
        header({ name: 'd', type: '5' }),
        entry({ name: 'd/later' }, 'x'),
        header({ name: 's', linkName: 'x', type: '2', mtime: 1234 }),
        header({ name: './', type: '5', mtime: 4321 }),
      ),
    );
    expect(stat(rootfs, 'f').mtimeMs).toBeCloseTo(1700000000250, 0);
    expect(stat(rootfs, 'd').mtimeMs).toBeCloseTo(1000500, 0);
    expect(stat(rootfs, 's').mtimeMs).toBe(1234000);
    expect(stat(rootfs, '').mtimeMs).toBe(4321000);
  });

  it('is told of by what is left out: owners, devices, FIFOs and attributes', async () => {
    const uid = (process.getuid?.() ?? 0) + 1;
    const { skipped, tree } = await layers.unpack(
      archive(
        header({ name: 'c', type: '3', major: 1, minor: 3 }),
        header({ name: 'b', type: '4', major: 8, minor: 0 }),
        header({ name: 'p', type: '6' }),
        pax({ 'SCHILY.xattr.user.a': 'b', 'SCHILY.xattr.user.c': 'd' }),
        entry({ name: 'f', uid, gid: process.getgid?.() ?? 0 }, 'x'),
        header({ name: 'd', type: '5', uid, gid: process.getgid?.() ?? 0 }),
      ),
    );
    expect(skipped).toMatchObject({ devices: 3, xattrs: 2 });
    expect(skipped.owners).toBe(2);
    expect(Object.keys(tree).sort()).toEqual(['.', 'd', 'f']);
  });

  it('are names of any bytes', async () => {
    const names = ['\xff\xfe', '\xe4\xb8\xad', 'a\nb', 'a\\b', ' ', '~', '"', '\x01', '\xe9/\xe8'];
    const { tree } = await layers.unpack(archive(...names.map((name) => entry({ name }, 'x'))));
    for (const name of names) expect(tree[name]).toBe('file 644 x');
  });

  it('are symlinks to any bytes', async () => {
    const targets = ['\xff/\xfe', ' ', '../../..', '/', `${'t'.repeat(90)}/x`];
    const { tree } = await layers.unpack(
      archive(...targets.map((linkName, index) => header({ name: `l${index}`, linkName, type: '2' }))),
    );
    expect(targets.map((_, index) => tree[`l${index}`])).toEqual(targets.map((target) => `symlink to ${target}`));
  });

  it('includes the longest name and path that the system takes', async () => {
    const name = 'n'.repeat(255);
    const path = Array.from({ length: 14 }, () => name).join('/');
    const { rootfs } = await layers.unpack(
      archive(pax({ path: `${path}/${'e'.repeat(255)}` }), entry({ name: 'short' }, 'x')),
    );
    expect(readdirSync(join(rootfs, path))).toEqual(['e'.repeat(255)]);
  });
});

/** Only the main thread may change it; the tests run in one of a process. */
function setUmask(mask: number): void {
  process.umask(mask);
}
