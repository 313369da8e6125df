import { describe, expect, it } from 'vitest';
import { InProcessLifeLocks, LazyLifeLocks } from '#src/system/locks/life-locks.js';
import { lifeOf, makerOf, PROBE, pidOf, transientName } from '#src/system/locks/process-identity.js';
import { describeLiveness } from '../../contracts/liveness.js';

describeLiveness('what one process knows of itself', () => new InProcessLifeLocks());
describeLiveness('locks that are chosen when they are needed', () => new LazyLifeLocks(() => new InProcessLifeLocks()));

describe('an identity', () => {
  const identity = `${'0123456789abcdef'.repeat(2)}.4711`;

  it('tells which life it belongs to, and the pid for people to read', () => {
    expect([lifeOf(identity), pidOf(identity)]).toEqual(['0123456789abcdef'.repeat(2), 4711]);
    expect([lifeOf('4711:1:boot:abc'), pidOf('4711:1:boot:abc')]).toEqual([undefined, 0]);
  });

  it('begins the names of what is made for a moment, and is found in them again', () => {
    const name = `${transientName(PROBE, identity)}a-B_c`;
    expect(makerOf(name, PROBE)).toBe(identity);
    for (const other of ['0', 'probe_', 'probe_x-y', `other_${identity}-abc`, identity, `${PROBE}_${identity}`]) {
      expect(makerOf(other, PROBE)).toBeUndefined();
    }
  });
});
