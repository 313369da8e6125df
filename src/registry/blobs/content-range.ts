import type { Answer } from '../connection/send-request.js';

/** What a server says that a part is. */
export interface ContentRange {
  /** Bytes from the start, both included. */
  readonly first: number;
  readonly last: number;
  /** Undefined where it is not stated. */
  readonly total: number | undefined;
}

/** @see RFC 9110, section 14.4, "Content-Range" */
export function rangeOf({ headers }: Pick<Answer, 'headers'>): ContentRange | undefined {
  const value = String(headers['content-range'] ?? '');
  const [, first, last, total] = /^\s*bytes[ =]+(\d+)-(\d+)\/(\d+|\*)\s*$/i.exec(value) ?? [];
  if (first === undefined || last === undefined) return undefined;
  return { first: Number(first), last: Number(last), total: total === '*' ? undefined : Number(total) };
}
