import type { Header as TarHeader } from 'tar';
import type { BytePath } from '../../../system/syscalls/byte-path.js';
import type { FileTime } from '../../../system/syscalls/syscalls.js';
import type { FileStatus } from '../../../system/syscalls/tree-calls.js';
import { BLOCK_SIZE } from '../../../system/tar/tar-header.js';

/** A stretch of a file that is no hole. */
export interface Stretch {
  readonly start: number;
  readonly end: number;
}

export type ArchivedType = 'File' | 'Link' | 'SymbolicLink' | 'CharacterDevice' | 'BlockDevice' | 'Directory' | 'FIFO';

export interface ArchivedEntry {
  readonly type: ArchivedType;
  readonly path: BytePath;
  readonly status: FileStatus;
  /** Of a symlink or hard link. */
  readonly linkPath?: BytePath;
  /** Bytes of a file. */
  readonly size?: number;
  /** Where the data of a file with holes is; its map follows the header. */
  readonly stretches?: readonly Stretch[] | undefined;
  readonly xattrs?: readonly (readonly [name: string, value: Uint8Array])[];
}

type Records = (readonly [keyword: string, value: Uint8Array | string])[];

/** What a ustar header has room for. @see POSIX.1-2017, pax, "ustar Interchange Format" */
const NAME_MAX = 99;
const ID_MAX = 0o7777777;
const SIZE_MAX = 0o77777777777;
const NOT_PLAIN = /[^\x20-\x7e]/;
const EXTENDED_MODE = 0o644;

/** Writes the headers of archives: ustar, and in front of it pax for what ustar has no room for. */
export class TarHeaders {
  readonly #Header: typeof TarHeader;

  /** @param header of the package `tar` */
  constructor(header: typeof TarHeader) {
    this.#Header = header;
  }

  /** All that stands before the data of an entry. */
  of(entry: ArchivedEntry): Buffer {
    const { status, stretches, type } = entry;
    const map = stretches === undefined ? undefined : sparseMap(stretches);
    const size = map === undefined ? (entry.size ?? 0) : map.length + lengthOf(stretches ?? []);
    const records = recordsOf(entry, size);
    const header = this.#ustar({
      path: plain(entry.path),
      linkpath: plain(entry.linkPath ?? ''),
      type,
      mode: status.mode,
      uid: Math.min(status.uid, ID_MAX),
      gid: Math.min(status.gid, ID_MAX),
      size: Math.min(size, SIZE_MAX),
      mtime: dateOf(status.modified),
      devmaj: status.device.major,
      devmin: status.device.minor,
    });
    const parts = [header, ...(map === undefined ? [] : [map])];
    if (records.length === 0) return Buffer.concat(parts);
    const body = padded(Buffer.concat(records.map(recordBytes)));
    const extended = this.#ustar({
      path: plain(`PaxHeaders/${entry.path}`),
      type: 'ExtendedHeader',
      mode: EXTENDED_MODE,
      uid: 0,
      gid: 0,
      size: records.reduce((sum, record) => sum + recordBytes(record).length, 0),
      mtime: dateOf(status.modified),
    });
    return Buffer.concat([extended, body, ...parts]);
  }

  #ustar(data: ConstructorParameters<typeof TarHeader>[0]): Buffer {
    const block = Buffer.alloc(BLOCK_SIZE);
    new this.#Header(data).encode(block, 0);
    return block;
  }
}

/** Two blocks of zeros. */
export const END_OF_ARCHIVE = Buffer.alloc(2 * BLOCK_SIZE);

/** The bytes that fill the last block of data. */
export function paddingAfter(size: number): Buffer {
  return Buffer.alloc((BLOCK_SIZE - (size % BLOCK_SIZE)) % BLOCK_SIZE);
}

export function lengthOf(stretches: readonly Stretch[]): number {
  return stretches.reduce((sum, { start, end }) => sum + end - start, 0);
}

function recordsOf(
  { path, linkPath = '', status, stretches, size = 0, xattrs = [] }: ArchivedEntry,
  stored: number,
): Records {
  const records: Records = [];
  const { uid, gid, modified } = status;
  if (stretches !== undefined) {
    records.push(['GNU.sparse.major', '1'], ['GNU.sparse.minor', '0']);
    records.push(['GNU.sparse.name', bytesOf(path)], ['GNU.sparse.realsize', String(size)]);
  }
  // Names are bytes, and stand here as they are, as GNU tar has them.
  if (isBeyondHeader(path)) records.push(['path', bytesOf(path)]);
  if (isBeyondHeader(linkPath)) records.push(['linkpath', bytesOf(linkPath)]);
  if (uid > ID_MAX) records.push(['uid', String(uid)]);
  if (gid > ID_MAX) records.push(['gid', String(gid)]);
  if (stored > SIZE_MAX) records.push(['size', String(stored)]);
  if (modified.nanoseconds > 0 || modified.seconds < 0 || modified.seconds > SIZE_MAX)
    records.push(['mtime', timeText(modified)]);
  for (const [name, value] of xattrs) records.push(xattrRecord(name, value));
  return records;
}

/** Whether the usual keyword can name an attribute: it ends at the first `=`. @see star(5), "SCHILY.xattr" */
export function isPlainXattr(name: string): boolean {
  return !/[=\n]/.test(name);
}

/** Other names are encoded as libarchive has them, with the value in base64. @see libarchive's tar(5), "LIBARCHIVE.xattr" */
function xattrRecord(name: string, value: Uint8Array): Records[number] {
  if (isPlainXattr(name)) return [`SCHILY.xattr.${name}`, value];
  const encoded = name.replace(/[%=\n]/g, (character) => `%${character.charCodeAt(0).toString(16).padStart(2, '0')}`);
  return [`LIBARCHIVE.xattr.${encoded}`, Buffer.from(value).toString('base64')];
}

/** GNU's format 1.0: the number of stretches, and then of each where it begins and how long it is. @see GNU tar manual, "Storing Sparse Files" */
function sparseMap(stretches: readonly Stretch[]): Buffer {
  const lines = [stretches.length, ...stretches.flatMap(({ start, end }) => [start, end - start])];
  return padded(Buffer.from(`${lines.join('\n')}\n`, 'latin1'));
}

/** `<length> <keyword>=<value>\n`, where the length counts its own digits. */
function recordBytes([keyword, value]: Records[number]): Buffer {
  const rest = Buffer.concat([Buffer.from(` ${keyword}=`, 'latin1'), Buffer.from(value), Buffer.from('\n')]);
  let length = rest.length;
  while (length !== rest.length + String(length).length) length = rest.length + String(length).length;
  return Buffer.concat([Buffer.from(String(length)), rest]);
}

/** The kernel counts nanoseconds upwards, a decimal fraction away from zero. */
function timeText({ seconds, nanoseconds }: FileTime): string {
  if (seconds >= 0 || nanoseconds === 0) return `${seconds}${fraction(nanoseconds)}`;
  return `-${-seconds - 1}${fraction(1_000_000_000 - nanoseconds)}`;
}

function fraction(nanoseconds: number): string {
  return nanoseconds === 0 ? '' : `.${String(nanoseconds).padStart(9, '0')}`;
}

function dateOf({ seconds }: FileTime): Date {
  return new Date(Math.max(0, Math.min(seconds, SIZE_MAX)) * 1000);
}

function isBeyondHeader(path: BytePath): boolean {
  return path.length > NAME_MAX || NOT_PLAIN.test(path);
}

/** Of a path that does not fit, something for readers that know no pax. */
function plain(path: BytePath): string {
  return isBeyondHeader(path) ? path.replace(/[^ -~]/g, '_').slice(0, NAME_MAX) : path;
}

function bytesOf(path: BytePath): Buffer {
  return Buffer.from(path, 'latin1');
}

function padded(bytes: Buffer): Buffer {
  return Buffer.concat([bytes, paddingAfter(bytes.length)]);
}
