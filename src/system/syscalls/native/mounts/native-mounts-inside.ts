import { constants as os } from 'node:os';
import { unhurried } from '../../../../base/unhurried.js';
import { placeOf } from '../../mounts/mount-table.js';
import { lastErrno } from '../libc/libc.js';
import { listmount, statmount } from './libc-mounts.js';
import { mountIdOf } from './native-mount-state.js';

/** `struct mnt_id_req` of its first version, whose first 32 bits are its size, as 64-bit words: size, id, parameter. */
const REQUEST_WORDS = 3;
const [ID, PARAMETER] = [1, 2];
const STATMOUNT_MNT_BASIC = 0x2n;
const STATMOUNT_MNT_POINT = 0x10n;
/** `struct statmount`: the id of the mount that it lies on, as a 64-bit word; where its path begins, as a 32-bit word, counted in bytes from where texts begin. */
const PARENT = 6;
const MOUNT_POINT = 27;
const TEXTS = 512;
/** A path is at most a page. */
const ANSWER_WORDS = (TEXTS + 4096 + 8) / 8;
/** About a millisecond's questions. */
const IDS_AT_ONCE = 250;

/** @see Syscalls.hasMountsInside */
export async function hasMountsInside(directory: string): Promise<boolean | undefined> {
  const place = placeOf(directory);
  if (place === undefined) return undefined;
  // With what a symlink leads to, as `placeOf` has it.
  const ground = mountIdOf(`${directory}/.`);
  if (ground === undefined) return undefined;
  const prefix = Buffer.from(place.prefix, 'latin1');
  try {
    for await (const ids of unhurried(mountsOn(ground))) {
      if (ids.some((id) => liesIn(id, ground, prefix))) return true;
    }
    return false;
  } catch (error) {
    if (error === UNTOLD) return undefined;
    throw error;
  }
}

/** The kernel has no such call, does not let this process ask, or has too much to say. */
const UNTOLD = new Error('the kernel does not tell');

/** The unique ids of the mounts that one comes to from another one, some at a time. */
function* mountsOn(ground: bigint): Generator<BigUint64Array> {
  const ids = new BigUint64Array(IDS_AT_ONCE);
  let last = 0n;
  for (;;) {
    const count = listmount(requestFor(ground, last), ids);
    if (count < 0) throw UNTOLD;
    yield ids.subarray(0, count);
    if (count < IDS_AT_ONCE) return;
    last = ids[count - 1] ?? 0n;
  }
}

const answer = new BigUint64Array(ANSWER_WORDS);
const halves = new Uint32Array(answer.buffer);
const bytes = Buffer.from(answer.buffer);

/** @param prefix of the paths in a directory that is on the mount `ground` */
function liesIn(id: bigint, ground: bigint, prefix: Buffer): boolean {
  if (statmount(requestFor(id, STATMOUNT_MNT_BASIC | STATMOUNT_MNT_POINT), answer) !== 0) {
    // It has been unmounted since.
    if (lastErrno() === os.errno.ENOENT) return false;
    throw UNTOLD;
  }
  if (answer[PARENT] !== ground) return false;
  const path = TEXTS + (halves[MOUNT_POINT] ?? 0);
  return bytes.compare(prefix, 0, prefix.length, path, path + prefix.length) === 0;
}

function requestFor(id: bigint, parameter: bigint): BigUint64Array {
  request[ID] = id;
  request[PARAMETER] = parameter;
  return request;
}

const request = new BigUint64Array(REQUEST_WORDS);
new Uint32Array(request.buffer)[0] = request.byteLength;
