import { Writable } from 'node:stream';
import { describe, expect, it } from 'vitest';
import { openTerminal } from '#src/containerizer/terminals/open-terminal.js';

/** Takes one piece at a time, as slowly as a program reads. @returns each piece as it was written */
function slowPipe(): { pipe: Writable; pieces: Buffer[] } {
  const pieces: Buffer[] = [];
  const pipe = new Writable({
    write(chunk: Buffer, _, done) {
      pieces.push(chunk);
      setImmediate(done);
    },
    writev(chunks, done) {
      pieces.push(Buffer.concat(chunks.map(({ chunk }) => chunk as Buffer)));
      setImmediate(done);
    },
  });
  return { pipe, pieces };
}

const contentOf = (pieces: readonly Buffer[], kind: string) =>
  Buffer.concat(pieces.filter((piece) => piece.toString('latin1', 0, 1) === kind).map((piece) => piece.subarray(3)));

describe('what is typed at a terminal', () => {
  it('goes in frames, each written in one piece that the kernel mixes with no other', async () => {
    const { pipe, pieces } = slowPipe();
    const { input, resize } = openTerminal(pipe);
    const text = Buffer.from(Array.from({ length: 50_000 }, (_, index) => index % 251));
    const written = new Promise((resolve) => input.write(text, resolve));
    input.write('after');
    resize({ rows: 300, columns: 7 });
    await written;
    await new Promise((resolve) => input.end(resolve));
    for (const piece of pieces) {
      expect(piece.length).toBeLessThanOrEqual(4096);
      expect(piece.readUInt16BE(1)).toBe(piece.length - 3);
    }
    expect(contentOf(pieces, 'i')).toEqual(Buffer.concat([text, Buffer.from('after')]));
    expect(contentOf(pieces, 's')).toEqual(Buffer.of(1, 44, 0, 7));
  });

  it('is told to whoever types that nobody takes it any more', async () => {
    const pipe = new Writable({
      write: (_chunk, _, done) => done(Object.assign(new Error('EPIPE'), { code: 'EPIPE' })),
    });
    const terminal = openTerminal(pipe);
    const failed = new Promise<Error>((resolve) => terminal.input.once('error', resolve));
    terminal.input.write('a');
    expect(await failed).toMatchObject({ code: 'EPIPE' });
    // These say nothing.
    terminal.resize({ rows: 1, columns: 1 });
    terminal.close();
    terminal.close();
  });

  it('has all been written when it is closed', async () => {
    const { pipe, pieces } = slowPipe();
    const { input, close } = openTerminal(pipe);
    input.on('error', () => undefined);
    input.write('one');
    close();
    await new Promise((resolve) => pipe.once('finish', resolve));
    expect(contentOf(pieces, 'i').toString()).toBe('one');
  });
});
