import { limitExceeded, malformed } from '../../base/malformed.js';
import type { BytePath } from '../syscalls/byte-path.js';
import type { DeviceNumber, FileTime } from '../syscalls/syscalls.js';
import { LIBARCHIVE_XATTR, type PaxRecords, paxIdOf, paxNumberOf, paxTextOf, SCHILY_XATTR } from './pax.js';
import type { SparseMap } from './sparse.js';
import { nearestSeconds, type TarHeader } from './tar-header.js';

export type EntryType = 'file' | 'hardlink' | 'symlink' | 'character' | 'block' | 'directory' | 'fifo';

/** One entry of a layer, with all that its headers say. */
export interface TarEntry {
  readonly type: EntryType;
  readonly path: BytePath;
  /** Of a symlink or hard link; else empty. */
  readonly linkPath: BytePath;
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly modified: FileTime;
  /** As the archive has it, else the modification time. */
  readonly accessed: FileTime;
  readonly device: DeviceNumber;
  /** Name (one character per byte) to value; undefined for none. */
  readonly xattrs: ReadonlyMap<string, Buffer> | undefined;
  /** Bytes of data in the archive. Those of what is no file mean nothing. */
  readonly dataSize: number;
  /** Which parts of the file that data fills; undefined when it fills it all. */
  readonly sparse: SparseMap | undefined;
}

/** Typeflags. POSIX.1-2017, pax; `7` is a file for all who have no contiguous ones, `D` a directory with GNU's listing, `S` GNU's sparse file. */
const TYPES: Readonly<Record<string, EntryType>> = {
  '0': 'file',
  '1': 'hardlink',
  '2': 'symlink',
  '3': 'character',
  '4': 'block',
  '5': 'directory',
  '6': 'fifo',
  '7': 'file',
  D: 'directory',
  S: 'file',
};

const ID_MAX = 0xffff_fffe;
/** What the kernel has bits for. A larger number would be cut to another device, or to a whiteout. @see makedev(3) */
const MAJOR_MAX = 0xfff;
const MINOR_MAX = 0xf_ffff;
/** The kernel's limits. @see symlink(7), xattr(7) */
const LINK_TARGET_MAX = 4095;
const XATTR_NAME_MAX = 255;
const XATTR_SIZE_MAX = 65536;
const XATTR_LIST_MAX = 65536;

/** @returns undefined for a typeflag that this engine does not know */
export function entryType(header: TarHeader, path: BytePath): EntryType | undefined {
  const type = TYPES[header.type];
  // Before ustar a directory was a file whose name ended with a slash. Only the whole path tells: a header may hold the
  // first hundred bytes of a longer one, up to a slash.
  return type === 'file' && header.type !== 'S' && path.endsWith('/') ? 'directory' : type;
}

/**
 * Only these have data behind their header, whatever the size field says of others; so Go's and libarchive's readers have it. The data of what turns out to be
 * a directory is passed over: GNU's `D` lists the names in it.
 */
export function hasData(header: TarHeader): boolean {
  return '07SD'.includes(header.type);
}

/** What the entry is called: extended headers and GNU's long names override the header block. */
export function entryName(header: TarHeader, pax: PaxRecords, longPath: BytePath | undefined): BytePath {
  if (pax.size === 0) return longPath ?? header.path;
  return paxTextOf(pax, 'GNU.sparse.name') ?? paxTextOf(pax, 'path') ?? longPath ?? header.path;
}

/** Lets extended headers and GNU's long names override the header block. */
export function makeEntry(
  header: TarHeader,
  type: EntryType,
  path: BytePath,
  pax: PaxRecords,
  longLink: BytePath | undefined,
  dataSize: number,
  sparse: SparseMap | undefined,
): TarEntry {
  const isLink = type === 'symlink' || type === 'hardlink';
  if (pax.size === 0) {
    const modified = { seconds: header.mtime, nanoseconds: 0 };
    return {
      type,
      path: checkText(path),
      linkPath: isLink ? checkTarget(longLink ?? header.linkPath) : '',
      mode: header.mode,
      uid: checkId(header.uid),
      gid: checkId(header.gid),
      modified,
      accessed: modified,
      device: isDevice(type) ? checkDevice(header.major, header.minor) : NO_DEVICE,
      xattrs: undefined,
      dataSize,
      sparse,
    };
  }
  const modified = paxTime(pax, 'mtime') ?? { seconds: header.mtime, nanoseconds: 0 };
  return {
    type,
    path: checkText(path),
    linkPath: isLink ? checkTarget(paxTextOf(pax, 'linkpath') ?? longLink ?? header.linkPath) : '',
    mode: header.mode,
    uid: checkId(paxIdOf(pax, 'uid') ?? header.uid),
    gid: checkId(paxIdOf(pax, 'gid') ?? header.gid),
    modified,
    accessed: paxTime(pax, 'atime') ?? modified,
    device: isDevice(type)
      ? checkDevice(
          paxNumberOf(pax, 'SCHILY.devmajor') ?? header.major,
          paxNumberOf(pax, 'SCHILY.devminor') ?? header.minor,
        )
      : NO_DEVICE,
    xattrs: paxXattrs(pax),
    dataSize,
    sparse,
  };
}

/** `[-]seconds[.fraction]`; digits past the ninth are cut off. */
function paxTime(pax: PaxRecords, keyword: string): FileTime | undefined {
  const text = paxTextOf(pax, keyword);
  if (text === undefined) return undefined;
  const match = /^(-?)([0-9]+)(?:\.([0-9]*))?$/.exec(text);
  if (match === null) throw malformed(`an extended header has a ${keyword} that is no time`);
  const whole = nearestSeconds(Number(match[2]));
  const fraction = Number((match[3] ?? '').slice(0, 9).padEnd(9, '0'));
  if (match[1] === '') return { seconds: whole, nanoseconds: fraction };
  // The kernel counts nanoseconds upwards: -1.25 is -2 seconds and 750 000 000 ns.
  return fraction === 0
    ? { seconds: whole === 0 ? 0 : -whole, nanoseconds: 0 }
    : { seconds: nearestSeconds(-whole - 1), nanoseconds: 1_000_000_000 - fraction };
}

function paxXattrs(pax: PaxRecords): Map<string, Buffer> | undefined {
  let xattrs: Map<string, Buffer> | undefined;
  let listed = 0;
  for (const [keyword, value] of pax) {
    let name: string;
    let bytes = value;
    if (keyword.startsWith(SCHILY_XATTR)) {
      name = keyword.slice(SCHILY_XATTR.length);
    } else if (keyword.startsWith(LIBARCHIVE_XATTR)) {
      // libarchive writes both forms; the other one, which needs no decoding, has precedence.
      name = percentDecode(keyword.slice(LIBARCHIVE_XATTR.length));
      if (pax.has(SCHILY_XATTR + name)) continue;
      bytes = Buffer.from(value.toString('latin1'), 'base64');
    } else {
      continue;
    }
    listed += name.length + 1;
    checkXattr(name, bytes, listed);
    xattrs ??= new Map();
    xattrs.set(name, bytes);
  }
  return xattrs;
}

function checkXattr(name: string, value: Buffer, listed: number): void {
  if (name === '' || name.length > XATTR_NAME_MAX || name.includes('\0')) {
    throw malformed('an extended attribute has a name that no attribute can have');
  }
  if (value.length > XATTR_SIZE_MAX)
    throw limitExceeded(`an extended attribute of ${value.length} bytes`, XATTR_SIZE_MAX);
  if (listed > XATTR_LIST_MAX) throw limitExceeded('an entry with too many extended attributes', XATTR_LIST_MAX);
}

function percentDecode(text: string): string {
  return text.replace(/%([0-9A-Fa-f]{2})/g, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)));
}

function checkText(text: BytePath): BytePath {
  if (text.includes('\0')) throw malformed('a name holds a NUL byte');
  return text;
}

function checkTarget(text: BytePath): BytePath {
  if (text.length > LINK_TARGET_MAX) throw limitExceeded(`a link target of ${text.length} bytes`, LINK_TARGET_MAX);
  return checkText(text);
}

const NO_DEVICE: DeviceNumber = { major: 0, minor: 0 };

function isDevice(type: EntryType): boolean {
  return type === 'character' || type === 'block';
}

function checkDevice(major: number, minor: number): DeviceNumber {
  if (major >= 0 && major <= MAJOR_MAX && minor >= 0 && minor <= MINOR_MAX) return { major, minor };
  throw malformed(`the device number ${major}:${minor} is beyond any real one`);
}

/**
 * The largest id means "leave as it is" to chown, so it names nobody. A negative one is the same 32 bits: nobody is -2 on a Mac, and Docker, podman and umoci
 * unpack it.
 */
function checkId(number: number): number {
  const id = number < 0 && number >= -(2 ** 31) ? number + 2 ** 32 : number;
  if (id < 0 || id > ID_MAX) throw malformed(`an owner or group of ${number} is beyond 32 bits`);
  return id;
}
