import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it, vi } from 'vitest';
import { keptFilter } from '#src/containerizer/seccomp/kept-filters.js';
import type { OciSeccomp } from '#src/system/seccomp/oci-seccomp.js';
import { temporaryDirectory } from '../../helpers/memory-store.js';

const FILTER: OciSeccomp = {
  defaultAction: 'SCMP_ACT_ERRNO',
  syscalls: [{ names: ['read'], action: 'SCMP_ACT_ALLOW' }],
};
const PROGRAM = Buffer.from('0123456789abcdef');
const BASE64 = PROGRAM.toString('base64');

const maker = () => vi.fn(async (): Promise<Buffer | undefined> => PROGRAM);
const onlyFile = (directory: string) => join(directory, readdirSync(directory)[0] ?? '');

describe('the program of a filter', () => {
  it('is made once for all processes of this machine, and another one for another filter', async () => {
    const directory = temporaryDirectory();
    const make = maker();
    expect(await keptFilter(directory, FILTER, make)).toBe(BASE64);
    expect(await keptFilter(directory, FILTER, make)).toBe(BASE64);
    expect(make).toHaveBeenCalledOnce();
    await keptFilter(directory, { ...FILTER, defaultAction: 'SCMP_ACT_KILL' }, make);
    expect(make).toHaveBeenCalledTimes(2);
    expect(readdirSync(directory)).toHaveLength(2);
  });

  it.each([
    ['half of it', BASE64.slice(0, 8)],
    ['nothing', ''],
    ['something else', `${BASE64}\n`],
    ['more than the kernel takes', Buffer.alloc(8 * 4097).toString('base64')],
  ])('is made anew where %s was kept', async (_, text) => {
    const directory = temporaryDirectory();
    await keptFilter(directory, FILTER, maker());
    writeFileSync(onlyFile(directory), text);
    const make = maker();
    expect(await keptFilter(directory, FILTER, make)).toBe(BASE64);
    expect(make).toHaveBeenCalledOnce();
    expect(readFileSync(onlyFile(directory), 'utf8')).toBe(BASE64);
  });

  it('is made each time where it cannot be kept, and is not there where it cannot be made', async () => {
    const directory = temporaryDirectory();
    rmSync(directory, { recursive: true });
    const make = maker();
    expect(await keptFilter(directory, FILTER, make)).toBe(BASE64);
    expect(await keptFilter(directory, FILTER, make)).toBe(BASE64);
    expect(make).toHaveBeenCalledTimes(2);
    mkdirSync(directory);
    expect(await keptFilter(directory, FILTER, async () => undefined)).toBeUndefined();
    expect(readdirSync(directory)).toEqual([]);
  });
});
