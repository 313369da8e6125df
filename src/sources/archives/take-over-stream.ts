import { Readable } from 'node:stream';

/**
 * Makes a caller's stream ours, at once: it may fail while nobody reads it, before its turn has come or between two steps, and a failure that nobody listens for ends
 * the process. It is not lost: a stream keeps it, and whoever reads on is told.
 * @param stream of Node, or of a library that has streams of its own, which then flows into one of Node's
 */
export function takeOverStream(stream: Readable): Readable {
  const ours = stream instanceof Readable ? stream : new Readable().wrap(stream);
  return ours.on('error', () => {});
}
