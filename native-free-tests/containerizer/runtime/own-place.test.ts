import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { holdOwnPlace, namesInOwnPlace, removeFromOwnPlace } from '#src/containerizer/runtime/own-place.js';

const NOT_OURS = expect.objectContaining({ code: 'ERR_PERMISSION', hint: expect.any(String) });

/** A directory for what may lie in a shared one, and in it somebody's `treasure/entry/file`. */
function shared(): string {
  const directory = mkdtempSync(join(tmpdir(), 'provisioner-shared-'));
  onTestFinished(() => rmSync(directory, { recursive: true, force: true }));
  mkdirSync(join(directory, 'treasure/entry/file'), { recursive: true, mode: 0o700 });
  return directory;
}

describe('a directory of ours in a shared place', () => {
  it('is listed, and its entries are removed', () => {
    const place = join(shared(), 'place');
    mkdirSync(join(place, 'entry/below'), { recursive: true, mode: 0o700 });
    expect(namesInOwnPlace(place)).toEqual(['entry']);
    removeFromOwnPlace(place, 'entry');
    removeFromOwnPlace(place, 'entry');
    expect(readdirSync(place)).toEqual([]);
  });

  it('need not be there', () => {
    const place = join(shared(), 'place');
    expect(namesInOwnPlace(place)).toEqual([]);
    expect(() => removeFromOwnPlace(place, 'entry')).not.toThrow();
  });

  it.each<[string, (directory: string, place: string) => void]>([
    ['a symlink to another directory', (directory, place) => symlinkSync(join(directory, 'treasure'), place)],
    [
      'open to others',
      (directory, place) => {
        renameSync(join(directory, 'treasure'), place);
        chmodSync(place, 0o770);
        symlinkSync('place', join(directory, 'treasure'));
      },
    ],
    [
      'in a directory that others can write to',
      (directory, place) => {
        renameSync(join(directory, 'treasure'), place);
        symlinkSync('place', join(directory, 'treasure'));
        chmodSync(directory, 0o777);
      },
    ],
    ['a file', (_, place) => writeFileSync(place, '')],
  ])('is left alone when it is %s', (_, arrange) => {
    const directory = shared();
    const place = join(directory, 'place');
    arrange(directory, place);
    expect(() => holdOwnPlace(place)).toThrow(NOT_OURS);
    expect(namesInOwnPlace(place)).toEqual([]);
    removeFromOwnPlace(place, 'entry');
    expect(existsSync(join(directory, 'treasure/entry/file'))).toBe(true);
  });

  it('stays the one that is held, whatever takes its path', () => {
    const directory = shared();
    const path = join(directory, 'place');
    mkdirSync(join(path, 'entry'), { recursive: true, mode: 0o700 });
    const place = holdOwnPlace(path);
    onTestFinished(() => place.close());
    renameSync(path, join(directory, 'moved'));
    symlinkSync('treasure', path);
    place.remove('entry');
    expect(place.names()).toEqual([]);
    expect(existsSync(join(directory, 'treasure/entry/file'))).toBe(true);
  });
});
