import type { LaunchLimits } from '../../../containerizer/index.js';
import { parseMemory } from '../../output/parse-units.js';
import { UsageError } from '../../usage-error.js';

/** What Docker calls it, and podman's storage. */
const SIZE = /^(?:overlay2?\.)?size=(.*)$/;

/** Of `--storage-opt`; of several that say it the last counts. @throws UsageError */
export function spaceOf(words: readonly string[]): Pick<LaunchLimits, 'diskBytes'> {
  const sizes = words.map((word) => {
    const [, size] = SIZE.exec(word) ?? [];
    if (size !== undefined) return parseMemory(size, '--storage-opt size');
    throw new UsageError(
      `--storage-opt: unknown word ${JSON.stringify(word)}`,
      'there is: size=SIZE, such as size=10g',
    );
  });
  const diskBytes = sizes.at(-1);
  return diskBytes === undefined ? {} : { diskBytes };
}
