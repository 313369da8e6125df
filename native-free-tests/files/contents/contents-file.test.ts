import { mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { TreeEntry, TreeVisitor } from '#src/files/contents/contents.js';
import { ContentsReader, ContentsWriter } from '#src/files/contents/contents-file.js';
import { RecordFileError } from '#src/files/contents/record-file.js';
import { layerContents } from '#src/paths.js';
import {
  BLOCK_DEVICE,
  CHARACTER_DEVICE,
  DIRECTORY,
  FIFO,
  REGULAR_FILE,
  SYMLINK,
} from '#src/system/syscalls/tree-calls.js';

let directory = '';
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'contents-'));
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

type Step = TreeEntry | 'leave';

const word = fc.integer({ min: 0, max: 0xffff_ffff });
const bytes = fc.uint8Array({ maxLength: 300 });
const text = bytes.map((value) => Buffer.from(value).toString('latin1'));
const common = {
  name: text,
  mode: fc.integer({ min: 0, max: 0o7777 }),
  uid: fc.oneof(fc.constant(0), word),
  gid: fc.oneof(fc.constant(0), word),
  modified: fc.record({
    seconds: fc.oneof(fc.constant(1_704_067_200), fc.integer({ min: -(2 ** 40), max: 2 ** 40 })),
    nanoseconds: fc.integer({ min: 0, max: 999_999_999 }),
  }),
  group: fc.oneof(fc.constant(0), fc.nat(2_000_000)),
  xattrs: fc.array(
    fc.tuple(
      text,
      bytes.map((value) => Buffer.from(value)),
    ),
    { maxLength: 3 },
  ),
};
const nothing = {
  size: fc.constant(0),
  checksum: fc.constant(0),
  target: fc.constant(''),
  device: fc.constant({ major: 0, minor: 0 }),
};
const device = fc.record({ major: fc.nat(0xfff), minor: fc.nat(0xf_ffff) });
const anyEntry: fc.Arbitrary<TreeEntry> = fc.oneof(
  fc.record({ ...common, ...nothing, type: fc.constant(REGULAR_FILE), size: fc.maxSafeNat(), checksum: word }),
  fc.record({ ...common, ...nothing, type: fc.constantFrom(DIRECTORY, FIFO) }),
  fc.record({ ...common, ...nothing, type: fc.constant(SYMLINK), target: text }),
  fc.record({ ...common, ...nothing, type: fc.constantFrom(CHARACTER_DEVICE, BLOCK_DEVICE), device }),
);

function write(steps: readonly Step[], stacking: string | null): void {
  const writer = new ContentsWriter(directory);
  try {
    for (const step of steps) {
      if (step === 'leave') writer.leave();
      else if (step.type === DIRECTORY) writer.enter(step);
      else writer.entry(step);
    }
    writer.finish({ stacking, tar: null });
  } finally {
    writer.close();
  }
}

function read(): { steps: Step[]; reader: ContentsReader } {
  const reader = ContentsReader.open(directory);
  const steps: Step[] = [];
  const note = (entry: TreeEntry): void => void steps.push(entry);
  const visitor: TreeVisitor = { enter: note, entry: note, leave: () => void steps.push('leave') };
  try {
    reader.read(visitor, () => {});
    return { steps, reader };
  } finally {
    reader.close();
  }
}

function readAgain(file: Buffer): unknown {
  writeFileSync(layerContents(directory), file);
  try {
    return read();
  } catch (error) {
    return error;
  }
}

describe('the record of a layer', () => {
  it('gives back every entry as it was written, whatever bytes are in it', () => {
    fc.assert(
      fc.property(fc.array(fc.oneof(anyEntry, fc.constant('leave' as const)), { maxLength: 40 }), (steps) => {
        rmSync(layerContents(directory), { force: true });
        write(steps, 'abc');
        const { steps: found, reader } = read();
        expect(found).toEqual(steps);
        const entries = steps.filter((step) => step !== 'leave');
        expect(reader.summary).toEqual({
          entries: entries.length,
          size: entries.reduce((sum, { size }) => sum + size, 0),
          stacking: 'abc',
          tar: null,
        });
      }),
    );
  });

  it('takes few bytes for many entries, in many blocks', () => {
    const steps = Array.from(
      { length: 100_000 },
      (_, index): TreeEntry => ({
        name: `file-${index % 1000}.txt`,
        type: REGULAR_FILE,
        mode: index % 7 === 0 ? 0o755 : 0o644,
        uid: 0,
        gid: 0,
        modified: { seconds: 1_704_067_200 + (index % 50), nanoseconds: 0 },
        size: index,
        checksum: Math.imul(index, 0x9e3779b1) >>> 0,
        target: '',
        device: { major: 0, minor: 0 },
        group: 0,
        xattrs: [],
      }),
    );
    write(steps, null);
    expect(readFileSync(layerContents(directory)).length).toBeLessThan(1_500_000);
    expect(read().steps).toEqual(steps);
  });

  it('does not stand a single flipped bit, nor any missing or added byte', () => {
    const [entry] = fc.sample(anyEntry, 1) as [TreeEntry];
    write([entry, entry, entry], null);
    const file = readFileSync(layerContents(directory));
    for (let bit = 0; bit < file.length * 8; bit++) {
      const flipped = Buffer.from(file);
      flipped[bit >> 3] = (flipped[bit >> 3] as number) ^ (1 << (bit & 7));
      expect(readAgain(flipped), `bit ${bit}`).toBeInstanceOf(RecordFileError);
    }
    for (let length = 0; length < file.length; length++) {
      expect(readAgain(file.subarray(0, length))).toBeInstanceOf(RecordFileError);
    }
    expect(readAgain(Buffer.concat([file, Buffer.alloc(1)]))).toBeInstanceOf(RecordFileError);
    truncateSync(layerContents(directory), 0);
  });

  it('is told to be missing when it is', () => {
    expect(() => read()).toThrow(expect.objectContaining({ missing: true }));
  });
});
