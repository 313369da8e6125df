import type { MessagePort } from 'node:worker_threads';
import { ownCopy } from '../system/compression/own-copy.js';
import { packError, unpackError } from './error-transport.js';

/**
 * A stream that goes from one thread to another, a piece whenever the other asks:
 *
 *   thread ── 'more' ──► sender ── a piece, the end, or an error ──► thread …
 */
type Answer =
  | { readonly type: 'piece'; readonly bytes: Uint8Array }
  | { readonly type: 'end' }
  | { readonly type: 'failed'; readonly error: unknown };

/**
 * Sends pieces through a port. Resolves when that is closed, and has told their source then that no more are wanted.
 * @param areOurs nobody uses a piece after the next one has been asked for. Default: false, and each is copied
 */
export async function sendThrough(pieces: AsyncIterable<unknown>, port: MessagePort, areOurs = false): Promise<void> {
  const iterator = pieces[Symbol.asyncIterator]();
  let asked: Promise<void> = Promise.resolve();
  await new Promise<void>((resolve) => {
    port.once('close', resolve);
    port.on('message', () => {
      asked = nextAnswer(iterator, areOurs).then((answer) => {
        port.postMessage(answer, answer.type === 'piece' ? [answer.bytes.buffer as ArrayBuffer] : []);
      });
    });
  });
  await asked;
  await iterator.return?.();
}

async function nextAnswer(pieces: AsyncIterator<unknown>, areOurs: boolean): Promise<Answer> {
  try {
    const { done, value } = await pieces.next();
    if (done) return { type: 'end' };
    if (areOurs) return { type: 'piece', bytes: asOwn(value as Buffer) };
    return { type: 'piece', bytes: ownCopy(Buffer.from(value as Buffer | string)) };
  } catch (error) {
    return { type: 'failed', error: packError(error) };
  }
}

/** Only memory that holds nothing else can be handed over. */
function asOwn(bytes: Buffer): Buffer {
  return bytes.byteLength === bytes.buffer.byteLength ? bytes : ownCopy(bytes);
}

/** Asks for one piece after the other. Once the port is closed nobody answers, whether somebody waits just then or asks afterwards. */
class Asker {
  readonly #port: MessagePort;
  #isClosed = false;
  #waiting: { readonly resolve: (answer: Answer) => void; readonly reject: (error: Error) => void } | undefined;

  constructor(port: MessagePort) {
    this.#port = port;
    port.on('message', (answer: Answer) => this.#waiting?.resolve(answer));
    port.once('close', () => {
      this.#isClosed = true;
      this.#waiting?.reject(closedError());
    });
  }

  ask(): Promise<Answer> {
    return new Promise((resolve, reject) => {
      if (this.#isClosed) return reject(closedError());
      this.#waiting = { resolve, reject };
      this.#port.postMessage('more');
    });
  }
}

function closedError(): Error {
  return new Error('the stream was closed');
}

/** What the other side sends. @throws what its stream fails with */
export function receiveThrough(port: MessagePort): AsyncGenerator<Buffer, void, undefined> {
  // At once: that the port is closed is told once.
  return piecesOf(new Asker(port), port);
}

async function* piecesOf(asker: Asker, port: MessagePort): AsyncGenerator<Buffer, void, undefined> {
  try {
    for (;;) {
      const answer = await asker.ask();
      if (answer.type === 'end') return;
      if (answer.type === 'failed') throw unpackError(answer.error);
      const { buffer, byteOffset, byteLength } = answer.bytes;
      yield Buffer.from(buffer, byteOffset, byteLength);
    }
  } finally {
    port.close();
  }
}
