import { expect, it } from 'vitest';
import { WARM_POOL } from '#src/containerizer/index.js';
import type { Provisioner } from '#src/index.js';
import { forgetDeadKeepers, listPools } from '#src/warm-pool/pool-status.js';
import { openMemoryStore } from '../helpers/memory-store.js';

const BOOT = { bootId: 'boot' };

async function keep(p: Provisioner, name: string, details?: object): Promise<void> {
  const wish = { kind: WARM_POOL, names: [name], ...(details && { details: JSON.stringify(details) }) };
  await p.holdings.take({ ...BOOT, holder: 'somebody' }, [wish]);
}

async function wait(p: Provisioner, id: string, note: object): Promise<void> {
  const details = JSON.stringify({ pool: 'web', owner: 'one', kind: 'created', key: 'key', ...note });
  await p.holdings.take(BOOT, [{ kind: 'warm', names: [id], details }]);
}

it('pools are listed by name and owner, whether somebody keeps them, or something waits in them, or both', async () => {
  const p = await openMemoryStore();
  expect(await listPools(p)).toEqual([]);
  await keep(p, 'web one', { ready: 3 });
  await keep(p, 'empty one');
  await wait(p, 'w1', {});
  await wait(p, 'w2', { owner: 'two' });
  await wait(p, 'w3', { pool: 'left' });
  const pools = await listPools(p);
  expect(pools.map(({ pool, owner, isKept, containers }) => [pool, owner, isKept, containers.length])).toEqual([
    ['empty', 'one', true, 0],
    ['left', 'one', false, 1],
    ['web', 'one', true, 1],
    ['web', 'two', false, 1],
  ]);
  expect(pools.map(({ status }) => status)).toEqual([undefined, undefined, { ready: 3 }, undefined]);
});

it('what is just being handed out waits no more, and what a later release has written is passed over', async () => {
  const p = await openMemoryStore();
  await wait(p, 'w1', {});
  await wait(p, 'w2', { kind: 'hibernated' });
  await wait(p, 'w3', { pool: 9 });
  await p.holdings.change({ kind: 'warm', name: 'w1' }, { from: null, holder: 'taken' });
  await keep(p, 'web one', { later: true });
  expect(await listPools(p)).toEqual([{ pool: 'web', owner: 'one', containers: [], isKept: true, status: undefined }]);
});

it('of keepers who have died those of this owner are forgotten, and the others not', async () => {
  const p = await openMemoryStore({ owner: 'one' });
  for (const name of ['web one', 'web two', 'alive one']) await keep(p, name);
  const holdings = {
    list: p.holdings.list.bind(p.holdings),
    release: p.holdings.release.bind(p.holdings),
    isAlive: (one: object) => 'name' in one && one.name === 'alive one',
  };
  await forgetDeadKeepers({ owner: 'one', holdings: holdings as unknown as Provisioner['holdings'] });
  expect((await p.holdings.list({ kind: WARM_POOL })).map(({ name }) => name).sort()).toEqual(['alive one', 'web two']);
});
