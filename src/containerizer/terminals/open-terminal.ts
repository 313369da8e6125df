import { Writable } from 'node:stream';
import { checkArgument } from '../../base/options/check-options.js';
import { TERMINAL_SIZE } from '../options.js';
import type { OpenTerminal } from './terminal.js';

/** Bytes that the kernel mixes with nothing else when they are written in one piece. @see PIPE_BUF in pipe(7) */
const PIECE = 4096;

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
    resize(size) {
      checkArgument('resize', 'size', TERMINAL_SIZE, size);
      const { rows, columns } = size;
      const frame = Buffer.alloc(4);
      frame.writeUInt16BE(rows, 0);
      frame.writeUInt16BE(columns, 2);
      if (!sizes.destroyed) sizes.write(frame);
    },
    passOver() {},
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
