import { Socket } from 'node:net';
import type { Writable } from 'node:stream';

/** What comes out of a pipe; the descriptor belongs to it from now on. No thread waits for it, however long nothing comes. */
export function readPipe(readEnd: number): Socket {
  return new Socket({ fd: readEnd, readable: true, writable: false });
}

/** Puts into a pipe what is written; the descriptor belongs to it from now on. Its reader being gone is an error `EPIPE` of the stream. */
export function writePipe(writeEnd: number): Writable {
  return new Socket({ fd: writeEnd, readable: false, writable: true });
}

/**
 * Resolves when all who hold the other end of a pipe have closed it, or have ended. What comes is passed over.
 * @param readEnd belongs to it from now on
 */
export function pipeClosed(readEnd: number): Promise<void> {
  return new Promise((resolve) => {
    const pipe = readPipe(readEnd);
    // A broken pipe is a closed one.
    pipe.once('error', () => resolve()).once('close', () => resolve());
    pipe.resume();
  });
}
