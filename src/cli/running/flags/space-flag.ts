import type { LaunchLimits } from '../../../containerizer/index.js';
import { parseMemory } from '../../output/parse-units.js';
import { UsageError } from '../../usage-error.js';

/** What Docker calls it, and podman's storage. */
const SIZE = /^(?:overlay2?\.)?size=(.*)$/;
const ON = /^on=(.*)$/;

/** Of `--storage-opt`, with one word or several; of several that say the same the last counts. @throws UsageError */
export function spaceOf(words: readonly string[]): Pick<LaunchLimits, 'diskBytes' | 'diskOn'> {
  let diskBytes: number | undefined;
  let diskOn: LaunchLimits['diskOn'];
  for (const word of words.flatMap((text) => text.split(','))) {
    const [, size] = SIZE.exec(word) ?? [];
    const [, on] = ON.exec(word) ?? [];
    if (size !== undefined) diskBytes = parseMemory(size, '--storage-opt size');
    else if (on === 'disk' || on === 'memory') diskOn = on;
    else if (on !== undefined)
      throw new UsageError(`--storage-opt on: neither disk nor memory: ${JSON.stringify(on)}`, 'write on=memory');
    else
      throw new UsageError(
        `--storage-opt: unknown word ${JSON.stringify(word)}`,
        'there is: size=SIZE, such as size=10g; on=disk|memory',
      );
  }
  return { ...(diskBytes !== undefined && { diskBytes }), ...(diskOn !== undefined && { diskOn }) };
}

/** Of a container that is new. @throws UsageError */
export function newSpaceOf(words: readonly string[]): Pick<LaunchLimits, 'diskBytes' | 'diskOn'> {
  const space = spaceOf(words);
  if (space.diskOn === 'memory' && space.diskBytes === undefined) {
    throw new UsageError(
      '--storage-opt on=memory: it is not said how much',
      'write --storage-opt size=1g,on=memory, for instance',
    );
  }
  return space;
}

/** Of one that is there. @throws UsageError */
export function changedSpaceOf(words: readonly string[]): Pick<LaunchLimits, 'diskBytes'> {
  const { diskOn, ...size } = spaceOf(words);
  if (diskOn === undefined) return size;
  throw new UsageError(
    `--storage-opt on=${diskOn}: where what is written goes is chosen with \`run\` and \`create\``,
    'change its size alone, or destroy the container and run it anew',
  );
}
