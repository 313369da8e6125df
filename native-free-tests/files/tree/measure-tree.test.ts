import { linkSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { measureTree, measureTrees } from '#src/files/tree/measure-tree.js';

let place = '';
beforeEach(() => {
  place = mkdtempSync(join(tmpdir(), 'provisioner-measure-'));
});
afterEach(() => rmSync(place, { recursive: true, force: true }));

const KIB = 1024;

it('counts each name with as much as it is told at least, and no more of what takes more', () => {
  writeFileSync(join(place, 'full'), Buffer.alloc(64 * KIB, 1));
  const before = measureTree(place, { leastPerName: KIB });
  mkdirSync(join(place, 'many'));
  for (let file = 0; file < 100; file++) writeFileSync(join(place, 'many', `${file}`), '');
  for (let link = 0; link < 50; link++) linkSync(join(place, 'full'), join(place, `link-${link}`));
  symlinkSync('/', join(place, 'symlink'));
  writeFileSync(join(place, 'hole'), '');
  truncateSync(join(place, 'hole'), 2 ** 30);
  const after = measureTree(place, { leastPerName: KIB });
  const names = 100 + 50 + 3;
  expect(after.entries - before.entries).toBe(names);
  // Directories take more on some file systems.
  expect(after.bytes - before.bytes).toBeGreaterThanOrEqual(names * KIB);
  expect(after.bytes - before.bytes).toBeLessThan(names * KIB + 64 * KIB);
  expect(measureTree(place).bytes).toBeLessThan(after.bytes);
});

it('counts several trees together, and none that has gone', () => {
  for (const name of ['a', 'b']) {
    mkdirSync(join(place, name));
    writeFileSync(join(place, name, 'file'), Buffer.alloc(64 * KIB, 1));
  }
  const [a, b] = ['a', 'b'].map((name) => measureTree(join(place, name)).bytes);
  expect(measureTrees([join(place, 'a'), join(place, 'gone'), join(place, 'b')])).toBe((a ?? 0) + (b ?? 0));
});
