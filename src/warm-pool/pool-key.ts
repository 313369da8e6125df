import { createHash } from 'node:crypto';
import type { WarmPoolSpec } from './pool-options.js';

/**
 * What a warm container was made as: containers with the same key can stand for each other, whichever process made them. Its size, and for how long they wait, are no part of it.
 * @returns 64 hex digits
 */
export function keyOf({ kind = 'created', image, launch = {}, frozen = false }: WarmPoolSpec): string {
  return createHash('sha256')
    .update(JSON.stringify(ordered({ kind, image, launch, frozen })))
    .digest('hex');
}

/** The same whichever order its names were said in, and whether what is not said is left out or undefined. */
function ordered(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(ordered);
  if (typeof value !== 'object' || value === null) return value;
  const entries = Object.entries(value).filter(([, one]) => one !== undefined);
  return Object.fromEntries(
    entries.sort(([one], [other]) => (one < other ? -1 : 1)).map(([name, one]) => [name, ordered(one)]),
  );
}
