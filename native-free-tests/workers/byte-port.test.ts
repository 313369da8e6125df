import { PassThrough, Readable } from 'node:stream';
import { MessageChannel } from 'node:worker_threads';
import { expect, it } from 'vitest';
import { receiveThrough, sendThrough } from '#src/workers/byte-port.js';

function through(stream: Readable) {
  const { port1, port2 } = new MessageChannel();
  sendThrough(stream, port1);
  return { received: receiveThrough(port2), close: () => port1.close() };
}

async function textOf(pieces: AsyncIterable<Buffer>): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const piece of pieces) chunks.push(piece);
  return Buffer.concat(chunks).toString();
}

it('a stream goes through a port piece by piece, whatever its pieces are cut from', async () => {
  const pooled = Buffer.from('..one two three..');
  const stream = Readable.from([pooled.subarray(2, 6), pooled.subarray(6, 10), 'three']);
  expect(await textOf(through(stream).received)).toBe('one two three');
});

it('a piece is read when it is asked for, and not before', async () => {
  let read = 0;
  const stream = new Readable({
    highWaterMark: 1,
    read() {
      read++;
      this.push(read > 50 ? null : Buffer.alloc(1000));
    },
  });
  const { received, close } = through(stream);
  await received.next();
  await received.next();
  await new Promise((resolve) => setTimeout(resolve, 30));
  expect(read).toBeLessThan(10);
  close();
});

it('an error of the stream arrives with its code', async () => {
  const stream = new PassThrough();
  // Nobody has to listen just then.
  stream.on('error', () => {});
  stream.write('some');
  setTimeout(() => stream.destroy(Object.assign(new Error('the pipe broke'), { code: 'EPIPE' })), 10);
  await expect(textOf(through(stream).received)).rejects.toMatchObject({ message: 'the pipe broke', code: 'EPIPE' });
});

it('who waits for a piece hears when the sender gives up', async () => {
  const { received, close } = through(new PassThrough());
  const waiting = textOf(received);
  setTimeout(close, 10);
  await expect(waiting).rejects.toThrow('closed');
});

it('who asks for a piece after the sender has given up hears so as well', async () => {
  const { received, close } = through(Readable.from([Buffer.from('one'), Buffer.from('two')]));
  await received.next();
  close();
  await new Promise((resolve) => setTimeout(resolve, 20));
  await expect(received.next()).rejects.toThrow('closed');
});
