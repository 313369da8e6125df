import { describe, expect, it } from 'vitest';
import type { LeaseWishes } from '#src/containerizer/leases/choose-leases.js';
import type { LeasableDevice } from '#src/containerizer/leases/leasable-devices.js';
import { LeaseTable } from '#src/containerizer/leases/lease-table.js';
import { openMemoryStore } from '../../helpers/memory-store.js';

const A = { holder: 'a'.repeat(32), containerId: 'job-a' };
const B = { holder: 'b'.repeat(32), containerId: 'job-b' };
const CPUS = [0, 1, 2, 3];

const device = (name: string, ...identities: string[]): LeasableDevice => ({ name, identities });
const GPUS = [device('x.example/gpu=0', 'c 9:0'), device('x.example/gpu=1', 'c 9:1', 'c 9:129')];

const wishes = (wanted: Partial<LeaseWishes>): LeaseWishes => ({ devices: [], classes: [], ...wanted });
const cpus = (count: number) => wishes({ cpus: { among: CPUS, count } });
const these = (...among: number[]) => wishes({ cpus: { among } });
const devices = (...those: LeasableDevice[]) => wishes({ devices: those });
const gpus = (count: number) => wishes({ classes: [{ kind: 'x.example/gpu', count, among: GPUS }] });

/** @param over ids of launches that have ended */
async function tableOf(over: ReadonlySet<string | undefined> = new Set()) {
  const { holdings } = await openMemoryStore();
  const looks: (string | undefined)[] = [];
  const table = new LeaseTable(holdings, 'boot', async ({ holder }) => {
    looks.push(holder);
    return over.has(holder);
  });
  return { table, holdings, looks };
}

describe('leases', () => {
  it('of a number of processors are the first that are free', async () => {
    const { table } = await tableOf();
    expect(await table.take(A, these(1))).toEqual({ cpus: [1], devices: [] });
    expect(await table.take(B, cpus(2))).toEqual({ cpus: [0, 2], devices: [] });
    expect(await table.of(B.holder)).toMatchObject({ cpus: [0, 2] });
  });

  it('of all are taken, or none, and the error says who has what', async () => {
    const { table, holdings } = await tableOf();
    await table.take(A, { ...these(3), devices: [GPUS[0] as LeasableDevice] });
    await expect(table.take(B, cpus(4))).rejects.toMatchObject({
      code: 'ERR_LEASED',
      message: '4 processors cannot be had: container job-a has leased processor 3',
      hint: expect.stringContaining('provisioner leases'),
      details: { what: '4 processors', holders: ['job-a'], held: ['processor 3'] },
    });
    await expect(table.take(B, { ...these(0), devices: [device('/dev/gpu0', 'c 9:0')] })).rejects.toMatchObject({
      code: 'ERR_LEASED',
      message: '/dev/gpu0 cannot be had: container job-a has leased x.example/gpu=0',
    });
    await expect(table.take(B, { ...cpus(1), ...gpus(2) })).rejects.toMatchObject({ code: 'ERR_LEASED' });
    expect(await holdings.list({ holder: B.holder })).toEqual([]);
  });

  it('of a class pass over what somebody has a part of, and what the launch has by another wish', async () => {
    const { table } = await tableOf();
    await table.take(A, devices(device('/dev/gpu1-control', 'c 9:129')));
    expect(await table.take(B, gpus(1))).toMatchObject({ devices: [{ name: 'x.example/gpu=0' }] });
    await table.giveBack(A.holder);
    await table.giveBack(B.holder);
    const both = { ...gpus(1), devices: [device('/dev/gpu0', 'c 9:0')] };
    expect((await table.take(A, both)).devices.map(({ name }) => name)).toEqual(['/dev/gpu0', 'x.example/gpu=1']);
  });

  it('of one device by two names are one', async () => {
    const { table, holdings } = await tableOf();
    await table.take(A, devices(device('/dev/gpu0', 'c 9:0'), device('/dev/dri/card0', 'c 9:0')));
    expect(await holdings.list()).toHaveLength(1);
  });

  it('that are in nobody’s way are not asked after; an end that nobody has seen is, when they are', async () => {
    const over = new Set<string | undefined>();
    const { table, looks } = await tableOf(over);
    await table.take(A, cpus(3));
    await table.take(B, cpus(1));
    expect(looks).toEqual([]);
    await expect(table.take(B, cpus(2))).rejects.toMatchObject({ code: 'ERR_LEASED' });
    expect(looks).toEqual([A.holder]);
    over.add(A.holder);
    expect(await table.take(B, cpus(2))).toMatchObject({ cpus: [0, 1] });
    expect(await table.of(A.holder)).toEqual({ cpus: [], devices: [] });
  });

  it('are listed by who has them, and those of launches that are over are given back then', async () => {
    const over = new Set<string | undefined>();
    const { table } = await tableOf(over);
    await table.take(B, { ...cpus(3), ...gpus(2) });
    await table.take({ holder: 'run 7' }, cpus(1));
    expect(await table.list()).toEqual([
      {
        holder: B.holder,
        containerId: 'job-b',
        since: expect.any(Number),
        cpus: '0-2',
        devices: ['x.example/gpu=0', 'x.example/gpu=1'],
      },
      { holder: 'run 7', containerId: undefined, since: expect.any(Number), cpus: '3', devices: [] },
    ]);
    over.add(B.holder).add('run 7');
    expect((await table.list()).map(({ holder }) => holder)).toEqual(['run 7']);
  });

  it('that are reserved under a word are nobody’s to give back, and are handed over to a launch', async () => {
    const { table } = await tableOf(new Set(['run 7']));
    await table.take({ holder: 'run 7' }, { ...cpus(2), ...gpus(1) });
    await expect(table.take(A, cpus(3))).rejects.toMatchObject({
      message: '3 processors cannot be had: run 7 has leased processor 0, processor 1',
    });
    expect(await table.giveBackAll(async () => new Set())).toEqual([]);
    await table.handOver('run 7', A);
    await table.handOver('run 7', A);
    expect(await table.list()).toMatchObject([{ holder: A.holder, containerId: 'job-a', cpus: '0-1' }]);
    await table.giveBack(A.holder);
    expect(await table.take(B, cpus(4))).toMatchObject({ cpus: CPUS });
  });

  it('of launches that no record calls unended are given back by a recovery', async () => {
    const { table } = await tableOf();
    await table.take(A, { ...these(0), ...gpus(1) });
    await table.take(B, these(1));
    expect((await table.giveBackAll(async () => new Set([B.holder]))).sort()).toEqual([
      'lease of processor 0',
      'lease of x.example/gpu=0',
    ]);
    expect(await table.list()).toMatchObject([{ holder: B.holder }]);
  });
});

describe('what is named without being leased', () => {
  const use = (used: number[], ...identities: string[]) => ({ cpus: used, devices: new Set(identities) });

  it('may be named by many, and nobody leases it meanwhile', async () => {
    const { table } = await tableOf();
    await table.use(A, use([0], 'c 9:0'));
    await table.use(B, use([0], 'c 9:0'));
    const other = { holder: 'c'.repeat(32), containerId: 'job-c' };
    await expect(table.take(other, these(0))).rejects.toMatchObject({
      code: 'ERR_LEASED',
      message: 'processor 0 cannot be had: container job-a uses processor 0; container job-b uses processor 0',
    });
    expect(await table.take(other, { ...cpus(3), ...gpus(1) })).toMatchObject({
      cpus: [1, 2, 3],
      devices: [{ name: 'x.example/gpu=1' }],
    });
    expect(await table.list()).toMatchObject([{ containerId: 'job-c' }]);
  });

  it('is refused where somebody else has leased it, and leaves nothing', async () => {
    const { table, holdings } = await tableOf();
    await table.take(A, { ...these(0), ...gpus(2) });
    await table.use(A, use([0], 'c 9:0'));
    for (const used of [use([0, 1]), use([], 'c 9:129')])
      await expect(table.use(B, used)).rejects.toMatchObject({ code: 'ERR_LEASED' });
    expect(await holdings.list({ holder: B.holder })).toEqual([]);
  });

  it('is free again when it is given back, used no more, or its launch is over', async () => {
    const over = new Set<string | undefined>();
    const { table } = await tableOf(over);
    const giveBack = await table.use(A, use([0, 1]));
    await (await table.use(A, use([1, 2])))();
    await table.useOnly(A.holder, [1]);
    await table.take(B, these(0, 2));
    await table.giveBack(B.holder);
    await giveBack();
    await table.take(B, these(0, 1, 2));
    await table.giveBack(B.holder);
    await table.use(A, use([3]));
    over.add(A.holder);
    expect(await table.take(B, cpus(4))).toMatchObject({ cpus: CPUS });
  });

  it('and what is leased at once never come to the same', async () => {
    for (let round = 0; round < 50; round++) {
      const { table, holdings } = await tableOf();
      const outcomes = await Promise.allSettled([
        table.use(A, use([0], 'c 9:0')),
        table.take(B, { ...these(0), ...gpus(1) }),
        table.take({ holder: 'c'.repeat(32) }, these(0)),
      ]);
      const won = outcomes.filter(({ status }) => status === 'fulfilled');
      expect(won.length).toBeLessThanOrEqual(1);
      const holders = new Set((await holdings.list()).map(({ holder }) => holder));
      expect(holders.size).toBe(won.length);
    }
  });
});
