import { closeSync, mkdtempSync, openSync, rmSync, unlinkSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { measureDeleted } from '#src/containerizer/space/deleted-files.js';

const SIZE = 256 * 1024;
const EACH = () => true;

let place = '';
const opened: number[] = [];
beforeEach(() => {
  place = mkdtempSync(join(tmpdir(), 'provisioner-deleted-'));
});
afterEach(() => {
  for (const descriptor of opened.splice(0)) closeSync(descriptor);
  rmSync(place, { recursive: true, force: true });
});

function open(name: string): number {
  const descriptor = openSync(join(place, name), 'a');
  opened.push(descriptor);
  return descriptor;
}

describe('what is deleted and still open', () => {
  it('counts once, however many have it open, until it is closed', async () => {
    const before = await measureDeleted([process.pid], EACH);
    const descriptor = open('file');
    open('file');
    writeSync(descriptor, Buffer.alloc(SIZE, 1));
    expect(await measureDeleted([process.pid], EACH)).toBe(before);
    unlinkSync(join(place, 'file'));
    const after = await measureDeleted([process.pid, process.pid], EACH);
    expect(after - before).toBeGreaterThanOrEqual(SIZE);
    expect(after - before).toBeLessThan(2 * SIZE);
    for (const each of opened.splice(0)) closeSync(each);
    expect(await measureDeleted([process.pid], EACH)).toBe(before);
  });

  it('does not count for its name, nor on a mount that does not count, nor of what has ended', async () => {
    const before = await measureDeleted([process.pid], EACH);
    writeSync(open('called (deleted)'), Buffer.alloc(SIZE, 1));
    expect(await measureDeleted([process.pid], EACH)).toBe(before);
    writeSync(open('file'), Buffer.alloc(SIZE, 1));
    unlinkSync(join(place, 'file'));
    expect(await measureDeleted([process.pid], () => false)).toBe(0);
    // More than any machine has.
    expect(await measureDeleted([2 ** 30], EACH)).toBe(0);
  });

  it('is given up when nobody wants to know any more', async () => {
    const signal = AbortSignal.abort();
    await expect(measureDeleted([process.pid], EACH, signal)).rejects.toMatchObject({ code: 'ERR_ABORTED' });
  });
});
