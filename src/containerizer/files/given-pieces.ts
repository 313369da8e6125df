import { Readable } from 'node:stream';
import { ProvisionerError } from '../../base/errors.js';
import { givenError } from './files-errors.js';

/**
 * What a caller hands over in pieces. To be called at once: a stream may fail before it is read, and a failure that nobody listens for ends the process. It is not lost, whoever reads is told.
 * @param what it is, for messages: `the archive` @param texts whether there may be texts among them, which become UTF-8
 * @returns what throws `ERR_FILE_NOT_FOUND`, `ERR_PERMISSION` or `ERR_IO` for what fails while it is read, `ERR_BAD_OPTION` for pieces of another kind
 */
export function givenPieces(
  given: AsyncIterable<unknown>,
  what: string,
  { texts }: { readonly texts: boolean },
): AsyncIterable<Uint8Array> {
  if (given instanceof Readable) given.on('error', () => undefined);
  return bytesOf(given, what, texts);
}

async function* bytesOf(
  given: AsyncIterable<unknown>,
  what: string,
  texts: boolean,
): AsyncGenerator<Uint8Array, void, undefined> {
  const pieces = given[Symbol.asyncIterator]();
  let isOver = false;
  try {
    for (;;) {
      let next: IteratorResult<unknown>;
      try {
        next = await pieces.next();
      } catch (error) {
        isOver = true;
        throw givenError(error, what);
      }
      isOver = next.done === true;
      if (next.done === true) return;
      yield pieceOf(next.value, what, texts);
    }
  } finally {
    if (!isOver) await pieces.return?.();
  }
}

function pieceOf(piece: unknown, what: string, texts: boolean): Uint8Array {
  if (piece instanceof Uint8Array) return piece;
  if (texts && typeof piece === 'string') return Buffer.from(piece);
  throw new ProvisionerError(
    'ERR_BAD_OPTION',
    `${what} that was given has a piece that is ${piece === null ? 'null' : `a ${typeof piece}`}: there must be bytes${texts ? ' or texts' : ''}`,
    { hint: 'hand over a stream of bytes, or an async iterable of Buffer or Uint8Array', details: {} },
  );
}
