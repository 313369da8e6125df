import type { ProvisionerError } from '../../base/errors.js';
import { limitExceeded, malformed } from '../../base/malformed.js';
import { decimal, type PaxRecords } from './pax.js';
import { parseNumber } from './tar-header.js';

/** Where the data of a sparse file belongs; the rest are holes. @see GNU tar manual, "Storing Sparse Files" */
export interface SparseMap {
  /** Size of the whole file, holes included. */
  readonly size: number;
  /** Ascending, not overlapping, within `size`. */
  readonly segments: readonly Segment[];
}

export interface Segment {
  readonly offset: number;
  readonly length: number;
}

// GNU's own header: four pairs of 12-byte numbers, a flag whether more follow, the real size.
const OLD_PAIRS = 386;
const OLD_EXTENDED = 482;
const OLD_REAL_SIZE = 483;
// A block of more pairs: 21 of them and the flag.
const MORE_EXTENDED = 504;
const PAIR = 24;

const NEWLINE = 0x0a;
const DIGIT_0 = 0x30;
const DIGIT_9 = 0x39;
/** Of a number that is surely exact. */
const DIGITS_MAX = 15;
/** As many as fit in the longest extended header. */
export const SEGMENTS_MAX = 100_000;

/** The pairs in an old GNU sparse header. */
export function oldSparseSegments(block: Buffer, at: number): { segments: Segment[]; more: boolean; size: number } {
  return {
    segments: pairs(block, at + OLD_PAIRS, 4),
    more: block[at + OLD_EXTENDED] !== 0,
    size: parseNumber(block, at + OLD_REAL_SIZE, 12, 'real size'),
  };
}

/** The pairs in an extension block of the old GNU format. */
export function moreSparseSegments(block: Buffer, at: number): { segments: Segment[]; more: boolean } {
  return { segments: pairs(block, at, 21), more: block[at + MORE_EXTENDED] !== 0 };
}

function pairs(block: Buffer, start: number, count: number): Segment[] {
  const segments: Segment[] = [];
  for (let at = start; at < start + count * PAIR; at += PAIR) {
    // An unused pair is all NULs.
    if (block[at] === 0 && block[at + 12] === 0) break;
    segments.push({
      offset: parseNumber(block, at, 12, 'sparse offset'),
      length: parseNumber(block, at + 12, 12, 'sparse length'),
    });
  }
  return segments;
}

/** The map of formats 0.0 (repeated pairs) and 0.1 (one record); undefined when the records describe neither. */
export function paxSparseMap(pax: PaxRecords, sparsePairs: readonly Buffer[]): SparseMap | undefined {
  const size = numberOf(pax.get('GNU.sparse.size'));
  if (size === undefined) return undefined;
  const inline = pax.get('GNU.sparse.map')?.toString('latin1');
  const numbers =
    inline === undefined ? sparsePairs.map(numberOf) : inline === '' ? [] : inline.split(',').map(parseSparseNumber);
  return { size, segments: toSegments(numbers) };
}

/** Format 1.0 keeps its map in front of the data. */
export function hasMapInData(pax: PaxRecords): boolean {
  return pax.get('GNU.sparse.major')?.toString('latin1') === '1';
}

/** Reads the map in front of the data, block by block: decimal lines, the number of pairs first. */
export class SparseMapInData {
  readonly #size: number;
  readonly #segments: Segment[] = [];
  /** The line being read. */
  #value = 0;
  #digits = 0;
  #count: number | undefined;
  #offset: number | undefined;

  constructor(pax: PaxRecords) {
    const size = numberOf(pax.get('GNU.sparse.realsize'));
    if (size === undefined) throw malformed('a sparse file has no real size');
    this.#size = size;
  }

  /** @returns the map with its last block, undefined before */
  read(block: Buffer, start: number, end: number): SparseMap | undefined {
    for (let at = start; at < end; at++) {
      const byte = block[at] as number;
      if (byte === NEWLINE && this.#digits > 0) {
        if (this.#endLine()) return { size: this.#size, segments: this.#segments };
      } else if (byte >= DIGIT_0 && byte <= DIGIT_9 && ++this.#digits <= DIGITS_MAX) {
        this.#value = this.#value * 10 + byte - DIGIT_0;
      } else {
        throw noNumber();
      }
    }
    return undefined;
  }

  /** @returns true when it was the last one */
  #endLine(): boolean {
    const value = this.#value;
    this.#value = 0;
    this.#digits = 0;
    if (this.#count === undefined) {
      if (value > SEGMENTS_MAX) throw limitExceeded(`a sparse file of ${value} pieces`, SEGMENTS_MAX);
      this.#count = value;
    } else if (this.#offset === undefined) {
      this.#offset = value;
    } else {
      this.#segments.push({ offset: this.#offset, length: value });
      this.#offset = undefined;
    }
    return this.#segments.length === this.#count;
  }
}

/** @throws ProvisionerError `ERR_LAYER_MALFORMED` unless the segments are in order, inside the file, and as long as the data */
export function checkSparseMap(map: SparseMap, dataSize: number): SparseMap {
  let end = 0;
  let total = 0;
  for (const { offset, length } of map.segments) {
    if (offset < end || length < 0 || offset + length > map.size) throw malformed('a sparse map contradicts itself');
    end = offset + length;
    total += length;
  }
  if (map.size < 0 || total !== dataSize) throw malformed('a sparse map does not fit the data that follows');
  return map;
}

function toSegments(numbers: readonly (number | undefined)[]): Segment[] {
  if (numbers.length % 2 !== 0) throw malformed('a sparse map has an offset without a length');
  const count = numbers.length / 2;
  if (count > SEGMENTS_MAX) throw limitExceeded(`a sparse file of ${count} pieces`, SEGMENTS_MAX);
  const segments: Segment[] = [];
  for (let i = 0; i < numbers.length; i += 2) {
    segments.push({ offset: numbers[i] as number, length: numbers[i + 1] as number });
  }
  return segments;
}

function numberOf(value: Buffer | undefined): number | undefined {
  return value === undefined ? undefined : parseSparseNumber(value.toString('latin1'));
}

function parseSparseNumber(text: string): number {
  const value = decimal(text);
  if (!Number.isSafeInteger(value)) throw noNumber();
  return value;
}

function noNumber(): ProvisionerError {
  return malformed('a sparse map holds something that is no number');
}
