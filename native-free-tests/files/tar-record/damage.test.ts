import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import {
  appendFileSync,
  copyFileSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { RecordFileError } from '#src/files/contents/record-file.js';
import { archiveOf, ChangedFileError, rebuildTar } from '#src/files/tar-record/rebuild-tar.js';
import type { LayerId } from '#src/image/digest.js';
import { layerContents, layerRootfs, layerTar } from '#src/paths.js';
import { sha256 } from '../../helpers/image-builder.js';
import { thrownBy } from '../../helpers/layers.js';
import { archive, entry, header, oldSparse } from '../../helpers/raw-tar.js';
import { expectSame, openBelow, rebuilt, treeCalls, useRecordedLayers } from '../../helpers/tar-records.js';

const MIB = 2 ** 20;
const large = randomBytes(3 * MIB);

/** Everything that opens files: data before, a file that is lost, and one in directories. */
const tar = archive(
  entry({ name: 'lost' }, large),
  entry({ name: 'lost' }, 'instead'),
  entry({ name: 'large' }, large),
  oldSparse({ name: 'sparse' }, 100_000, [[50_000, 5]], 'abcde'),
  entry({ name: 'a/b/file' }, 'the content'),
  entry({ name: 'a/c/other' }, large),
);

/** What comes of a rebuild until it ends, and why it ends. */
function piecesUntilError(directory: string): { pieces: Buffer[]; error: unknown } {
  const pieces: Buffer[] = [];
  try {
    for (const piece of rebuildTar(directory, treeCalls, 'given')) pieces.push(piece);
    return { pieces, error: undefined };
  } catch (error) {
    return { pieces, error };
  }
}

describe('a tar record', () => {
  const layers = useRecordedLayers();
  const expectRefusal = (directory: string, why = '') => {
    const { pieces, error } = piecesUntilError(directory);
    expect(error, why).toBeInstanceOf(RecordFileError);
    expect(pieces, why).toEqual([]);
  };

  it('is refused before the first piece whatever bit of it is flipped, and at whatever length it is cut', async () => {
    const { directory, record } = await layers.unpackAndRebuild(
      archive(entry({ name: 'a' }, 'one'), entry({ name: 'a' }, 'two'), header({ name: 'd', type: '5' })),
    );
    const whole = readFileSync(record);
    for (let bit = 0; bit < whole.length * 8; bit++) {
      const flipped = Buffer.from(whole);
      flipped[bit >> 3] = (flipped[bit >> 3] as number) ^ (1 << (bit & 7));
      writeFileSync(record, flipped);
      expectRefusal(directory, `bit ${bit}`);
    }
    for (let length = 0; length < whole.length; length++) {
      writeFileSync(record, whole.subarray(0, length));
      expectRefusal(directory, `${length} bytes`);
    }
    writeFileSync(record, Buffer.concat([whole, Buffer.alloc(1)]));
    expectRefusal(directory);
    expect(openBelow(layers.path)).toEqual([]);
  });

  it('is refused when it is damaged behind megabytes that are sound', async () => {
    const { directory, record } = await layers.unpack(archive(entry({ name: '.wh.a' }, randomBytes(5 * MIB))));
    const whole = readFileSync(record);
    whole[whole.length - 100_000] = (whole[whole.length - 100_000] as number) ^ 1;
    writeFileSync(record, whole);
    expectRefusal(directory);
  });

  it('is refused when it is another record of the layer', async () => {
    const { directory, record } = await layers.unpack(tar);
    copyFileSync(layerContents(directory), record);
    expectRefusal(directory);
  });

  it('is told to be missing when it is', async () => {
    const { directory, record } = await layers.unpack(tar);
    rmSync(record);
    expect(piecesUntilError(directory)).toEqual({ pieces: [], error: expect.objectContaining({ missing: true }) });
    expect(openBelow(layers.path)).toEqual([]);
  });
});

describe('a file of the layer', () => {
  const layers = useRecordedLayers();

  /** Changes the layer, and tells how the rebuild ends. */
  const damaged = async (change: (rootfs: string, outside: string) => void) => {
    const { directory, rootfs } = await layers.unpackAndRebuild(tar);
    const outside = join(layers.path, 'outsider');
    mkdirSync(join(outside, 'file'), { recursive: true });
    rmSync(join(outside, 'file'), { recursive: true });
    writeFileSync(join(outside, 'file'), 'of another');
    change(rootfs, outside);
    const { pieces, error } = piecesUntilError(directory);
    expect(Buffer.concat(pieces).includes('of another')).toBe(false);
    expect(openBelow(layers.path)).toEqual([]);
    return error;
  };

  const CHANGES: Record<string, [(rootfs: string, outside: string) => void, string]> = {
    'is missing': [(rootfs) => rmSync(join(rootfs, 'a/b/file')), 'is missing'],
    'is missing with its directory': [(rootfs) => rmSync(join(rootfs, 'a'), { recursive: true }), 'is missing'],
    'is shorter': [(rootfs) => truncateSync(join(rootfs, 'a/b/file'), 4), 'is shorter'],
    'is empty': [(rootfs) => truncateSync(join(rootfs, 'a/b/file'), 0), 'is shorter'],
    'is a symlink to one that would do': [
      (rootfs, outside) => {
        rmSync(join(rootfs, 'a/b/file'));
        symlinkSync(join(outside, 'file'), join(rootfs, 'a/b/file'));
      },
      'is no file',
    ],
    'is a directory': [
      (rootfs) => {
        rmSync(join(rootfs, 'a/b/file'));
        mkdirSync(join(rootfs, 'a/b/file'));
      },
      'is no file',
    ],
    'is a FIFO': [
      (rootfs) => {
        rmSync(join(rootfs, 'a/b/file'));
        execFileSync('mkfifo', [join(rootfs, 'a/b/file')]);
      },
      'is no file',
    ],
    'is below a symlink to where one would do': [
      (rootfs, outside) => {
        rmSync(join(rootfs, 'a/b'), { recursive: true });
        symlinkSync(outside, join(rootfs, 'a/b'));
      },
      'is no file',
    ],
    'is below a symlink that is not the last': [
      (rootfs, outside) => {
        mkdirSync(join(outside, 'b'));
        copyFileSync(join(outside, 'file'), join(outside, 'b/file'));
        rmSync(join(rootfs, 'a'), { recursive: true });
        symlinkSync(outside, join(rootfs, 'a'));
      },
      'is no file',
    ],
    'is below a file': [
      (rootfs) => {
        rmSync(join(rootfs, 'a'), { recursive: true });
        writeFileSync(join(rootfs, 'a'), 'no directory');
      },
      'is no file',
    ],
  };

  it.each(Object.keys(CHANGES))('that %s is told, and nothing else is read', async (what) => {
    const [change, told] = CHANGES[what] as (typeof CHANGES)[string];
    expect(await damaged(change)).toMatchObject({
      message: expect.stringContaining(`a/b/file ${told}`),
      path: 'a/b/file',
    });
  });

  it('with holes that is shorter than its data is told, too', async () => {
    const error = await damaged((rootfs) => truncateSync(join(rootfs, 'sparse'), 50_004));
    expect(error).toMatchObject({ path: 'sparse' });
  });

  it('with a name that is no text is told printably', async () => {
    const { directory, rootfs } = await layers.unpackAndRebuild(archive(entry({ name: '\x1b[2J\xff' }, 'abc')));
    rmSync(rootfs, { recursive: true });
    mkdirSync(rootfs);
    const { error } = piecesUntilError(directory);
    expect(error).toBeInstanceOf(ChangedFileError);
    // biome-ignore lint/suspicious/noControlCharactersInRegex: it must not be there
    expect((error as Error).message).not.toMatch(/[\x00-\x1f]/);
  });

  it('gives as many bytes as the archive had when it has grown, and others when it has changed', async () => {
    const { directory, rootfs } = await layers.unpackAndRebuild(tar);
    appendFileSync(join(rootfs, 'a/b/file'), ' and more');
    expectSame(rebuilt(directory), tar);
    writeFileSync(join(rootfs, 'a/b/file'), 'another one');
    const expected = Buffer.from(tar);
    expected.write('another one', tar.indexOf('the content'));
    expectSame(rebuilt(directory), expected);
  });

  it('is not needed when the archive wrote over it, or when it has no data', async () => {
    const { directory, rootfs } = await layers.unpackAndRebuild(
      archive(entry({ name: 'a' }, 'one'), entry({ name: 'a' }), entry({ name: 'b/empty' })),
    );
    rmSync(rootfs, { recursive: true });
    mkdirSync(rootfs);
    expect(rebuilt(directory)).toHaveLength(512 * 6);
  });
});

describe('a rebuild', () => {
  const layers = useRecordedLayers();

  it('leaves nothing open wherever it is stopped', async () => {
    const { directory } = await layers.unpack(tar);
    const count = [...rebuildTar(directory, treeCalls, 'given')].length;
    expect(count).toBeGreaterThan(9);
    for (let stop = 1; stop <= count; stop++) {
      let seen = 0;
      for (const _ of rebuildTar(directory, treeCalls, 'given')) {
        expect(openBelow(directory)).toContain(layerTar(directory));
        if (++seen === stop) break;
      }
      expect(openBelow(directory), `stopped after ${stop} pieces`).toEqual([]);
    }
  });

  it('opens nothing until its first piece is asked for, and has closed all with its last', async () => {
    const { directory } = await layers.unpack(tar);
    const rebuild = rebuildTar(directory, treeCalls, 'given');
    expect(openBelow(directory)).toEqual([]);
    expect(rebuild.next().done).toBe(false);
    expect(openBelow(directory)).toContain(layerRootfs(directory));
    for (const _ of rebuild) {
      // To the end.
    }
    expect(openBelow(directory)).toEqual([]);
  });

  it('gives pieces that stay as they are, also while another one is under way', async () => {
    const { directory } = await layers.unpack(tar);
    const rebuilds = [rebuildTar(directory, treeCalls, 'given'), rebuildTar(directory, treeCalls, 'given')];
    const pieces: Buffer[][] = [[], []];
    for (let turn = 0; turn < 50; turn++) {
      for (const [index, rebuild] of rebuilds.entries()) {
        const next = rebuild.next();
        if (!next.done) pieces[index]?.push(next.value);
      }
    }
    for (const found of pieces) expectSame(Buffer.concat(found), tar);
  });

  it('goes down and up directories of any depth', async () => {
    const deep = (depth: number, name: string) => entry({ name: 'x' }, `${name} at ${depth}`);
    const parts = [1, 40, 130, 400, 300, 131, 97, 2, 1].flatMap((depth, index) => {
      const path = Buffer.from(`${'d/'.repeat(depth)}file-${index}`);
      const long = Buffer.concat([path, Buffer.alloc(1)]);
      return [entry({ name: '././@LongLink', type: 'L' }, long), deep(depth, `file ${index}`)];
    });
    await layers.unpackAndRebuild(archive(...parts));
    expect(openBelow(layers.path)).toEqual([]);
  });
});

describe('unpacking with a tar record', () => {
  const layers = useRecordedLayers();
  const start = [entry({ name: 'a' }, 'one'), entry({ name: 'a' }, 'two'), entry({ name: 'd/b' }, large)];

  it.each([
    ['makes no sense', Buffer.concat([...start, Buffer.alloc(512, 'x')]), 'ERR_LAYER_MALFORMED'],
    ['is cut in a file', Buffer.concat(start).subarray(0, -MIB), 'ERR_LAYER_TRUNCATED'],
    ['leads out', archive(...start, entry({ name: '../x' }, 'abc')), 'ERR_UNSAFE_PATH'],
  ])('leaves nothing open when the archive %s', async (_what, archived, code) => {
    for (const pieceSize of [undefined, 100_000]) {
      await expect(layers.unpack(archived, pieceSize)).rejects.toMatchObject({ code });
      expect(openBelow(layers.path)).toEqual([]);
    }
  });

  it('leaves nothing open when it is stopped in the middle', async () => {
    const signal = AbortSignal.abort();
    await expect(layers.unpack(tar, 100_000, signal)).rejects.toMatchObject({ code: 'ERR_ABORTED' });
    expect(openBelow(layers.path)).toEqual([]);
  });
});

describe('the archive of a layer', () => {
  const layers = useRecordedLayers();
  const id = sha256(tar) as LayerId;

  it('is made to its end when a fresh copy of the layer takes its place meanwhile, and the old one goes', async () => {
    const { directory } = await layers.unpackAndRebuild(tar);
    const { directory: fresh } = await layers.unpackAndRebuild(tar);
    const archive = archiveOf(directory, id, treeCalls, 'given');
    const pieces = [archive.next().value as Buffer];
    renameSync(directory, `${directory}.old`);
    renameSync(fresh, directory);
    rmSync(`${directory}.old`, { recursive: true });
    expectSame(Buffer.concat([...pieces, ...archive]), tar);
  });

  it('is told as damage of the store, with the layer, when it cannot be made or is another one', async () => {
    const damages: [(directory: string) => void, object][] = [
      [(directory) => rmSync(join(directory, 'rootfs/a/b/file')), { path: 'a/b/file' }],
      [(directory) => writeFileSync(join(directory, 'rootfs/a/b/file'), 'other words'), { found: expect.anything() }],
      [(directory) => truncateSync(join(directory, 'tar'), 50), { tar: expect.anything() }],
    ];
    for (const [damage, details] of damages) {
      const { directory } = await layers.unpackAndRebuild(tar);
      damage(directory);
      const error = thrownBy(() => Buffer.concat([...archiveOf(directory, id, treeCalls, 'given')]));
      expect(error).toMatchObject({ code: 'ERR_STORE_DAMAGED', details: { layer: id, ...details } });
      expect(error.message).toContain(id);
    }
  });

  it.each([
    ['a directory', (path: string) => mkdirSync(path)],
    ['a named pipe', (path: string) => execFileSync('mkfifo', [path])],
    ['a symlink to its own record', (path: string) => symlinkSync('tar.moved', path)],
  ])('is not made of %s in the place of its record, which is told at once', async (_, put) => {
    const { directory } = await layers.unpackAndRebuild(tar);
    renameSync(join(directory, 'tar'), join(directory, 'tar.moved'));
    put(join(directory, 'tar'));
    const error = thrownBy(() => Buffer.concat([...archiveOf(directory, id, treeCalls, 'given')]));
    expect(error).toMatchObject({ code: 'ERR_STORE_DAMAGED', details: { tar: 'the record is no file' } });
    rmSync(join(directory, 'tar'), { recursive: true });
    renameSync(join(directory, 'tar.moved'), join(directory, 'tar'));
  });
});
