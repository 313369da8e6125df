import { isProvisionerError } from '../../base/errors.js';
import { malformed } from '../../base/malformed.js';
import type { BytePath } from '../syscalls/byte-path.js';

/** The unit of a tar archive: headers fill one, data is padded to it. */
export const BLOCK_SIZE = 512;

/** One header block as it stands in the archive, before extended headers have their say. */
export interface TarHeader {
  readonly path: BytePath;
  readonly linkPath: BytePath;
  /** The typeflag's character. */
  readonly type: string;
  /** Permission bits with setuid, setgid and sticky; file type bits, which some writers add, are left out. */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  /** Bytes of data that follow. */
  readonly size: number;
  /** Seconds since the epoch, negative before 1970. */
  readonly mtime: number;
  readonly major: number;
  readonly minor: number;
  /** GNU's own format, whose last 167 bytes hold other things than a path prefix. */
  readonly gnu: boolean;
}

// Field offsets and lengths. POSIX.1-2017, pax, "ustar Interchange Format".
const NAME = 0;
const MODE = 100;
const UID = 108;
const GID = 116;
const SIZE = 124;
const MTIME = 136;
const CHECKSUM = 148;
const TYPE = 156;
const LINK_NAME = 157;
const MAGIC = 257;
const MAJOR = 329;
const MINOR = 337;
const PREFIX = 345;
const SPACE = 0x20;
const CHECKSUM_LENGTH = 8;
const EMPTY_CHECKSUM = CHECKSUM_LENGTH * SPACE;

/**
 * Reads the header block at `at`.
 * @returns undefined for a block of zeros, which ends an archive
 * @throws ProvisionerError `ERR_LAYER_MALFORMED` for a wrong checksum or a number that is none
 */
export function parseTarHeader(bytes: Buffer, at: number): TarHeader | undefined {
  const sum = checksum(bytes, at);
  const stored = parseNumber(bytes, at + CHECKSUM, CHECKSUM_LENGTH, 'checksum');
  if (sum === EMPTY_CHECKSUM && bytes[at + CHECKSUM] === 0) return undefined;
  if (stored !== sum && stored !== signedChecksum(bytes, at)) throw malformed('a header has a wrong checksum');

  const posix = isAscii(bytes, at + MAGIC, 'ustar\0');
  const gnu = isAscii(bytes, at + MAGIC, 'ustar  \0');
  const name = parseText(bytes, at + NAME, 100);
  return {
    path: posix ? withPrefix(bytes, at, name) : name,
    linkPath: bytes[at + LINK_NAME] === 0 ? '' : parseText(bytes, at + LINK_NAME, 100),
    type: bytes[at + TYPE] === 0 ? '0' : String.fromCharCode(bytes[at + TYPE] as number),
    mode: parseNumber(bytes, at + MODE, 8, 'mode') & 0o7777,
    uid: parseNumber(bytes, at + UID, 8, 'owner'),
    gid: parseNumber(bytes, at + GID, 8, 'group'),
    size: parseNumber(bytes, at + SIZE, 12, 'size'),
    mtime: parseSeconds(bytes, at + MTIME),
    major: posix || gnu ? parseNumber(bytes, at + MAJOR, 8, 'device number') : 0,
    minor: posix || gnu ? parseNumber(bytes, at + MINOR, 8, 'device number') : 0,
    gnu,
  };
}

/** Whether an archive begins with this block: a header is what tells one from anything else. */
export function isTarHeader(block: Buffer): boolean {
  if (block.length < BLOCK_SIZE) return false;
  try {
    return parseTarHeader(block, 0) !== undefined;
  } catch (error) {
    if (isProvisionerError(error)) return false;
    throw error;
  }
}

/** The sum of all bytes, where those of the checksum itself count as spaces. */
function checksum(bytes: Buffer, at: number): number {
  // Two loops without a branch: headers are most of what is read of small files.
  let sum = EMPTY_CHECKSUM;
  for (let i = at; i < at + CHECKSUM; i++) sum += bytes[i] as number;
  for (let i = at + CHECKSUM + CHECKSUM_LENGTH; i < at + BLOCK_SIZE; i++) sum += bytes[i] as number;
  return sum;
}

/** Some old writers summed signed characters. */
function signedChecksum(bytes: Buffer, at: number): number {
  let sum = checksum(bytes, at);
  for (let i = at; i < at + BLOCK_SIZE; i++) {
    const isSummed = i < at + CHECKSUM || i >= at + CHECKSUM + CHECKSUM_LENGTH;
    if (isSummed && (bytes[i] as number) > 127) sum -= 256;
  }
  return sum;
}

function withPrefix(bytes: Buffer, at: number, name: BytePath): BytePath {
  if (bytes[at + PREFIX] === 0) return name;
  // Schilling's star marks its last four bytes and keeps times behind a shorter prefix.
  const length = isAscii(bytes, at + 508, 'tar\0') ? 131 : 155;
  return `${parseText(bytes, at + PREFIX, length)}/${name}`;
}

/** Bytes up to the first NUL, or all of them. */
export function parseText(bytes: Buffer, start: number, length: number): BytePath {
  const nul = bytes.indexOf(0, start);
  const end = nul === -1 || nul > start + length ? start + length : nul;
  return bytes.toString('latin1', start, end);
}

/**
 * A numeric field: octal digits among spaces and NULs; or, as GNU and star write what does not fit, base 256 with the first bit set
 * (two's complement).
 */
export function parseNumber(bytes: Buffer, start: number, length: number, what: string): number {
  const first = bytes[start] as number;
  if (first >= 0x80) return parseBase256(bytes, start, length, what);
  const end = start + length;
  let i = start;
  while (i < end && bytes[i] === SPACE) i++;
  let value = 0;
  for (; i < end; i++) {
    const digit = (bytes[i] as number) - 0x30;
    if (digit < 0 || digit > 7) break;
    value = value * 8 + digit;
  }
  for (; i < end; i++) {
    if (bytes[i] === 0) break;
    if (bytes[i] !== SPACE) throw malformed(`a header has a ${what} that is no number`);
  }
  return value;
}

/** Writers have "never" as the smallest 64-bit number, or as what a broken clock says. */
function parseSeconds(bytes: Buffer, start: number): number {
  if ((bytes[start] as number) < 0x80) return parseNumber(bytes, start, 12, 'modification time');
  return nearestSeconds(Number(base256(bytes, start, 12)));
}

/** Seconds since the epoch as near as can be counted; the kernel does the same with a time that its file system cannot keep. @see timestamp_truncate, fs/inode.c */
export function nearestSeconds(seconds: number): number {
  return Math.max(Number.MIN_SAFE_INTEGER, Math.min(Number.MAX_SAFE_INTEGER, seconds));
}

function parseBase256(bytes: Buffer, start: number, length: number, what: string): number {
  const number = Number(base256(bytes, start, length));
  if (!Number.isSafeInteger(number)) throw malformed(`a header has a ${what} beyond any real one`);
  return number;
}

function base256(bytes: Buffer, start: number, length: number): bigint {
  const negative = ((bytes[start] as number) & 0x40) !== 0;
  let value = negative ? -1n : 0n;
  for (let i = 0; i < length; i++) {
    const byte = bytes[start + i] as number;
    // The first byte's top bit only says that this is base 256.
    const digit = i === 0 ? (negative ? byte | 0x80 : byte & 0x7f) : byte;
    value = i === 0 ? BigInt(negative ? digit - 256 : digit) : (value << 8n) | BigInt(digit);
  }
  return value;
}

function isAscii(bytes: Buffer, at: number, text: string): boolean {
  for (let i = 0; i < text.length; i++) if (bytes[at + i] !== text.charCodeAt(i)) return false;
  return true;
}
