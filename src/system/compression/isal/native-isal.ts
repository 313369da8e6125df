import { gzipSync } from 'node:zlib';
import { koffi } from '../../koffi.js';
import type { GzipInflater, Isal } from './isal.js';

/** The number is that of the binary interface: another one may have another state. */
const LIBRARY = 'libisal.so.2';

/** `struct inflate_state`, the same in all releases of this interface. @see igzip_lib.h of ISA-L 2.30 */
const InflateState = koffi.struct({
  next_out: 'void *',
  avail_out: 'uint32',
  total_out: 'uint32',
  next_in: 'void *',
  read_in: 'uint64',
  avail_in: 'uint32',
  read_in_length: 'int32',
  lit_short_codes: koffi.array('uint32', 4096),
  lit_long_codes: koffi.array('uint16', 1264),
  dist_short_codes: koffi.array('uint16', 1024),
  dist_long_codes: koffi.array('uint16', 80),
  block_state: 'uint32',
  dict_length: 'uint32',
  bfinal: 'uint32',
  crc_flag: 'uint32',
  crc: 'uint32',
  hist_bits: 'uint32',
  count: 'int32',
  write_overflow_lits: 'int32',
  write_overflow_len: 'int32',
  copy_overflow_length: 'int32',
  copy_overflow_distance: 'int32',
  wrapper_flag: 'int16',
  tmp_in_size: 'int16',
  tmp_out_valid: 'int32',
  tmp_out_processed: 'int32',
  tmp_in_buffer: koffi.array('uint8', 328),
  tmp_out_buffer: koffi.array('uint8', 2 * 32768 + 288),
});
/** `struct isal_gzip_header`: what has been read of a member's header so far. */
const GzipHeader = koffi.struct({
  text: 'uint32',
  time: 'uint32',
  xflags: 'uint32',
  os: 'uint32',
  extra: 'void *',
  extra_buf_len: 'uint32',
  extra_len: 'uint32',
  name: 'void *',
  name_buf_len: 'uint32',
  comment: 'void *',
  comment_buf_len: 'uint32',
  hcrc: 'uint32',
  flags: 'uint32',
});
const offsetOf = (field: string): number => koffi.offsetof(InflateState, field);
/** In words of 4 bytes, and the pointers in words of 8. */
const AVAIL_OUT = offsetOf('avail_out') / 4;
const AVAIL_IN = offsetOf('avail_in') / 4;
const BLOCK_STATE = offsetOf('block_state') / 4;
const CRC_FLAG = offsetOf('crc_flag') / 4;
const NEXT_OUT = offsetOf('next_out') / 8;
const NEXT_IN = offsetOf('next_in') / 8;
const STATE_BYTES = koffi.sizeof(InflateState);

/** `enum isal_block_state`: the data has ended, all of it has been handed out, and the checksum was right. */
const BLOCK_FINISH = 5;
/** The trailer is read and checked; the header as well, but has been read by then. */
const ISAL_GZIP = 1;
const FAULTS: Readonly<Record<number, string>> = {
  [-1]: 'invalid block',
  [-2]: 'invalid symbol',
  [-3]: 'reference to data before the beginning',
  [-4]: 'invalid header',
  [-5]: 'unknown compression method',
  [-6]: 'wrong checksum or length',
};

const library = loadLibrary();
const isalInflateInit = library.func('void isal_inflate_init(void *)') as (state: Uint8Array) => void;
const isalInflateReset = library.func('void isal_inflate_reset(void *)') as (state: Uint8Array) => void;
const isalGzipHeaderInit = library.func('void isal_gzip_header_init(void *)') as (header: Uint8Array) => void;
const isalReadGzipHeader = library.func('int isal_read_gzip_header(void *, void *)') as (
  state: Uint8Array,
  header: Uint8Array,
) => number;
const isalInflate = library.func('int isal_inflate(void *)');
const inflateNow = isalInflate as unknown as (state: Uint8Array) => number;
const inflateAside = isalInflate.async as unknown as (
  state: Uint8Array,
  done: (error: Error | null, outcome: number) => void,
) => void;

const crc32GzipRefl = library.func('uint32 crc32_gzip_refl(uint32, const void *, uint64)') as (
  crc: number,
  bytes: Uint8Array,
  length: number,
) => number;

const NOTHING: Buffer = Buffer.alloc(0);

export class NativeIsal implements Isal {
  /** @throws Error when the library does not do here what it should */
  constructor() {
    tryOut();
  }

  gzipInflater(): GzipInflater {
    return new NativeGzipInflater();
  }

  readonly crc32 = (bytes: Uint8Array, crc: number): number => crc32GzipRefl(crc, bytes, bytes.length);
}

class NativeGzipInflater implements GzipInflater {
  // On a boundary of 8 bytes, which an array buffer of its own has.
  readonly #state = new Uint8Array(STATE_BYTES);
  readonly #words = new Uint32Array(this.#state.buffer, 0, STATE_BYTES >> 2);
  readonly #pointers = new BigUint64Array(this.#state.buffer, 0, STATE_BYTES >> 3);
  readonly #header = new Uint8Array(koffi.sizeof(GzipHeader));
  #headerEnded = false;
  /** Kept as long as the library has its address. */
  #input = NOTHING;
  #output = NOTHING;

  constructor() {
    isalInflateInit(this.#state);
    this.#beginMember();
  }

  feed(input: Buffer): void {
    this.#input = input;
    this.#pointers[NEXT_IN] = addressOf(input);
    this.#words[AVAIL_IN] = input.length;
  }

  async inflate(output: Buffer): Promise<number> {
    if (!this.#readHeader()) return 0;
    this.#receive(output);
    const outcome = await new Promise<number>((resolve, reject) => {
      inflateAside(this.#state, (error, value) => (error ? reject(error) : resolve(value)));
    });
    return this.#written(outcome);
  }

  inflateHere(output: Buffer): number {
    if (!this.#readHeader()) return 0;
    this.#receive(output);
    return this.#written(inflateNow(this.#state));
  }

  get next(): number | undefined {
    return this.#input[this.#input.length - (this.#words[AVAIL_IN] as number)];
  }

  get memberEnded(): boolean {
    return this.#words[BLOCK_STATE] === BLOCK_FINISH;
  }

  nextMember(): void {
    isalInflateReset(this.#state);
    this.#beginMember();
  }

  #beginMember(): void {
    this.#words[CRC_FLAG] = ISAL_GZIP;
    isalGzipHeaderInit(this.#header);
    this.#headerEnded = false;
  }

  /** Left to itself, the library forgets between two calls which fields the header has. @returns false when it wants more input */
  #readHeader(): boolean {
    if (!this.#headerEnded) this.#headerEnded = check(isalReadGzipHeader(this.#state, this.#header)) === 0;
    return this.#headerEnded;
  }

  #receive(output: Buffer): void {
    this.#output = output;
    this.#pointers[NEXT_OUT] = addressOf(output);
    this.#words[AVAIL_OUT] = output.length;
  }

  #written(outcome: number): number {
    check(outcome);
    return this.#output.length - (this.#words[AVAIL_OUT] as number);
  }
}

function check(outcome: number): number {
  if (outcome < 0) throw new Error(FAULTS[outcome] ?? `error ${outcome}`);
  return outcome;
}

function addressOf(bytes: Buffer): bigint {
  return bytes.length === 0 ? 0n : BigInt(koffi.address(bytes));
}

function loadLibrary(): ReturnType<typeof koffi.load> {
  try {
    return koffi.load(LIBRARY);
  } catch (cause) {
    throw new Error(`${LIBRARY} cannot be loaded (Debian: libisal2)`, { cause });
  }
}

/**
 * Two members and what follows them, in pieces: a library whose state is laid out in another way, or that is broken on this processor, is found out here and not
 * with somebody's layer.
 */
function tryOut(): void {
  const TAIL = 0x42;
  const texts = ['provisioner '.repeat(200), 'second member'];
  const data = Buffer.concat([...texts.map((text) => gzipSync(text)), Buffer.of(TAIL)]);
  const inflater = new NativeGzipInflater();
  const output = Buffer.alloc(4096);
  const found = texts.map((_, index) => {
    if (index > 0) inflater.nextMember();
    let length = 0;
    if (index === 0) {
      inflater.feed(data.subarray(0, 20));
      length += inflater.inflateHere(output);
      if (inflater.next !== undefined || inflater.memberEnded) return '';
      inflater.feed(data.subarray(20));
    }
    length += inflater.inflateHere(output.subarray(length));
    return inflater.memberEnded ? output.toString('latin1', 0, length) : '';
  });
  if (found.some((text, index) => text !== texts[index]) || inflater.next !== TAIL) {
    throw new Error(`${LIBRARY} does not inflate as it should`);
  }
}
