import { describe, expect, it } from 'vitest';
import { forkedOptions } from '#src/containerizer/launches/beginnings/forks.js';

describe('what a fork is launched with', () => {
  it('is what the other one was, but for what two cannot have at a time', () => {
    const kept = {
      command: ['serve'],
      hostname: 'given',
      leases: { cpus: 1 },
      networkAliases: ['web'],
      remove: true,
      address: '10.0.0.7',
      ports: [
        { containerPort: 80, hostPort: 8080, hostAddress: '127.0.0.1' },
        { containerPort: 53, protocol: 'udp' as const },
      ],
    };
    const { address: _, ...same } = kept;
    expect(forkedOptions(kept, undefined)).toEqual({
      ...same,
      ports: [
        { containerPort: 80, hostAddress: '127.0.0.1' },
        { containerPort: 53, protocol: 'udp' },
      ],
    });
    expect(forkedOptions({ command: ['serve'] }, ['test'])).toEqual({ command: ['test'] });
    expect(forkedOptions({}, undefined)).toEqual({});
  });
});
