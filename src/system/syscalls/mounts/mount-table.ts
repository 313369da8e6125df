import { closeSync, constants, openSync, readFileSync, readlinkSync, readSync } from 'node:fs';
import { systemCode } from '../../../base/errors.js';
import { unhurried } from '../../../base/unhurried.js';
import type { BytePath } from '../byte-path.js';

/** A mount in the table of this thread's mount namespace. @see proc(5), /proc/pid/mountinfo */
interface Mount {
  /** Unique among those that there are. */
  readonly id: number;
  /** The mount that it lies on. */
  readonly parent: number;
  /** Where, in the kernel's own words: no symlinks. */
  readonly path: BytePath;
  /** What is mounted on it, or unmounted, shows elsewhere too. */
  readonly shared: boolean;
}

/** Something mounted in a directory, in the file system that the directory is on. What is mounted further in goes with it. */
export interface MountInside {
  readonly id: number;
  /** Where, from the directory on: one component or more. */
  readonly path: BytePath;
  /** It lies upon another mount of the same place, which is shared. */
  readonly coversShared: boolean;
}

/** Thread by thread, since a thread may be in a mount namespace of its own. */
const TABLE = '/proc/thread-self/mountinfo';
const O_PATH = 0o10000000;

/**
 * What is mounted below a directory of this thread's mount namespace, the innermost first; the directory itself is not among them, and neither is
 * what another mount hides from those who go there.
 * @param directory absolute @returns paths without symlinks; none where the system has no such table
 */
export function mountsBelow(directory: string): string[] {
  const place = placeOf(directory);
  if (place === undefined) return [];
  const mounts: Mount[] = [];
  for (const lines of readTable()) for (const mount of mountsIn(lines, place)) mounts.push(mount);
  return innermostFirst(mounts, place).map((path) => Buffer.from(path, 'latin1').toString('utf8'));
}

/**
 * What has to be detached for nothing to be mounted below a directory any more. Of mounts upon each other only the topmost is named.
 * @param directory absolute @returns none where the system has no such table
 */
export async function mountsInside(directory: string): Promise<MountInside[]> {
  const place = placeOf(directory);
  if (place === undefined) return [];
  const mounts: Mount[] = [];
  for await (const lines of unhurried(readTable())) for (const mount of mountsIn(lines, place)) mounts.push(mount);
  return topmostInside(mounts, place);
}

/** All places where something is mounted in this thread's mount namespace, the outermost first. @returns none where the system has no such table */
export async function readMountPoints(): Promise<string[]> {
  const points: string[] = [];
  for await (const lines of unhurried(readTable())) {
    for (const line of lines.split('\n')) {
      if (line !== '') points.push(Buffer.from(decodeOctal(line.split(' ', 5)[4] ?? ''), 'latin1').toString('utf8'));
    }
  }
  return points;
}

/** The id of the mount that an open file was opened on. @see proc(5), /proc/pid/fdinfo */
export function mountOf(descriptor: number): number {
  const [, id] = /^mnt_id:\s*(\d+)$/m.exec(readFileSync(`/proc/self/fdinfo/${descriptor}`, 'latin1')) ?? [];
  return id === undefined ? -1 : Number(id);
}

/** A directory in the table's own words, whatever symlinks lead there. */
export interface Place {
  /** The mount that it is on. */
  readonly mount: number;
  /** Its path, and a slash. */
  readonly prefix: BytePath;
}

/** @returns undefined when it is not there, or the system cannot tell */
export function placeOf(directory: string): Place | undefined {
  return unlessMissing(() => {
    const descriptor = openSync(directory, constants.O_DIRECTORY | O_PATH);
    try {
      const path = readlinkSync(`/proc/self/fd/${descriptor}`, 'latin1');
      return { mount: mountOf(descriptor), prefix: path === '/' ? path : `${path}/` };
    } finally {
      closeSync(descriptor);
    }
  });
}

/** The paths of `mountsBelow`. @param mounts of `mountsIn` */
export function innermostFirst(mounts: readonly Mount[], place: Place): BytePath[] {
  const depths = reachable(mounts, place);
  return [...depths.keys()]
    .reverse()
    .sort((one, other) => (depths.get(other) ?? 0) - (depths.get(one) ?? 0))
    .map(({ path }) => path);
}

/** What `mountsInside` tells. @param mounts of `mountsIn` */
export function topmostInside(mounts: readonly Mount[], place: Place): MountInside[] {
  const inside = [...reachable(mounts, place).keys()];
  const upon = new Map(inside.map((mount) => [`${mount.parent} ${mount.path}`, mount]));
  return inside
    .filter(({ parent }) => parent === place.mount)
    .map((lowest) => {
      let top = lowest;
      let coversShared = false;
      for (let next = upon.get(`${top.id} ${top.path}`); next; next = upon.get(`${top.id} ${top.path}`)) {
        coversShared ||= top.shared;
        top = next;
      }
      return { id: top.id, path: top.path.slice(place.prefix.length), coversShared };
    });
}

/** The table, some lines at a time; none where the system has none. The kernel makes it as it is read, a page at a time. */
function* readTable(): Generator<string> {
  const descriptor = unlessMissing(() => openSync(TABLE, 'r'));
  if (descriptor === undefined) return;
  const buffer = Buffer.alloc(65_536);
  let rest = '';
  try {
    for (let length = readSync(descriptor, buffer); length > 0; length = readSync(descriptor, buffer)) {
      const text = rest + buffer.toString('latin1', 0, length);
      const end = text.lastIndexOf('\n') + 1;
      rest = text.slice(end);
      if (end > 0) yield text.slice(0, end);
    }
  } finally {
    closeSync(descriptor);
  }
}

/**
 * The mounts whose paths begin with that of a place. The table may have thousands of lines of a kilobyte, so that only those are taken apart that may be of
 * interest.
 */
export function mountsIn(lines: string, { prefix }: Place): Mount[] {
  const begin = ` ${encodeOctal(prefix)}`;
  const found: Mount[] = [];
  for (let at = lines.indexOf(begin); at >= 0; at = lines.indexOf(begin, at)) {
    const start = lines.lastIndexOf('\n', at) + 1;
    const end = lines.indexOf('\n', at);
    at = end < 0 ? lines.length : end;
    const candidate = parse(lines.slice(start, at));
    if (candidate.path.startsWith(prefix)) found.push(candidate);
  }
  return found;
}

/** Those that one comes to from a place, each with how many it lies upon. */
function reachable(mounts: readonly Mount[], { mount }: Place): Map<Mount, number> {
  const found = new Map(mounts.map((each) => [each.id, each]));
  const depths = new Map<Mount, number>();
  for (const candidate of found.values()) {
    let depth = 1;
    let at: Mount | undefined = candidate;
    while (at !== undefined && at.parent !== mount && depth <= found.size) {
      at = found.get(at.parent);
      depth++;
    }
    if (at?.parent === mount) depths.set(candidate, depth);
  }
  return depths;
}

function parse(line: string): Mount {
  const [id, parent, , , path = '', , ...rest] = line.split(' ');
  const optional = rest.slice(0, rest.indexOf('-'));
  const shared = optional.some((field) => field.startsWith('shared:'));
  return { id: Number(id), parent: Number(parent), path: decodeOctal(path), shared };
}

/** The kernel writes space, tab, newline and backslash in octal. */
export function decodeOctal(path: string): BytePath {
  return path.replace(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8)));
}

function encodeOctal(path: BytePath): string {
  return path.replace(/[ \t\n\\]/g, (character) => `\\${character.charCodeAt(0).toString(8).padStart(3, '0')}`);
}

function unlessMissing<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch (error) {
    return ifMissing(error);
  }
}

/** No such directory, or no /proc. */
function ifMissing(error: unknown): undefined {
  const code = systemCode(error);
  if (code !== 'ENOENT' && code !== 'ENOTDIR' && code !== 'ELOOP') throw error;
}
