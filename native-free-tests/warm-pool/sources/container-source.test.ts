import { describe, expect, it } from 'vitest';
import { ContainerSource } from '#src/warm-pool/sources/container-source.js';
import { WarmHoldings } from '#src/warm-pool/sources/warm-holdings.js';
import { APP, passed, storeForPools } from '../opened-pools.js';

async function sourceOf(state: 'created' | 'running' | 'paused' = 'created') {
  const store = await storeForPools();
  const { provisioner, containers: containerizer } = store;
  const kind = state === 'created' ? 'created' : 'generic';
  const holdings = new WarmHoldings(provisioner, { pool: 'web', owner: 'default', kind, key: 'key' }, 'boot');
  let made = 0;
  const newId = () => `c${++made}`;
  const diskOf = async () => 4096;
  const source = new ContainerSource({ containerizer, holdings, newId, image: APP, launch: {}, state, diskOf });
  return { ...store, holdings, source };
}
const { signal } = new AbortController();

describe('the source of containers', () => {
  it('records each before there is anything of it', async () => {
    const { source, containers, waiting } = await sourceOf();
    const create = containers.create.bind(containers);
    let recorded: string[] = [];
    containers.create = async (...own) => {
      recorded = (await waiting()).map(({ containerId }) => containerId);
      return create(own[0], own[1]);
    };
    const made = await source.create(signal);
    expect([made.containerId, recorded, [...source.known]]).toEqual(['c1', ['c1'], ['c1']]);
  });

  it('leaves nothing of what it could not make, at whatever step', async () => {
    for (const step of ['launch', 'pause', 'stats'] as const) {
      const { source, containers, machine, waiting } = await sourceOf('paused');
      Object.assign(containers, { [step]: () => Promise.reject(new Error(step)) });
      await expect(source.create(signal)).rejects.toThrow(step);
      expect([machine.containers.size, await waiting(), source.known.size]).toEqual([0, [], 0]);
    }
    const { source, machine, waiting } = await sourceOf();
    await expect(source.create(AbortSignal.abort())).rejects.toMatchObject({ code: 'ERR_ABORTED' });
    expect([machine.containers.size, await waiting(), source.known.size]).toEqual([0, [], 0]);
  });

  it('neither destroys nor forgets what is there already under an id, and is somebody else’s', async () => {
    const { source, containers, machine, holdings, waiting } = await sourceOf();
    const refused = { code: 'ERR_CONTAINER_EXISTS' };
    await containers.launch('c1', APP);
    await expect(source.create(signal)).rejects.toMatchObject(refused);
    expect([machine.containers.get('c1')?.launch.state, await waiting()]).toEqual(['running', []]);
    await holdings.put('c2');
    await expect(source.create(signal)).rejects.toMatchObject(refused);
    expect([(await waiting()).map(({ containerId }) => containerId), source.known.size]).toEqual([['c2'], 0]);
  });

  it('hands each out once, and forgets it after that', async () => {
    const { source, waiting, machine } = await sourceOf();
    const made = await source.create(signal);
    const launches = await Promise.all([1, 2, 3].map(() => source.handOut(made, { attach: false })));
    expect(launches.filter((launch) => launch !== undefined)).toMatchObject([{ state: 'running', containerId: 'c1' }]);
    await passed();
    expect([await waiting(), source.known.size]).toEqual([[], 0]);
    expect(await source.handOut(made, { attach: false })).toBeUndefined();
    // What was handed out is nothing that it destroys.
    await source.destroy(made);
    expect(machine.containers.get('c1')?.launch.state).toBe('running');
  });

  it('hands nothing out that somebody else has taken', async () => {
    const { source, holdings, machine } = await sourceOf();
    const made = await source.create(signal);
    await holdings.take(made.containerId);
    expect(await source.handOut(made, { attach: false })).toBeUndefined();
    expect(machine.containers.get('c1')?.launch.state).toBe('created');
  });

  it('destroys what could not be let go, and leaves alone what somebody let go before', async () => {
    const { source, containers, machine, waiting } = await sourceOf();
    const [one, other] = [await source.create(signal), await source.create(signal)];
    await containers.start(other.containerId);
    expect(await source.handOut(other, { attach: false })).toBeUndefined();
    Object.assign(containers.ready, { letGo: () => Promise.reject(new Error('the disk is full')) });
    expect(await source.handOut(one, { attach: false })).toBeUndefined();
    await passed();
    expect([...machine.containers.keys()]).toEqual(['c2']);
    expect([machine.containers.get('c2')?.launch.state, await waiting(), source.known.size]).toEqual([
      'running',
      [],
      0,
    ]);
  });

  it('destroys what waits whatever it does, and what came too late for somebody', async () => {
    for (const state of ['created', 'running', 'paused'] as const) {
      const { source, machine, waiting } = await sourceOf(state);
      const [one, late] = [await source.create(signal), await source.create(signal)];
      expect(machine.containers.get('c1')?.launch.state).toBe(state);
      await source.destroy(one);
      await source.destroy(one);
      await source.handOut(late, { attach: false });
      await source.discard(late);
      await passed();
      expect([machine.containers.size, await waiting(), source.known.size]).toEqual([0, [], 0]);
    }
  });

  it('says what is wrong with one, and how much memory it takes by now', async () => {
    const { source, containers } = await sourceOf('running');
    const made = await source.create(signal);
    expect([await source.fault(made), source.costOf(made)]).toEqual([undefined, { memory: 2 ** 20, disk: 4096 }]);
    const stats = containers.stats.bind(containers);
    containers.stats = async (id) => ({ ...(await stats(id)), memory: 77 });
    for (let looks = 0; looks < 10; looks++) await source.fault(made);
    expect(source.costOf(made).memory).toBe(77);
    await containers.kill(made.containerId);
    expect(await source.fault(made)).toBe('it is exited');
    await containers.destroy(made.containerId);
    expect(await source.fault(made)).toBe('it is gone');
  });
});
