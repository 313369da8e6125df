import { koffi } from '../../koffi.js';
import type { FrameInflater, Zstd } from './zstd.js';

/** The number is that of the binary interface. */
const LIBRARY = 'libzstd.so.1';

/** `ZSTD_inBuffer` and `ZSTD_outBuffer` alike: where it begins, its size, and the position that has been reached. In words of 8 bytes. */
const ADDRESS = 0;
const SIZE = 1;
const POSITION = 2;
/** The decoder's own buffers have at least room for one block. @see RFC 8878, 3.1.1.2.4 */
const BLOCK_MAX = 128 * 1024;

if (koffi.sizeof('size_t') !== 8) throw new Error('libzstd is used on 64-bit machines only');
const library = loadLibrary();
const isError = library.func('unsigned int ZSTD_isError(size_t)') as (result: Result) => number;
const getErrorName = library.func('const char *ZSTD_getErrorName(size_t)') as (result: Result) => string;
const estimateSize = library.func('size_t ZSTD_estimateDStreamSize(size_t)') as (window: number) => Result;
const initStatic = library.func('void *ZSTD_initStaticDStream(void *, size_t)') as (
  memory: Uint8Array,
  bytes: number,
) => unknown;
const decompressStream = library.func('size_t ZSTD_decompressStream(void *, void *, void *)');
const inflateNow = decompressStream as unknown as (
  state: Uint8Array,
  output: BigUint64Array,
  input: BigUint64Array,
) => Result;
const inflateAside = decompressStream.async as unknown as (
  state: Uint8Array,
  output: BigUint64Array,
  input: BigUint64Array,
  done: (error: Error | null, result: Result) => void,
) => void;

/** `size_t`: koffi gives a bigint where a number would not be exact, which only errors are. */
type Result = number | bigint;

/** Node has them since version 20, the compiler's list of what there is since a later one. */
interface ResizableBuffer extends ArrayBuffer {
  resize(bytes: number): void;
}
const ResizableBuffer = ArrayBuffer as unknown as new (
  bytes: number,
  options: { readonly maxByteLength: number },
) => ResizableBuffer;

/** Of `provisioner ` forty times, as `zstd -19 --check` has it: with its size and a checksum. */
const TRIAL_TEXT = 'provisioner '.repeat(40);
const TRIAL_FRAME = '28b52ffd64e0009d00006070726f766973696f6e6572200100d1574b12a7ba7260';

const NOTHING: Buffer = Buffer.alloc(0);

export class NativeZstd implements Zstd {
  /** @throws Error when the library does not do here what it should */
  constructor() {
    tryOut();
  }

  frameInflater(window: number): FrameInflater {
    return new NativeFrameInflater(window);
  }
}

/**
 * All that the library needs lies in memory of ours: it goes when we say so, and with the thread if that is ended at work. What is not used of a window
 * takes no memory.
 */
class NativeFrameInflater implements FrameInflater {
  readonly window: number;
  readonly #memory: ResizableBuffer;
  readonly #state: Uint8Array;
  readonly #in = new BigUint64Array(3);
  readonly #out = new BigUint64Array(3);
  #frameEnded = true;
  /** Kept as long as the library has its address. */
  #input = NOTHING;

  constructor(window: number) {
    this.window = Math.max(window, BLOCK_MAX);
    const bytes = Number(checked(estimateSize(this.window)));
    this.#memory = new ResizableBuffer(bytes, { maxByteLength: bytes });
    this.#state = new Uint8Array(this.#memory);
    if (initStatic(this.#state, bytes) === null) throw new Error(`${LIBRARY} does not take the memory it asked for`);
  }

  feed(input: Buffer): void {
    this.#input = input;
    this.#in[ADDRESS] = addressOf(input);
    this.#in[SIZE] = BigInt(input.length);
    this.#in[POSITION] = 0n;
    this.#frameEnded = false;
  }

  async inflate(output: Buffer): Promise<number> {
    this.#receive(output);
    const result = await new Promise<Result>((resolve, reject) => {
      inflateAside(this.#state, this.#out, this.#in, (error, value) => (error ? reject(error) : resolve(value)));
    });
    return this.#written(result);
  }

  inflateHere(output: Buffer): number {
    this.#receive(output);
    return this.#written(inflateNow(this.#state, this.#out, this.#in));
  }

  get frameEnded(): boolean {
    return this.#frameEnded;
  }

  close(): void {
    this.#memory.resize(0);
  }

  #receive(output: Buffer): void {
    this.#out[ADDRESS] = addressOf(output);
    this.#out[SIZE] = BigInt(output.length);
    this.#out[POSITION] = 0n;
  }

  #written(result: Result): number {
    // Zero: the frame has ended, and all of it has been handed out.
    this.#frameEnded = checked(result) === 0;
    if (this.#frameEnded && this.#in[POSITION] !== BigInt(this.#input.length))
      throw new Error('data behind the end of a frame');
    return Number(this.#out[POSITION]);
  }
}

function checked(result: Result): Result {
  if (isError(result) !== 0) throw new Error(getErrorName(result));
  return result;
}

function addressOf(bytes: Buffer): bigint {
  return bytes.length === 0 ? 0n : BigInt(koffi.address(bytes));
}

function loadLibrary(): ReturnType<typeof koffi.load> {
  try {
    return koffi.load(LIBRARY);
  } catch (cause) {
    throw new Error(`${LIBRARY} cannot be loaded (Debian: libzstd1)`, { cause });
  }
}

/** Two frames in pieces, and a damaged one: a library that is laid out in another way, or broken on this processor, is found out here. */
function tryOut(): void {
  const inflater = new NativeFrameInflater(BLOCK_MAX);
  const output = Buffer.alloc(1024);
  const inflated = (...pieces: readonly Buffer[]): string => {
    let length = 0;
    for (const piece of pieces) {
      inflater.feed(piece);
      length += inflater.inflateHere(output.subarray(length));
    }
    return inflater.frameEnded ? output.toString('latin1', 0, length) : '';
  };
  try {
    const frame = Buffer.from(TRIAL_FRAME, 'hex');
    if (inflated(frame.subarray(0, 9), frame.subarray(9)) !== TRIAL_TEXT || inflated(frame) !== TRIAL_TEXT)
      throw new Error(`${LIBRARY} does not inflate as it should`);
    frame[frame.length - 1] = (frame[frame.length - 1] as number) ^ 1;
    if (!refuses(() => inflated(frame))) throw new Error(`${LIBRARY} does not check what it inflates`);
  } finally {
    inflater.close();
  }
}

function refuses(attempt: () => unknown): boolean {
  try {
    attempt();
    return false;
  } catch {
    return true;
  }
}
