import { orAborted } from '../../system/locks/or-aborted.js';

/** What comes, until the caller gives up: whoever writes may never go on. */
export async function* untilAborted<T>(
  source: AsyncIterable<T>,
  signal: AbortSignal | undefined,
): AsyncGenerator<T, void, undefined> {
  const iterator = source[Symbol.asyncIterator]();
  let isOver = false;
  try {
    for (;;) {
      const { done, value } = await orAborted(iterator.next(), signal);
      isOver = done === true;
      if (done === true) return;
      yield value;
    }
  } finally {
    // Not waited for: it may be waiting itself.
    if (!isOver) void Promise.resolve(iterator.return?.()).catch(() => undefined);
  }
}
