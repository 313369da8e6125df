import { Writable } from 'node:stream';
import type { TerminalSize } from '../launch-spec.js';

/** Bytes that the kernel mixes with nothing else when they are written in one piece. @see PIPE_BUF in pipe(7) */
const PIECE = 4096;

/** The side of a program's terminal on which somebody sits. */
export interface OpenTerminal {
  /** What is typed, as a terminal sends it: control characters mean there what they mean in a terminal. It waits while the program reads nothing. */
  readonly input: Writable;
  /** The program is told with SIGWINCH, also while it reads nothing. Nothing happens to one that has ended. */
  resize(size: TerminalSize): void;
  /** Lets go at once; what the program has not taken is lost. A container's own program is not told; what `exec` runs is hung up. */
  close(): void;
}

/** @param typed and @param sizes take what `TERMINAL_PROGRAM` reads; closed by it */
export function openTerminal(typed: Writable, sizes: Writable): OpenTerminal {
  for (const pipe of [typed, sizes]) pipe.on('error', () => pipe.destroy());
  const input = new Writable({
    decodeStrings: true,
    write(bytes: Buffer, _, done) {
      void writeInPieces(typed, bytes).then(() => done(), done);
    },
    final(done) {
      typed.end(() => done());
    },
    destroy(error, done) {
      typed.destroy();
      done(error);
    },
  });
  return {
    input,
    resize({ rows, columns }) {
      const size = Buffer.alloc(4);
      size.writeUInt16BE(rows, 0);
      size.writeUInt16BE(columns, 2);
      if (!sizes.destroyed) sizes.write(size);
    },
    close() {
      input.destroy();
      sizes.end();
    },
  };
}

/** One after the other, since those that wait would be written together. @throws `EPIPE` when nobody takes them any more */
async function writeInPieces(pipe: Writable, bytes: Buffer): Promise<void> {
  for (let at = 0; at < bytes.length; at += PIECE) {
    await new Promise<void>((resolve, reject) => {
      if (pipe.destroyed) return reject(gone());
      pipe.write(bytes.subarray(at, at + PIECE), (error) => (error ? reject(error) : resolve()));
    });
  }
}

function gone(): Error {
  return Object.assign(new Error('EPIPE: the terminal is gone'), { code: 'EPIPE', syscall: 'write' });
}
