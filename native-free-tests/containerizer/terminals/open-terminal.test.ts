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

describe('what is typed at a terminal', () => {
  it('goes in pieces, each of which the kernel mixes with nothing else', async () => {
    const { pipe, pieces } = slowPipe();
    const { input } = openTerminal(pipe, slowPipe().pipe);
    const text = Buffer.from(Array.from({ length: 50_000 }, (_, index) => index % 251));
    input.write(text);
    input.write('after');
    await new Promise((resolve) => input.end(resolve));
    for (const piece of pieces) expect(piece.length).toBeLessThanOrEqual(4096);
    expect(Buffer.concat(pieces)).toEqual(Buffer.concat([text, Buffer.from('after')]));
  });

  it('does not hold up its sizes, nor its end, when nobody reads it', async () => {
    const stuck = new Writable({ write: () => undefined });
    const { pipe: sizes, pieces } = slowPipe();
    const terminal = openTerminal(stuck, sizes);
    terminal.input.write('x');
    terminal.resize({ rows: 300, columns: 7 });
    const finished = new Promise((resolve) => sizes.once('finish', resolve));
    terminal.close();
    await finished;
    expect(Buffer.concat(pieces)).toEqual(Buffer.of(1, 44, 0, 7));
    expect(stuck.destroyed).toBe(true);
  });

  it('is told to whoever types that nobody takes it any more', async () => {
    const broken = () =>
      new Writable({ write: (_chunk, _, done) => done(Object.assign(new Error('EPIPE'), { code: 'EPIPE' })) });
    const terminal = openTerminal(broken(), broken());
    const failed = new Promise<Error>((resolve) => terminal.input.once('error', resolve));
    terminal.input.write('a');
    expect(await failed).toMatchObject({ code: 'EPIPE' });
    // These say nothing.
    terminal.resize({ rows: 1, columns: 1 });
    terminal.resize({ rows: 1, columns: 1 });
    terminal.close();
    terminal.close();
  });
});
