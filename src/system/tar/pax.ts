import { malformed } from '../../base/malformed.js';

/** Records of a pax extended header: keyword to value. Values are bytes: paths need not be UTF-8, attributes need not be text. */
export type PaxRecords = Map<string, Buffer>;

export const SCHILY_XATTR = 'SCHILY.xattr.';
export const LIBARCHIVE_XATTR = 'LIBARCHIVE.xattr.';

const SPACE = 0x20;
const EQUALS = 0x3d;
const NEWLINE = 0x0a;

/** What this engine makes something of. Others are checked for their form only: a million comments must not fill the memory. */
const KEYWORDS: ReadonlySet<string> = new Set([
  'path',
  'linkpath',
  'size',
  'uid',
  'gid',
  'mtime',
  'atime',
  'SCHILY.devmajor',
  'SCHILY.devminor',
  'GNU.sparse.major',
  'GNU.sparse.name',
  'GNU.sparse.size',
  'GNU.sparse.realsize',
  'GNU.sparse.map',
]);

/**
 * Parses `<length> <keyword>=<value>\n`, where length counts the whole record. Values may hold newlines and NULs.
 * GNU's sparse format 0.0 repeats two keywords in pairs; those go to `sparsePairs`, in order.
 * @returns the bytes of the records that were kept
 * @see POSIX.1-2017, pax, "pax Extended Header"
 */
export function parsePax(data: Buffer, records: PaxRecords, sparsePairs: Buffer[]): number {
  let kept = 0;
  let at = 0;
  while (at < data.length) {
    // Some writers pad with NULs.
    if (data[at] === 0 && data.subarray(at).every((byte) => byte === 0)) break;
    const space = data.indexOf(SPACE, at);
    const length = space === -1 || space - at > 10 ? Number.NaN : decimal(data.toString('latin1', at, space));
    const end = at + length;
    if (!(end > space + 1 && end <= data.length && data[end - 1] === NEWLINE)) {
      throw malformed('an extended header has a record of a wrong length');
    }
    const equals = data.indexOf(EQUALS, space + 1);
    if (equals === -1 || equals >= end || equals === space + 1) {
      throw malformed('an extended header has a record without a keyword');
    }
    const keyword = data.toString('latin1', space + 1, equals);
    // A view: whoever keeps a value beyond its entry copies it.
    const value = data.subarray(equals + 1, end - 1);
    if (keyword === 'GNU.sparse.offset' || keyword === 'GNU.sparse.numbytes') {
      sparsePairs.push(value);
    } else if (KEYWORDS.has(keyword) || isXattr(keyword)) {
      records.set(keyword, value);
      kept += length;
    }
    at = end;
  }
  return kept;
}

/** Whether a record has an extended attribute. */
export function isXattr(keyword: string): boolean {
  return keyword.startsWith(SCHILY_XATTR) || keyword.startsWith(LIBARCHIVE_XATTR);
}

/** A decimal number without a sign; NaN for anything else. */
export function decimal(text: string): number {
  return /^[0-9]+$/.test(text) ? Number(text) : Number.NaN;
}

/** @returns undefined when there is no record of that name, or an empty one, which takes earlier ones back */
export function paxTextOf(records: PaxRecords, keyword: string): string | undefined {
  const value = records.get(keyword);
  return value === undefined || value.length === 0 ? undefined : value.toString('latin1');
}

/** As `paxTextOf`. @throws ProvisionerError `ERR_LAYER_MALFORMED` when it is no number */
export function paxNumberOf(records: PaxRecords, keyword: string): number | undefined {
  return numberOf(records, keyword, decimal);
}

/** As `paxNumberOf`; it may be negative. */
export function paxIdOf(records: PaxRecords, keyword: string): number | undefined {
  return numberOf(records, keyword, (text) => (text[0] === '-' ? -decimal(text.slice(1)) : decimal(text)));
}

function numberOf(records: PaxRecords, keyword: string, parse: (text: string) => number): number | undefined {
  const text = paxTextOf(records, keyword);
  if (text === undefined) return undefined;
  const value = parse(text);
  if (!Number.isSafeInteger(value)) throw malformed(`an extended header has a ${keyword} that is no number`);
  return value;
}
