import { gzipSync } from 'node:zlib';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { isProvisionerError } from '#src/base/errors.js';
import { buildTar, type Entry, zstd } from '../helpers/image-builder.js';
import { readTar, useLayers } from '../helpers/layers.js';
import { archive, entry, fixChecksum, header, pax } from '../helpers/raw-tar.js';

/** Names that meet each other often, and some that no tool would choose. */
const name = fc.oneof(
  { weight: 5, arbitrary: fc.constantFrom('a', 'b', 'c', 'd', 'e') },
  fc.stringMatching(/^[ -.0-~]{1,40}$/).filter((text) => text !== '.' && text !== '..' && !text.startsWith('.wh.')),
  fc.constantFrom('ü', '中文', 'a\nb', 'n'.repeat(255)),
);
const path = fc.array(name, { minLength: 1, maxLength: 6 }).map((parts) => parts.join('/'));
const mode = fc.integer({ min: 0, max: 0o7777 });
const content = fc.uint8Array({ maxLength: 3000 });

const anyEntry: fc.Arbitrary<Entry> = fc.oneof(
  fc.record({ path, type: fc.constant('file' as const), mode, content }),
  fc.record({ path, type: fc.constant('directory' as const), mode }),
  fc.record({ path, type: fc.constant('symlink' as const), target: path.map((target) => target.slice(0, 200)) }),
);

/** What a tree of these entries has to look like: a model with nothing of the engine in it. @returns undefined when an entry lies below a file */
function model(entries: readonly Entry[]): Map<string, string> | undefined {
  const tree = new Map([['.', 'directory 755']]);
  for (const { path, type, mode = 0, content = '', target } of entries) {
    const parts = Buffer.from(path).toString('latin1').split('/');
    for (let length = 1; length < parts.length; length++) {
      const parent = parts.slice(0, length).join('/');
      const there = tree.get(parent);
      if (there === undefined) tree.set(parent, 'directory 755');
      else if (!there.startsWith('directory')) return undefined;
    }
    const key = parts.join('/');
    if (type !== 'directory' || !tree.get(key)?.startsWith('directory')) {
      for (const other of tree.keys()) if (other.startsWith(`${key}/`)) tree.delete(other);
    }
    const bytes = Buffer.from(content);
    const shown = bytes.length > 100 ? `(${bytes.length} bytes)` : bytes.toString('latin1');
    if (type === 'file') tree.set(key, `file ${mode.toString(8)} ${shown}`.trimEnd());
    else if (type === 'directory') tree.set(key, `directory ${mode.toString(8)}`);
    else tree.set(key, `symlink to ${Buffer.from(target ?? '').toString('latin1')}`);
  }
  return tree;
}

describe('unpacking', () => {
  const layers = useLayers();

  it('gives the tree that the entries describe, however they are compressed', async () => {
    const compression = fc.constantFrom(
      (tar: Buffer) => tar,
      (tar: Buffer) => gzipSync(tar),
      zstd,
    );
    await fc.assert(
      fc.asyncProperty(fc.array(anyEntry, { maxLength: 12 }), compression, async (entries, compress) => {
        const expected = model(entries);
        fc.pre(expected !== undefined);
        const tar = buildTar(entries);
        const { tree } = await layers.unpack(tar, { blob: compress(tar) });
        expect(new Map(Object.entries(tree))).toEqual(expected);
      }),
      { numRuns: 300 },
    );
  });

  it('reads the same from pieces of any size', () => {
    fc.assert(
      fc.property(fc.array(anyEntry, { maxLength: 8 }), fc.integer({ min: 1, max: 3000 }), (entries, size) => {
        const tar = buildTar(entries);
        expect(readTar(tar, size)).toEqual(readTar(tar));
      }),
      { numRuns: 200 },
    );
  });

  it('ends with a tree or an error of its own, whatever is changed in an archive', async () => {
    const limits = { maxEntries: 1000, maxUnpackedBytes: 2 ** 24, maxFileBytes: 2 ** 30 };
    const change = fc.record({ at: fc.nat(), value: fc.integer({ min: 0, max: 255 }), repair: fc.boolean() });
    await fc.assert(
      fc.asyncProperty(
        fc.array(anyEntry, { minLength: 1, maxLength: 6 }),
        fc.array(change, { minLength: 1, maxLength: 12 }),
        async (entries, changes) => {
          const tar = buildTar(entries);
          for (const { at, value, repair } of changes) {
            // Headers are where it hurts; most of what is changed is one.
            const place = at % tar.length;
            tar[place] = value;
            if (repair) fixChecksum(tar, place - (place % 512));
          }
          await expectTreeOrError(() => layers.unpack(tar, { limits }));
        },
      ),
      { numRuns: 400 },
    );
  });

  it('ends with a tree or an error of its own for names that lead anywhere', async () => {
    const part = fc.constantFrom('..', '.', '', 'a', 'l', 'outside', 'file', '.wh.a', '.wh...', '.wh..wh..opq');
    const anywhere = fc.array(part, { maxLength: 6 }).map((parts) => parts.join('/'));
    const step = fc.record({
      name: anywhere,
      linkName: anywhere,
      type: fc.constantFrom('0', '1', '2', '5'),
      long: fc.boolean(),
    });
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 1, maxLength: 10 }), async (steps) => {
        const parts = steps.flatMap(({ name, linkName, type, long }) => [
          ...(long ? [pax({ path: `${name}/x`, linkpath: `../../${linkName}` })] : []),
          type === '0' ? entry({ name }, 'x') : header({ name, linkName, type }),
        ]);
        await expectTreeOrError(() => layers.unpack(archive(...parts)));
      }),
      { numRuns: 500 },
    );
  });
});

async function expectTreeOrError(unpack: () => Promise<unknown>): Promise<void> {
  try {
    await unpack();
  } catch (error) {
    expect(
      isProvisionerError(error, 'ERR_LAYER_MALFORMED', 'ERR_LAYER_TRUNCATED', 'ERR_UNSAFE_PATH', 'ERR_LIMIT_EXCEEDED'),
      String(error),
    ).toBe(true);
  }
}
