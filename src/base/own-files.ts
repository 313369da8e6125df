import {
  chmodSync,
  closeSync,
  fchmodSync,
  fsyncSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  writeFileSync,
} from 'node:fs';

/**
 * What the store makes for itself: directories with mode 0700 and files with 0600. The umask takes bits from the mode that a call names, in some surroundings the
 * owner's own, and belongs to the whole process, so it is left alone, and the mode is set once more. @see umask(2)
 */

const DIRECTORY_MODE = 0o700;
const FILE_MODE = 0o600;

/**
 * Whether what is made has to be given its mode once more: for who makes so many directories that it is not done each time. Found out once in each thread, since
 * asking takes as long as making ten directories, and hardly any process changes its umask.
 */
export function umaskTakesFromOwner(): boolean {
  takesFromOwner ??= (umask() & DIRECTORY_MODE) !== 0;
  return takesFromOwner;
}

let takesFromOwner: boolean | undefined;

/**
 * The bits that this process's umask takes from the modes of new files; all of them where the system does not tell. Node is not asked: that sets the umask to
 * nothing, for an instant, for all threads. @see umask(2); proc(5), /proc/pid/status, "Umask" (Linux 4.7)
 */
export function umask(): number {
  try {
    const [, octal = '777'] = /^Umask:\s*([0-7]+)$/m.exec(readFileSync('/proc/self/status', 'latin1')) ?? [];
    return Number.parseInt(octal, 8);
  } catch {
    return 0o777;
  }
}

/** @throws like Node's `fs`, `EEXIST` among others */
export function makeOwnDirectory(path: string): void {
  mkdirSync(path, DIRECTORY_MODE);
  chmodSync(path, DIRECTORY_MODE);
}

/** One that is there will do. @throws like Node's `fs` */
export function ensureOwnDirectory(path: string): void {
  if (mkdirSync(path, { recursive: true, mode: DIRECTORY_MODE }) !== undefined) chmodSync(path, DIRECTORY_MODE);
}

/** @returns the path of a new directory whose name begins so @throws like Node's `fs` */
export function makeOwnPlace(prefix: string): string {
  const place = mkdtempSync(prefix);
  chmodSync(place, DIRECTORY_MODE);
  return place;
}

/** @param flags as for open(2), that make the file @returns its descriptor @throws like Node's `fs` */
export function makeOwnFile(path: string, flags: number | 'w' | 'wx'): number {
  const descriptor = openSync(path, flags, FILE_MODE);
  try {
    fchmodSync(descriptor, FILE_MODE);
    return descriptor;
  } catch (error) {
    closeSync(descriptor);
    throw error;
  }
}

/** @throws like Node's `fs` */
export function writeOwnFile(
  path: string,
  data: string | Uint8Array,
  { flags = 'w', flush = false }: { readonly flags?: 'w' | 'wx'; readonly flush?: boolean } = {},
): void {
  const descriptor = makeOwnFile(path, flags);
  try {
    writeFileSync(descriptor, data);
    if (flush) fsyncSync(descriptor);
  } finally {
    closeSync(descriptor);
  }
}
