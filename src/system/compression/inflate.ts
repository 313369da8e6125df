import type { Transform } from 'node:stream';
import { isProvisionerError, type ProvisionerError } from '../../base/errors.js';
import { malformed, truncated } from '../../base/malformed.js';

/** Pieces of a stored layer, or of the tar in it: each is good until the next one is asked for. */
export type Chunks = AsyncIterable<Buffer>;

/**
 * Drives a transform: feeds it on one side, and hands on what comes out at the other at the pace of the reader. What the input has beyond
 * the transform's own end, such as the zeros that may pad gzip data, is read as well, because it counts for the digest.
 */
export async function* through(
  transform: Transform,
  input: Chunks,
  compression: string,
): AsyncGenerator<Buffer, void, undefined> {
  const stop = new AbortController();
  let ended = false;
  let inputError: { readonly cause: unknown } | undefined;
  // The transform's own errors come by way of its output.
  const inputOf = async function* (): AsyncGenerator<Buffer, void, undefined> {
    try {
      yield* input;
    } catch (cause) {
      inputError = { cause };
      throw cause;
    }
  };
  const feeding = (async () => {
    try {
      for await (const chunk of inputOf()) {
        if (ended) continue;
        if (stop.signal.aborted) return;
        await write(transform, chunk, stop.signal);
      }
      transform.end();
    } catch (error) {
      transform.destroy(error as Error);
    }
  })();
  try {
    for await (const chunk of transform) yield chunk as Buffer;
    ended = true;
    stop.abort();
    await feeding;
  } catch (error) {
    if (inputError === undefined) throw inflateError(error, compression);
  } finally {
    stop.abort();
    transform.destroy();
    await feeding;
  }
  if (inputError !== undefined) throw inputError.cause;
}

/** Waits until a transform has taken all of a piece, or nobody wants what it makes. */
async function write(transform: Transform, chunk: Buffer, stop: AbortSignal): Promise<void> {
  await new Promise<void>((resolve) => {
    // An error comes by way of the output. One that has ended, by itself, calls nobody back.
    const done = () => {
      stop.removeEventListener('abort', done);
      resolve();
    };
    stop.addEventListener('abort', done);
    transform.write(chunk, done);
  });
}

/** What went wrong with data that does not inflate, in words that speak of layers. */
export function inflateError(error: unknown, compression: string): ProvisionerError {
  if (isProvisionerError(error)) return error;
  const code = (error as NodeJS.ErrnoException).code;
  if (code === 'Z_BUF_ERROR') return truncated(`its ${compression} data ends too early`);
  return malformed(`its ${compression} data is damaged`, error);
}
