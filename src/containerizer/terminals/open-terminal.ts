import { Writable } from 'node:stream';
import type { TerminalSize } from '../launch-spec.js';

/** Bytes of one frame: the kernel mixes what is written in one piece with nothing else. @see PIPE_BUF in pipe(7) */
const FRAME_MOST = 4096;
const HEAD = 3;

/** The side of a program's terminal on which somebody sits. */
export interface OpenTerminal {
  /** What is typed, as a terminal sends it: control characters mean there what they mean in a terminal. It waits while the program reads nothing. */
  readonly input: Writable;
  /** The program is told with SIGWINCH. Nothing happens to one that has ended. */
  resize(size: TerminalSize): void;
  /** Lets go. The container's own program is not told; what `exec` runs loses its terminal. */
  close(): void;
}

/** @param frames takes them, as `TERMINAL_PROGRAM` reads them; closed by it */
export function openTerminal(frames: Writable): OpenTerminal {
  let before = Promise.resolve();
  /** One after the other, since those that wait would be written together. @throws `EPIPE` when nobody takes them any more */
  const send = (frame: Buffer): Promise<void> => {
    const sent = before.then(
      () =>
        new Promise<void>((resolve, reject) => {
          if (frames.destroyed) reject(gone());
          else frames.write(frame, (error) => (error ? reject(error) : resolve()));
        }),
    );
    before = sent.catch(() => undefined);
    return sent;
  };
  frames.on('error', () => frames.destroy());
  const input = new Writable({
    decodeStrings: true,
    write(bytes: Buffer, _, done) {
      const sent: Promise<void>[] = [];
      for (let at = 0; at < bytes.length; at += FRAME_MOST - HEAD) {
        sent.push(send(frameOf('i', bytes.subarray(at, at + FRAME_MOST - HEAD))));
      }
      Promise.all(sent).then(() => done(), done);
    },
  });
  return {
    input,
    resize({ rows, columns }) {
      const content = Buffer.alloc(4);
      content.writeUInt16BE(rows, 0);
      content.writeUInt16BE(columns, 2);
      send(frameOf('s', content)).catch(() => undefined);
    },
    close() {
      input.destroy();
      void before.then(() => frames.end());
    },
  };
}

function frameOf(kind: 'i' | 's', content: Buffer): Buffer {
  const head = Buffer.alloc(HEAD);
  head.write(kind, 'latin1');
  head.writeUInt16BE(content.length, 1);
  return Buffer.concat([head, content]);
}

function gone(): Error {
  return Object.assign(new Error('EPIPE: the terminal is gone'), { code: 'EPIPE', syscall: 'write' });
}
