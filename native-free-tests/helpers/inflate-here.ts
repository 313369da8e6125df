import { takeFreely } from '#src/system/compression/window-memory.js';
import { type InflateArchive, inflateArchive } from '#src/unpack/inflate-archive.js';
import { readStoredFile } from '#src/unpack/stored-file.js';

/** What a worker thread does with a compressed archive, on this one. */
export const inflateHere: InflateArchive = (from, target, signal) => {
  const stored = from.kind === 'stream' ? from.stream : readStoredFile({ ...from, offset: 0 }, signal);
  return inflateArchive(stored, target, { signal, hasSpareProcessor: () => true, takeMemory: takeFreely });
};
