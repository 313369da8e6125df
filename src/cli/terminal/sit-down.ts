import type { OpenTerminal } from '../../containerizer/index.js';
import type { HostProcess } from '../host-process.js';
import { writeBytes } from '../running/follow-output.js';
import { DetachKeys, parseDetachKeys } from './detach-keys.js';

/** What a terminal sends for "no more to read". @see termios(3), VEOF */
const END_OF_INPUT = 4;
/** Ctrl-C, Ctrl-Z and Ctrl-\. @see termios(3), VINTR, VSUSP, VQUIT */
const INTERRUPTING: readonly number[] = [0x03, 0x1a, 0x1c];
/** Bytes that a program has not taken, with which no more is read: until then the keys that leave it are seen. */
const TYPED_AHEAD = 16 * 2 ** 20;

export interface Sitting {
  readonly terminal: OpenTerminal;
  /** What the program prints. */
  readonly output: AsyncIterable<Uint8Array>;
  /** What comes here is typed there. */
  readonly isTyping: boolean;
  /** It has the size of this terminal. */
  readonly isSized: boolean;
  /** The end of what is piped in is the end of what the program reads. */
  readonly endsInput: boolean;
  /** As `parseDetachKeys` has them. */
  readonly detachKeys: string;
  /** Aborts when this process is to end; the program goes on. */
  readonly signal: AbortSignal;
}

/** How it came to an end: the program has ended, or closed its terminal; the keys for it were typed; this process is to end. */
export type Left = 'over' | 'detached' | 'interrupted';

/**
 * Has the terminal of this process be that of a program: each key goes there, each byte comes from there, and it has the same size. However it ends, the terminal of this process is as it was.
 * @throws OutputClosed when nobody reads what is printed any more
 */
export async function sitDown(sitting: Sitting, host: HostProcess): Promise<Left> {
  const { terminal, output, isTyping, endsInput, detachKeys, signal } = sitting;
  const keys = new DetachKeys(parseDetachKeys(detachKeys));
  const undo: (() => void)[] = [];
  const left = new Promise<Left>((resolve) => {
    const leave = () => resolve('interrupted');
    signal.addEventListener('abort', leave, { once: true });
    undo.push(() => signal.removeEventListener('abort', leave));
    if (signal.aborted) leave();
    if (isTyping) undo.push(type(terminal, host, keys, endsInput, () => resolve('detached')));
  });
  const entries = output[Symbol.asyncIterator]();
  try {
    undo.push(...(await takeOver(sitting, host)));
    const printed = print(entries, host);
    // Whoever has left hears of nothing any more.
    printed.catch(() => undefined);
    return await Promise.race([printed, left]);
  } finally {
    for (const step of undo.reverse()) step();
    terminal.close();
    void Promise.resolve(entries.return?.()).catch(() => undefined);
  }
}

/** @returns what gives it back */
async function takeOver({ terminal, isTyping, isSized }: Sitting, host: HostProcess): Promise<(() => void)[]> {
  const own = host.terminal;
  if (own === undefined) return [];
  const resize = () => {
    const size = own.size();
    if (size !== undefined) terminal.resize(size);
  };
  const undo: (() => void)[] = [];
  if (isSized) {
    undo.push(own.onResize(resize));
    // It may have changed since the program was told.
    resize();
  }
  if (isTyping) undo.push(await own.makeRaw());
  return undo;
}

async function print(entries: AsyncIterator<Uint8Array>, host: HostProcess): Promise<'over'> {
  for (let next = await entries.next(); next.done !== true; next = await entries.next()) {
    await writeBytes(host.stdout, next.value);
  }
  return 'over';
}

/** @returns ends it */
function type(
  terminal: OpenTerminal,
  { stdin }: HostProcess,
  keys: DetachKeys,
  endsInput: boolean,
  leave: () => void,
): () => void {
  const from = stdin();
  const { input } = terminal;
  let last: number | undefined;
  const take = (chunk: Buffer) => {
    const { bytes, isLeft } = keys.take(Buffer.from(chunk));
    last = bytes.at(-1) ?? last;
    if (bytes.length > 0) input.write(bytes);
    // Whoever interrupts a flood does not want to see the rest of it.
    if (from.isTTY === true && bytes.some((byte) => INTERRUPTING.includes(byte))) terminal.passOver();
    if (input.writableLength > TYPED_AHEAD) {
      from.pause();
      input.once('drain', () => from.resume());
    }
    if (isLeft) leave();
  };
  const end = () => {
    // A terminal that is read key by key ends when it is gone: that is no end of what is typed.
    if (from.isTTY === true || !endsInput) return;
    // In the middle of a line the first one says that the line is to be read as it is.
    const isLine = last === undefined || last === 0x0a || last === 0x0d;
    input.write(Buffer.alloc(isLine ? 1 : 2, END_OF_INPUT));
  };
  // The program may have ended, or this terminal be gone: that shows elsewhere.
  input.on('error', () => from.pause());
  from.on('error', () => undefined);
  from.on('data', take).once('end', end);
  return () => {
    from.off('data', take).off('end', end);
    // Nothing of what is typed from now on is for us.
    from.pause();
    from.destroy();
  };
}
