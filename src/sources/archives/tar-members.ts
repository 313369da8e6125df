import { Header, type HeaderData, Pax } from 'tar';
import { ProvisionerError } from '../../base/errors.js';
import { malformedSource, truncatedSource } from '../source-errors.js';

/** One member of a tar file, without its bytes. */
export interface TarMember {
  /** As written. */
  readonly name: string;
  readonly kind: 'file' | 'hardlink' | 'symlink' | 'other';
  /** Where a link points, as written; empty for the rest. */
  readonly target: string;
  /** First byte of the body in the tar file. */
  readonly offset: number;
  readonly size: number;
}

/** Reads `length` bytes at `position`, fewer only at the end of the file. */
export type ReadAt = (position: number, length: number) => Promise<Buffer>;

const BLOCK = 512;
const ZEROS = Buffer.alloc(BLOCK);
/** A long name or an extended header; real ones have some hundred bytes. */
const MAX_EXTENSION = 1024 * 1024;

/** These carry no body, whatever their size field says. @see POSIX pax, "ustar Interchange Format", typeflag */
const BODILESS = new Set(['Link', 'SymbolicLink', 'Directory', 'CharacterDevice', 'BlockDevice', 'FIFO']);

/** What extension headers have said about the member to come. */
interface Pending {
  pax?: Pax | undefined;
  longName?: string | undefined;
  longLink?: string | undefined;
}

/**
 * Walks the headers of an uncompressed tar file and steps over the bodies.
 *
 * A tar file ends with two blocks of zeros. One that ends without any has lost its tail: the cut may lie between two members,
 * where nothing else shows it.
 * @param size of the whole file, in bytes
 * @throws ProvisionerError `ERR_SOURCE_MALFORMED`, `ERR_SOURCE_UNSUPPORTED` for sparse members
 */
export async function* readTarMembers(readAt: ReadAt, size: number, label: string): AsyncGenerator<TarMember> {
  let position = 0;
  let pending: Pending = {};
  let globalPax: Pax | undefined;
  if (size === 0) throw malformedSource(label, 'it is empty');
  for (;;) {
    const block = await readAt(position, BLOCK);
    if (block.length < BLOCK)
      throw truncatedSource(label, `it ends at byte ${size}, before the end mark of a tar file`);
    if (block.equals(ZEROS)) return await checkEnd(readAt, position + BLOCK, label);
    const header = decodeHeader(block, position, pending, globalPax, label);
    const offset = position + BLOCK;
    const bodySize = BODILESS.has(header.type) ? 0 : header.size;
    if (bodySize === undefined || !Number.isSafeInteger(bodySize))
      throw damaged(label, position, 'its size is no number');
    if (offset + bodySize > size) {
      throw truncatedSource(label, `it has ${size} bytes, and a member needs ${offset + bodySize}`);
    }
    position = offset + Math.ceil(bodySize / BLOCK) * BLOCK;

    switch (header.type) {
      case 'ExtendedHeader':
        pending.pax = Pax.parse(await readExtension(readAt, offset, bodySize, label), pending.pax, false);
        break;
      case 'GlobalExtendedHeader':
        globalPax = Pax.parse(await readExtension(readAt, offset, bodySize, label), globalPax, true);
        break;
      case 'NextFileHasLongPath':
      case 'OldGnuLongPath':
        pending.longName = untilNul(await readExtension(readAt, offset, bodySize, label));
        break;
      case 'NextFileHasLongLinkpath':
        pending.longLink = untilNul(await readExtension(readAt, offset, bodySize, label));
        break;
      default:
        yield toMember(header, pending, offset, bodySize);
        pending = {};
    }
  }
}

/** True when `block` starts a tar file: what tells one from anything else. */
export function isTarHeader(block: Buffer): boolean {
  if (block.length < BLOCK) return false;
  try {
    return new Header(block).cksumValid;
  } catch {
    // A number too large to be one: not a header, whatever it is.
    return false;
  }
}

/**
 * Everything but the names: `Header` puts the old header's prefix before a path of the extended header, and the old header's
 * link over a link of the extended one.
 */
function decodeHeader(
  block: Buffer,
  position: number,
  pending: Pending,
  globalPax: Pax | undefined,
  label: string,
): Header {
  let header: Header;
  try {
    header = new Header(block, 0, withoutNames(pending.pax), globalPax);
  } catch (error) {
    throw damaged(label, position, 'it holds a number out of range', error);
  }
  if (!header.cksumValid) {
    throw position === 0
      ? malformedSource(label, 'it is not a tar file')
      : damaged(label, position, 'its checksum is wrong');
  }
  if (block[156] === 'S'.charCodeAt(0)) {
    throw new ProvisionerError('ERR_SOURCE_UNSUPPORTED', `${label} holds a sparse member, at byte ${position}`, {
      hint: 'make the archive again without --sparse',
    });
  }
  return header;
}

function withoutNames(pax: Pax | undefined): HeaderData | undefined {
  if (pax === undefined) return undefined;
  const { path, linkpath, ...rest } = pax;
  return rest as HeaderData;
}

function toMember(header: Header, pending: Pending, offset: number, size: number): TarMember {
  const kinds = {
    File: 'file',
    OldFile: 'file',
    ContiguousFile: 'file',
    Link: 'hardlink',
    SymbolicLink: 'symlink',
  } as const;
  return {
    name: pending.longName ?? pending.pax?.path ?? header.path ?? '',
    kind: header.type in kinds ? kinds[header.type as keyof typeof kinds] : 'other',
    target: pending.longLink ?? pending.pax?.linkpath ?? header.linkpath ?? '',
    offset,
    size,
  };
}

/** Two blocks of zeros, or one that ends the file; a lone one in the middle is read differently by different programs. */
async function checkEnd(readAt: ReadAt, position: number, label: string): Promise<void> {
  const second = await readAt(position, BLOCK);
  if (second.equals(ZEROS.subarray(0, second.length))) return;
  throw damaged(label, position, 'it follows a block of zeros');
}

async function readExtension(readAt: ReadAt, offset: number, size: number, label: string): Promise<string> {
  if (size <= MAX_EXTENSION) return (await readAt(offset, size)).toString('utf8');
  throw new ProvisionerError('ERR_LIMIT_EXCEEDED', `${label} has an extended header of ${size} bytes`, {
    details: { size, limit: MAX_EXTENSION },
  });
}

function untilNul(text: string): string {
  const end = text.indexOf('\0');
  return end < 0 ? text : text.slice(0, end);
}

function damaged(label: string, position: number, problem: string, cause?: unknown): ProvisionerError {
  return malformedSource(label, `the header at byte ${position} is damaged: ${problem}`, { cause });
}
