import { lstatSync, mkdtempSync, rmdirSync } from 'node:fs';
import { toBytePath } from '../system/syscalls/byte-path.js';
import type { Syscalls } from '../system/syscalls/syscalls.js';

/** Beyond what 32 bits can say, and with nanoseconds: 2100-01-01T00:00:00.123456789Z. */
const LATE = { seconds: 4_102_444_800, nanoseconds: 123_456_789 };

/**
 * What times of files lose on a file system: ext4 with inodes of 128 bytes, as it was made until 2008 and still is on small disks, keeps neither nanoseconds nor what
 * comes after 2038; others have a grain of their own. Found out by setting one.
 * @param prefix of the path of the place to try it in @returns a clause; undefined where they are kept, or where that cannot be found out
 */
export function cutTimes(prefix: string, syscalls: Syscalls): string | undefined {
  // Node's own calls lose nanoseconds anywhere.
  if (syscalls.kind !== 'native') return undefined;
  let place: string | undefined;
  try {
    place = mkdtempSync(prefix);
    syscalls.setTimes(toBytePath(place), LATE, LATE);
    const { mtimeNs } = lstatSync(place, { bigint: true });
    const losses = [
      mtimeNs / 1_000_000_000n === BigInt(LATE.seconds) ? '' : 'those after 2038 become earlier',
      mtimeNs % 1_000_000_000n === BigInt(LATE.nanoseconds) ? '' : 'nanoseconds are lost',
    ].filter((loss) => loss !== '');
    return losses.length === 0 ? undefined : losses.join(', and ');
  } catch {
    // What is the matter there shows when layers are written.
    return undefined;
  } finally {
    if (place !== undefined) rmdirSync(place);
  }
}
