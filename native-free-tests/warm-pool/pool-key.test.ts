import { expect, it } from 'vitest';
import { keyOf } from '#src/warm-pool/pool-key.js';
import type { WarmPoolSpec } from '#src/warm-pool/pool-options.js';

const SPEC: WarmPoolSpec = { image: 'app:1', size: 2 };

it('containers are made alike where all is the same that says how they are made', () => {
  const key = keyOf(SPEC);
  expect(key).toMatch(/^[0-9a-f]{64}$/);
  const same: Partial<WarmPoolSpec>[] = [
    { size: { min: 0, max: 9 } },
    { ttl: 1000 },
    { limits: { atATime: 1 } },
    { kind: 'created', frozen: false, launch: {} },
    { kind: undefined, frozen: undefined, launch: undefined },
    { launch: { command: undefined, limits: undefined } },
  ];
  for (const change of same) expect(keyOf({ ...SPEC, ...change }), JSON.stringify(change)).toBe(key);
});

it('containers are made alike in whatever order that is said', () => {
  const one = keyOf({ ...SPEC, launch: { env: { A: '1', B: '2' }, limits: { pids: 9, cpus: 1 } } });
  expect(keyOf({ size: 2, launch: { limits: { cpus: 1, pids: 9 }, env: { B: '2', A: '1' } }, image: 'app:1' })).toBe(
    one,
  );
});

it('containers that differ in anything cannot stand for each other', () => {
  const mount = (target: string) => ({ type: 'bind', source: '/srv', target }) as const;
  const different: Partial<WarmPoolSpec>[] = [
    {},
    { image: 'app:2' },
    { kind: 'generic' },
    { kind: 'generic', frozen: true },
    { kind: 'rootfs' },
    { launch: { command: ['a', 'b'] } },
    { launch: { command: ['b', 'a'] } },
    { launch: { command: ['a b'] } },
    { launch: { entrypoint: ['a', 'b'] } },
    { launch: { env: { A: '1' } } },
    { launch: { env: { A: '' } } },
    { launch: { user: 'alice' } },
    { launch: { network: 'bridge' } },
    { launch: { limits: { pids: 9 } } },
    { launch: { limits: { pids: 10 } } },
    { launch: { mounts: [mount('/a'), mount('/b')] } },
    { launch: { mounts: [mount('/b'), mount('/a')] } },
    { launch: { provision: { backend: 'copy' } } },
  ];
  expect(new Set(different.map((change) => keyOf({ ...SPEC, ...change }))).size).toBe(different.length);
});
