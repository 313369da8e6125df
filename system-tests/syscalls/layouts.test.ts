import { describe, expect, it } from 'vitest';
import { LAYOUT_CALLS, type LayoutCalls, requireLayouts } from '#src/system/syscalls/native/require-layouts.js';

/** Calls on a machine where the structures are laid out in other ways. */
const ELSEWHERE: readonly (readonly [structure: string, calls: Partial<LayoutCalls>])[] = [
  ['struct statx', { status: (path) => ({ ...LAYOUT_CALLS.status(path), size: 0x1_0000_0000 }) }],
  ['struct statx', { usage: (path) => ({ ...LAYOUT_CALLS.usage(path), fileSystem: '0:0' }) }],
  ['struct linux_dirent64', { names: (directory) => LAYOUT_CALLS.names(directory).map((name) => name.slice(1)) }],
  ['struct flock', { fcntl: () => -1 }],
  // The kernel of such a machine finds zeros in the fields that are asked for.
  ...(['l_type', 'l_whence', 'l_start', 'l_len', 'l_pid'] as const).map(
    (field, index) =>
      [`struct flock, ${field}`, { fcntl: fcntlWithout(([0, 2, 8, 16, 24] as const)[index] ?? 0) }] as const,
  ),
  ['struct timespec', { futimens: () => 0 }],
  ['struct open_how', { openat2: (directory, path) => LAYOUT_CALLS.openat2(directory, path, howToName()) }],
];

/** @param field whose value does not arrive: a lock for writing of the whole file is asked for instead */
function fcntlWithout(field: number): LayoutCalls['fcntl'] {
  return (descriptor, command, question) => {
    const seen = new Uint8Array(question);
    if (seen.subarray(field, field + 2).some((byte) => byte !== 0)) {
      seen.fill(0);
      new Int16Array(seen.buffer)[0] = 1;
    }
    return LAYOUT_CALLS.fcntl(descriptor, command, seen);
  };
}

const howToName = () => new BigUint64Array([0o10000000n, 0n, 0n]);

describe('the layouts of structures that are given to the kernel', () => {
  it('are on this machine what is known of them', () => {
    expect(() => requireLayouts()).not.toThrow();
  });

  it.each(ELSEWHERE)('are refused where they are others: %s', (structure, calls) => {
    expect(() => requireLayouts({ ...LAYOUT_CALLS, ...calls })).toThrow(`${structure} is laid out in another way here`);
  });
});
