import { randomBytes } from 'node:crypto';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { checkLayer } from '#src/files/contents/check-layer.js';
import { TarRecorder } from '#src/files/tar-record/tar-recorder.js';
import { layerRootfs, layerTar } from '#src/paths.js';
import { RecordedData } from '#src/unpack/recorded-data.js';
import { describeTree } from '../../helpers/layers.js';
import { archive, entry, header, pax, sparseMapBlocks } from '../../helpers/raw-tar.js';
import { openBelow, type RecordedLayer, rebuilt, treeCalls, useRecordedLayers } from '../../helpers/tar-records.js';

const MIB = 2 ** 20;
const LOST_MAX = 65_536;
const SEGMENTS_MAX = 100_000;

describe('a layer whose tar record would be too large', () => {
  const layers = useRecordedLayers();
  const expectGoodWithout = ({ directory, record, tar, tarBytes }: RecordedLayer) => {
    expect({ tar, tarBytes }).toEqual({ tar: 'too-large', tarBytes: 0 });
    expect(existsSync(record)).toBe(false);
    expect(checkLayer({ directory, mode: 'full' }, treeCalls, () => {}).differences).toEqual([]);
    expect(openBelow(layers.path)).toEqual([]);
  };
  const sparse = (name: string, pieces: number) => {
    const map = Array.from({ length: pieces }, (_, index) => [index * 2, 1] as const);
    return Buffer.concat([
      pax({ 'GNU.sparse.major': '1', 'GNU.sparse.minor': '0', 'GNU.sparse.realsize': `${pieces * 2}` }),
      entry({ name }, Buffer.concat([sparseMapBlocks(map), Buffer.alloc(pieces, 's')])),
    ]);
  };

  it('since its files lie in two deep trees in turn, is as good as ever, and no check takes long', async () => {
    const deep = (top: string) => `${top}/`.repeat(900);
    const file = (index: number) =>
      Buffer.concat([pax({ path: `${deep(index % 2 === 0 ? 'a' : 'b')}${index}` }), entry({ name: 'short' }, 'x')]);
    const few = archive(...Array.from({ length: 100 }, (_, index) => file(index)));
    expect((await layers.unpackAndRebuild(few)).tar).toBe('kept');
    expectGoodWithout(await layers.unpack(archive(...Array.from({ length: 700 }, (_, index) => file(index)))));
  });

  it('since its whiteouts have more data than that, is as good as ever', async () => {
    const data = randomBytes(22 * MIB);
    const hidden = ['1', '2', '3'].map((name) => entry({ name: `.wh.${name}` }, data));
    const layer = await layers.unpack(
      archive(
        entry({ name: 'a' }, 'before'),
        ...hidden,
        entry({ name: 'a' }, 'written over'),
        entry({ name: 'b' }, 'behind'),
      ),
      MIB,
    );
    expectGoodWithout(layer);
    expect(describeTree(layer.rootfs)).toMatchObject({
      a: 'file 644 written over',
      b: 'file 644 behind',
      '.wh.1': 'file 600',
    });
  });

  it('since its sparse files have too many pieces and one of them is written over, is as good as ever', async () => {
    const half = SEGMENTS_MAX / 2;
    const most = archive(
      sparse('a', half),
      sparse('b', half),
      entry({ name: 'a' }, 'instead'),
      entry({ name: 'b' }, 'too'),
    );
    await layers.unpackAndRebuild(most);
    await layers.unpackAndRebuild(archive(sparse('a', half), sparse('b', half + 1)));
    const layer = await layers.unpack(
      archive(sparse('a', half), sparse('b', half + 1), sparse('a', 5), entry({ name: 'b' }, 'instead')),
    );
    expectGoodWithout(layer);
    expect(describeTree(layer.rootfs)).toMatchObject({ a: 'file 644 s\0s\0s\0s\0s\0', b: 'file 644 instead' });
  });
});

describe('a recorder', () => {
  let directory = '';
  let told = 0;
  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'recorder-'));
    mkdirSync(layerRootfs(directory));
    told = 0;
  });
  afterEach(() => rmSync(directory, { recursive: true, force: true }));

  const recorder = (storedMax?: number) =>
    new TarRecorder(directory, {
      storedMax,
      onWritten: (bytes) => {
        told += bytes;
      },
    });
  const block = header({ name: 'a', size: 1 });
  const one = Buffer.from('x');
  const padding = Buffer.alloc(511);
  const file = (into: TarRecorder): number => {
    into.header(block, 0, 512);
    const payload = into.payload('a', 1, undefined);
    into.padding(padding, 0, 511);
    return payload;
  };
  const everything = (into: TarRecorder): void => {
    const payload = file(into);
    into.body(block, 0, 512);
    into.kept(one, 0, 1);
    into.lose(payload, [one]);
    into.trailer(one, 0, 1);
    into.padding(one, 0, 1);
  };

  it('keeps as many lost files as it may, and gives up with the next', () => {
    const record = recorder();
    for (let count = 0; count < LOST_MAX; count++) record.lose(file(record), [one]);
    expect(existsSync(layerTar(directory))).toBe(true);
    record.lose(file(record), [one]);
    expect(existsSync(layerTar(directory))).toBe(false);
    everything(record);
    expect(record.finish()).toEqual({ checksum: null, bytes: 0 });
    expect(openBelow(directory)).toEqual([]);
  });

  it.each<[string, (into: TarRecorder) => void]>([
    ['data that is kept', (into) => into.kept(randomBytes(MIB), 0, MIB)],
    ['data that is lost', (into) => into.lose(file(into), [randomBytes(MIB), randomBytes(MIB)])],
    ['what follows the end', (into) => into.trailer(randomBytes(MIB), 0, MIB)],
  ])('that has become too large by %s leaves no file, and wants no more', (_what, overfill) => {
    const small = recorder(100_000);
    everything(small);
    expect(existsSync(layerTar(directory))).toBe(true);
    overfill(small);
    expect(existsSync(layerTar(directory))).toBe(false);
    expect(openBelow(directory)).toEqual([]);
    const payload = file(small);
    expect(small.wants(payload)).toBe(false);
    everything(small);
    expect(small.finish()).toEqual({ checksum: null, bytes: 0 });
    small.close();
    expect(existsSync(layerTar(directory))).toBe(false);
  });

  it('gives up when a file is removed that the file system does not tell from others', () => {
    writeFileSync(join(layerRootfs(directory), 'a'), 'x');
    for (const [path, place, keeps] of [
      ['nothing', undefined, true],
      ['a', 0, true],
      ['a', undefined, false],
    ] as const) {
      const record = recorder();
      const data = new RecordedData(record, layerRootfs(directory), treeCalls);
      file(record);
      data.removing(path, () => place);
      expect(existsSync(layerTar(directory)), path).toBe(keeps);
      everything(record);
      data.close();
      record.giveUp();
      record.giveUp();
      expect(record.finish()).toEqual({ checksum: null, bytes: 0 });
      expect(openBelow(directory)).toEqual([]);
    }
  });

  it('may become too large with its very last step', () => {
    const small = recorder(1000);
    small.kept(randomBytes(2000), 0, 2000);
    expect(small.finish()).toEqual({ checksum: null, bytes: 0 });
    expect(existsSync(layerTar(directory))).toBe(false);
  });

  it('tells of what it writes while it writes, and of the whole at its end', () => {
    const record = recorder();
    record.kept(randomBytes(MIB), 0, MIB);
    expect(told).toBeGreaterThan(MIB / 2);
    const { bytes } = record.finish();
    expect(bytes).toBe(statSync(layerTar(directory)).size);
    expect(told).toBeLessThanOrEqual(bytes);
  });

  it('takes few bytes for many files that are alike', () => {
    const record = recorder();
    for (let count = 0; count < 50_000; count++) {
      record.header(header({ name: `usr/share/doc/package-${count % 1000}/file-${count}`, size: count }), 0, 512);
      if (count > 0) record.payload(`usr/share/doc/package-${count % 1000}/file-${count}`, count, undefined);
      record.padding(Buffer.alloc(511), 0, (512 - (count % 512)) % 512);
    }
    record.finish();
    expect(readFileSync(layerTar(directory)).length).toBeLessThan(50_000 * 16);
  });

  it('leaves a file that is no record when it is closed before its end', () => {
    const record = recorder();
    everything(record);
    record.close();
    expect(openBelow(directory)).toEqual([]);
    expect(() => rebuilt(directory)).toThrow('record');
  });
});
