import { execFileSync } from 'node:child_process';
import { mkdirSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, expect, test } from 'vitest';
import { loadSyscalls } from '#src/system/syscalls/load-syscalls.js';
import { mountsInside } from '#src/system/syscalls/mounts/mount-table.js';
import { describeWith } from '../helpers/requirements.js';
import { temporaryDirectory } from '../helpers/test-store.js';

const mounted: string[] = [];
afterEach(() => {
  for (const path of mounted.splice(0).reverse()) execFileSync('umount', ['--lazy', path]);
});

function mount(path: string): void {
  mkdirSync(path, { recursive: true });
  execFileSync('mount', ['-t', 'tmpfs', 'none', path]);
  mounted.push(path);
}

/** What the kernel tells at once; where it does not, the table has to do. */
async function tells(directory: string): Promise<boolean> {
  const inside = (await mountsInside(directory)).length > 0;
  const told = await loadSyscalls().hasMountsInside(directory);
  expect([inside, undefined]).toContain(told);
  return inside;
}

describeWith(['root', 'mount', 'overlay'], 'whether something is mounted in a directory', () => {
  test('is told as the table has it, for what is deep in it, beside it, on it and above it', async () => {
    const place = temporaryDirectory();
    const directory = join(place, 'a b');
    mkdirSync(join(directory, 'deep'), { recursive: true });
    expect(await tells(directory)).toBe(false);
    mount(join(place, 'a bc'));
    expect(await tells(directory)).toBe(false);
    mount(join(directory, 'deep/down'));
    expect(await tells(directory)).toBe(true);
    expect(await tells(join(directory, 'deep'))).toBe(true);
    expect(await tells(join(directory, 'deep/down'))).toBe(false);
    const link = join(place, 'link');
    symlinkSync(directory, link);
    expect(await tells(link)).toBe(true);
    expect(await tells(join(place, 'nothing'))).toBe(false);
    // Covers what is mounted below it.
    mount(directory);
    expect(await tells(directory)).toBe(false);
    expect(await tells(place)).toBe(true);
  });
});
