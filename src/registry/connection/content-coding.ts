import { pipeline, Readable } from 'node:stream';
import { promisify } from 'node:util';
import * as zlib from 'node:zlib';
import type { Answer } from './send-request.js';

/**
 * What servers and proxies do to bodies although nobody has asked for it: `Content-Encoding`. Manifests, configs, tokens and layers are read as they were before; a digest tells
 * whether that was right.
 * @see RFC 9110, section 8.4
 */

/** Codings on top of each other that are undone. Nobody makes more than one in good faith. */
const MOST_CODINGS = 2;

type Decode = (bytes: Buffer, options: { readonly maxOutputLength: number }) => Promise<Buffer>;

/** Node has Zstandard from 22.15 on. */
const { zstdDecompress, createZstdDecompress } = zlib as unknown as {
  readonly zstdDecompress?: (
    bytes: Buffer,
    options: object,
    callback: (error: Error | null, out: Buffer) => void,
  ) => void;
  readonly createZstdDecompress?: () => zlib.Gunzip;
};

const gunzip: Decode = promisify(zlib.gunzip);
const inflate: Decode = promisify(zlib.inflate);
const inflateRaw: Decode = promisify(zlib.inflateRaw);
const brotli: Decode = promisify(zlib.brotliDecompress);

interface Coding {
  readonly decode: Decode;
  readonly stream: () => zlib.Gunzip | zlib.Inflate | zlib.BrotliDecompress;
}

const GZIP: Coding = { decode: gunzip, stream: zlib.createGunzip };

const CODINGS: Readonly<Record<string, Coding>> = {
  gzip: GZIP,
  'x-gzip': GZIP,
  // Half of those who say `deflate` leave out the wrapping that the standard asks for.
  deflate: {
    decode: (bytes, options) => (isWrapped(bytes) ? inflate(bytes, options) : inflateRaw(bytes, options)),
    stream: zlib.createInflate,
  },
  br: { decode: brotli, stream: zlib.createBrotliDecompress },
  ...(zstdDecompress === undefined || createZstdDecompress === undefined
    ? {}
    : { zstd: { decode: promisify(zstdDecompress), stream: createZstdDecompress } }),
};

/** @see RFC 1950, section 2.2 */
function isWrapped(bytes: Buffer): boolean {
  return bytes.length >= 2 && (bytes.readUInt8(0) & 0x0f) === 8 && bytes.readUInt16BE(0) % 31 === 0;
}

/** What was done to a body, the last thing first; empty for one that is as it was, or to which something was done that cannot be undone here. */
export function codingsOf({ headers }: Pick<Answer, 'headers'>): readonly string[] {
  const names = [headers['content-encoding'] ?? []]
    .flat()
    .flatMap((value) => value.split(','))
    .map((name) => name.trim().toLowerCase())
    .filter((name) => name !== '' && name !== 'identity');
  const known = names.every((name) => Object.hasOwn(CODINGS, name));
  return known && names.length <= MOST_CODINGS ? names.reverse() : [];
}

/**
 * @param limit bytes that may come out
 * @returns undefined for what was not encoded like that, or is too long
 */
export async function undoCodings(
  bytes: Buffer,
  codings: readonly string[],
  limit: number,
): Promise<Buffer | undefined> {
  let plain = bytes;
  try {
    for (const name of codings) plain = (await CODINGS[name]?.decode(plain, { maxOutputLength: limit })) ?? plain;
    return plain;
  } catch {
    // Many a registry states the coding of what is inside, and the bytes are right as they are.
    return undefined;
  }
}

/** What comes is not what its coding says. */
export class WrongCoding extends Error {
  override readonly name = 'WrongCoding';
}

/**
 * As `undoCodings`, for what does not fit into memory.
 * @param codings at least one @param pieces each of which is good until the next one is asked for
 * @throws WrongCoding; what `pieces` throw
 */
export async function* undoingCodings(
  pieces: AsyncIterable<Buffer>,
  codings: readonly string[],
): AsyncGenerator<Buffer, void, undefined> {
  const decoders = codings.flatMap((name) => CODINGS[name]?.stream() ?? []);
  const [last] = decoders.slice(-1);
  if (last === undefined) throw new WrongCoding('nothing is to be undone');
  let broken: unknown;
  const copies = async function* () {
    try {
      for await (const piece of pieces) yield Buffer.from(piece);
    } catch (error) {
      broken = error;
      throw error;
    }
  };
  // Whoever reads the last one is told of an error of any.
  pipeline([Readable.from(copies(), { objectMode: false }), ...decoders], () => {});
  try {
    yield* last;
  } catch (error) {
    throw broken ?? new WrongCoding(`what it sends is not ${codings.join(', ')}, as it says`, { cause: error });
  }
}
