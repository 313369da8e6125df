/*
 * zstd for the fuzzer: frames as the library writes them, with all that may differ between two writers, and damage that keeps enough of them to get far into a decoder. And what all
 * decoders must agree upon.
 */
import { createHash } from 'node:crypto';
import koffi from 'koffi';
import { inflateZstd, nodeHasZstd } from '#src/system/compression/inflate-zstd.js';
import { inflateZstdInJavaScript } from '#src/system/compression/inflate-zstd-in-javascript.js';
import { takeFreely } from '#src/system/compression/window-memory.js';
import { loadZstd } from '#src/system/compression/zstd/load-zstd.js';
import { zstdFrames } from '#src/system/compression/zstd-frames.js';

/** @typedef {import('./random.mjs').Random} Random */

/** `ZSTD_cParameter`. @see zstd.h */
const LEVEL = 100;
const WINDOW_LOG = 101;
const LONG_DISTANCE = 160;
const CONTENT_SIZE = 200;
const CHECKSUM = 201;
const LEVELS = [-5, -1, 1, 3, 3, 6, 9, 13, 17];
const SKIPPABLE = ['502a4d1805000000', '5f2a4d1800000000'];

/** @type {ReturnType<typeof openLibrary> | undefined} */
let library;

function openLibrary() {
  const zstd = koffi.load('libzstd.so.1');
  return {
    context: zstd.func('void *ZSTD_createCCtx()')(),
    reset: zstd.func('size_t ZSTD_CCtx_reset(void *, int)'),
    set: zstd.func('size_t ZSTD_CCtx_setParameter(void *, int, int)'),
    bound: zstd.func('size_t ZSTD_compressBound(size_t)'),
    compress: zstd.func('size_t ZSTD_compress2(void *, void *, size_t, const void *, size_t)'),
  };
}

/** @param {Random} random @param {Buffer} bytes @returns {Buffer} one frame */
function frame(random, bytes) {
  library ??= openLibrary();
  const { context, reset, set, bound, compress } = library;
  reset(context, 3);
  set(context, LEVEL, random.pick(LEVELS));
  set(context, CHECKSUM, random.chance(0.8) ? 1 : 0);
  set(context, CONTENT_SIZE, random.chance(0.7) ? 1 : 0);
  if (random.chance(0.3)) set(context, WINDOW_LOG, random.between(10, 21));
  if (random.chance(0.05)) set(context, WINDOW_LOG, 27);
  if (random.chance(0.2)) set(context, LONG_DISTANCE, 1);
  const output = Buffer.alloc(Number(bound(bytes.length)));
  const length = compress(context, output, output.length, bytes, bytes.length);
  if (typeof length !== 'number' || length > output.length) throw new Error('libzstd does not compress');
  return output.subarray(0, length);
}

/** Frames that end anywhere, and some to be skipped. @param {Random} random @param {Buffer} bytes */
export function compressZstd(random, bytes) {
  const frames = [];
  const most = random.pick([bytes.length, bytes.length, 40_000, 3000]);
  for (let at = 0; at < bytes.length || frames.length === 0; ) {
    if (random.chance(0.1)) frames.push(skippable(random));
    const end = Math.min(bytes.length, at + random.between(1, Math.max(1, most)));
    frames.push(frame(random, bytes.subarray(at, most === bytes.length ? bytes.length : end)));
    at = most === bytes.length ? bytes.length : end;
  }
  return Buffer.concat(frames);
}

/** @param {Random} random */
function skippable(random) {
  const head = Buffer.from(random.pick(SKIPPABLE), 'hex');
  return Buffer.concat([head, random.bytes(head.readUInt32LE(4))]);
}

/** Where blocks begin in the first frame, as far as that can be read. @param {Buffer} blob */
function blockStarts(blob) {
  const starts = [];
  if (blob.length < 6 || blob.readUInt32LE(0) !== 0xfd2fb528) return starts;
  const flags = blob.readUInt8(4);
  const single = (flags & 0x20) !== 0;
  let at = 5 + (single ? 0 : 1) + /** @type {number} */ ([single ? 1 : 0, 2, 4, 8][flags >> 6]);
  while (at + 3 <= blob.length) {
    starts.push(at);
    const fields = blob.readUIntLE(at, 3);
    if ((fields & 1) === 1) break;
    at += 3 + (((fields >> 1) & 3) === 1 ? 1 : fields >> 3);
  }
  return starts;
}

/** @param {Random} random @param {Buffer} whole */
export function damageZstd(random, whole) {
  const blob = Buffer.from(whole);
  const starts = blockStarts(blob);
  for (let count = random.between(1, 4); count > 0 && blob.length > 0; count--) {
    const block = starts.length > 0 ? random.pick(starts) : 0;
    const at = random.pick([
      // The frame's header; a block's header; the literals and tables behind it; anything.
      random.below(14),
      block + random.below(3),
      block + 3 + random.below(24),
      block + 3 + random.below(24),
      random.below(blob.length),
    ]);
    if (at < blob.length)
      blob[at] = random.pick([random.below(256), 0, 0xff, (blob[at] ?? 0) ^ (1 << random.below(8))]);
  }
  if (random.chance(0.1)) return blob.subarray(0, random.below(blob.length + 1));
  if (random.chance(0.1)) return Buffer.concat([blob, random.chance(0.5) ? blob : random.bytes(random.below(30))]);
  return blob;
}

/** A piece takes the decoder in JavaScript some milliseconds; in milliseconds. */
const PATIENCE = 1500;
/** Inflated bytes that are compared. */
const COMPARED = 4 * 2 ** 20;

/**
 * What a decoder makes of it: the digest of what it inflates to, or that it is refused.
 * @param {Buffer} blob @param {number} size of the pieces that it comes in
 * @param {(pieces: AsyncGenerator<Buffer>) => AsyncGenerator<Buffer, void, undefined>} inflate
 */
async function verdict(blob, size, inflate) {
  const pieces = async function* () {
    for (let at = 0; at < blob.length; at += size) yield Buffer.from(blob.subarray(at, at + size));
  };
  const hash = createHash('sha256');
  let length = 0;
  try {
    for await (const piece of inflate(pieces())) {
      hash.update(piece.subarray(0, Math.max(0, COMPARED - length)));
      length += piece.length;
      if (length >= COMPARED) break;
    }
    return hash.digest('hex');
  } catch (error) {
    const { code = '', message } = /** @type {{ code?: string, message: string }} */ (error);
    return /^ERR_(LAYER_(MALFORMED|TRUNCATED)|LIMIT_EXCEEDED)$/.test(code) ? 'refused' : `${code} ${message}`;
  }
}

/** Whether damage must show, whichever decoder looks. @param {Buffer} blob */
async function allHaveChecksums(blob) {
  try {
    const whole = async function* () {
      yield blob;
    };
    for await (const { hasChecksum, pieces } of zstdFrames(whole())) {
      if (!hasChecksum) return false;
      for await (const _ of pieces(32)) {
        // Only the headers are wanted.
      }
    }
  } catch {
    // What cannot be read any more is refused by all.
  }
  return true;
}

/** @param {Buffer} blob that begins as zstd does @param {number} salt chooses the size of the pieces @returns {Promise<string | undefined>} where decoders differ */
export async function differingVerdicts(blob, salt) {
  const native = loadZstd();
  if (native === null || !(await allHaveChecksums(blob))) return undefined;
  const size = [1 << 20, 4096, 61][salt % 3] ?? 4096;
  const options = {
    chunkSize: 1 << 19,
    highWaterMark: 1 << 20,
    hasSpareProcessor: () => salt % 2 === 0,
    takeMemory: takeFreely,
  };
  const found = await verdict(blob, size, (pieces) => inflateZstd(pieces, options, native));
  const others = {
    javascript: await verdict(blob, size, (pieces) =>
      inflateZstdInJavaScript(zstdFrames(pieces), takeFreely, PATIENCE),
    ),
    ...(nodeHasZstd ? { node: await verdict(blob, size, (pieces) => inflateZstd(pieces, options, 'node')) } : {}),
  };
  for (const [name, other] of Object.entries(others)) {
    if (other !== found) return `libzstd says ${found}, ${name} says ${other}`;
  }
  return undefined;
}
