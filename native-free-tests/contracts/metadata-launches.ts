import { describe, expect, it } from 'vitest';
import {
  EVENTS_KEPT,
  EVENTS_PRUNED_EVERY,
  LAUNCH_STATES,
  type LaunchRecord,
  type LaunchState,
  type NewLaunch,
  UNENDED_STATES,
} from '#src/metadata/launches/launch-records.js';
import { image, type MetadataContractContext, putLayers, rootfs, setClock } from './metadata-records.js';

const idOf = (letter: string) => letter.repeat(32);
const EXIT = '{"code":0}';

function launch(letter: string, containerId: string, changes: Partial<NewLaunch> = {}): NewLaunch {
  const spec = '{"command":["true"]}';
  return { id: idOf(letter), containerId, owner: 'agent', bootId: 'boot', spec, removal: 'keep', ...changes };
}

export function launchContract(context: MetadataContractContext): void {
  const provision = async (...ids: string[]) => {
    const { manager } = context;
    await putLayers(manager, 'base');
    await manager.putImage(image('app', ['base']), []);
    for (const id of ids) await manager.putRootfs(rootfs(`of ${id}`, id));
  };
  const leadTo = async (letter: string, state: LaunchState) => {
    const exit = state === 'exited' ? { exit: EXIT } : {};
    const from = UNENDED_STATES;
    expect(await context.manager.changeLaunch(idOf(letter), { from, to: state, ...exit })).toBe(true);
  };

  describe('launches', () => {
    const stateOf = async (containerId: string) => (await context.manager.getLaunch(containerId))?.state;

    it('are recorded before the container is there, and found by its id as they were given', async () => {
      const { manager } = context;
      setClock(5000);
      const { id, containerId, owner, bootId, spec } = launch('a', 'job');
      const record: LaunchRecord = {
        ...{ id, containerId, owner, bootId, spec, state: 'starting', createdAt: 5000, place: '{"pid":1}' },
        ...{ startedAt: undefined, finishedAt: undefined, exit: undefined, removal: 'remove' },
      };
      const put = await manager.putLaunch(launch('a', 'job', { place: '{"pid":1}', removal: 'remove' }));
      expect(put).toEqual({ launch: record, replaced: undefined, hadRootfs: false });
      expect(await manager.getLaunch('job')).toEqual(record);
      expect(await manager.getLaunch('job/side')).toBeUndefined();
      expect(await manager.containerOwner('job')).toBeUndefined();
    });

    it.each(UNENDED_STATES)('keep another one of their container away while they are %s', async (state) => {
      const { manager } = context;
      await manager.putLaunch(launch('a', 'job'));
      await leadTo('a', state);
      const refused = manager.putLaunch(launch('b', 'job', { event: { kind: 'create' } }));
      await expect(refused).rejects.toMatchObject({
        code: 'ERR_CONTAINER_RUNNING',
        details: { containerId: 'job', launch: idOf('a'), state },
      });
      expect(await manager.getLaunch('job')).toMatchObject({ id: idOf('a'), state });
      expect(await manager.launchEvents({ limit: 9 })).toEqual([]);
      await manager.putLaunch(launch('b', 'job/side'));
    });

    it('make room for the next one when they have ended, which says whose place it took', async () => {
      const { manager } = context;
      await manager.putLaunch(launch('a', 'job'));
      await leadTo('a', 'exited');
      await provision('job');
      const put = await manager.putLaunch(launch('b', 'job'));
      expect(put).toMatchObject({ replaced: idOf('a'), hadRootfs: true });
      expect((await manager.listLaunches()).map(({ id }) => id)).toEqual([idOf('b')]);
    });

    it('have ids of their own', async () => {
      const { manager } = context;
      await manager.putLaunch(launch('a', 'job'));
      const refused = manager.putLaunch(launch('a', 'other'));
      await expect(refused).rejects.toMatchObject({ code: 'ERR_BAD_OPTION', details: { launch: idOf('a') } });
      await leadTo('a', 'exited');
      await expect(manager.putLaunch(launch('a', 'job'))).rejects.toMatchObject({ code: 'ERR_BAD_OPTION' });
      expect(await stateOf('job')).toBe('exited');
    });

    it('are refused in a container of another owner: that of its rootfses, or else of its last launch', async () => {
      const { manager } = context;
      await provision('provisioned');
      await manager.putLaunch(launch('a', 'launched'));
      for (const containerId of ['provisioned', 'launched']) {
        const refused = manager.putLaunch(launch('b', containerId, { owner: 'other' }));
        await expect(refused, containerId).rejects.toMatchObject({
          code: 'ERR_CONTAINER_FOREIGN',
          details: { containerId, owner: 'agent' },
        });
      }
      await leadTo('a', 'exited');
      const anyOwner = { owner: 'other', anyOwner: true };
      for (const [letter, id] of Object.entries({ b: 'provisioned', c: 'launched' })) {
        expect((await manager.putLaunch(launch(letter, id, anyOwner))).launch.owner, id).toBe('agent');
      }
    });

    it('belong to the owner of the rootfses, whoever launched before', async () => {
      const { manager } = context;
      await manager.putLaunch(launch('a', 'job', { owner: 'other' }));
      await leadTo('a', 'exited');
      await provision('job');
      await expect(manager.putLaunch(launch('b', 'job', { owner: 'other' }))).rejects.toMatchObject({
        code: 'ERR_CONTAINER_FOREIGN',
      });
      expect((await manager.putLaunch(launch('b', 'job'))).launch.owner).toBe('agent');
    });

    it('are changed by the first of several who would, and by nobody when they are in no state that was expected', async () => {
      const { manager } = context;
      await manager.putLaunch(launch('a', 'job', { place: '{"pid":1}' }));
      const start = {
        from: ['starting', 'created'],
        to: 'running',
        startedAt: 7000,
        event: { kind: 'start' },
      } as const;
      const all = [1, 2, 3].map(() => manager.changeLaunch(idOf('a'), start));
      expect((await Promise.all(all)).filter(Boolean)).toEqual([true]);
      expect(await manager.launchEvents({ limit: 9 })).toHaveLength(1);
      const placed = { place: '{"pid":1}', startedAt: 7000, finishedAt: undefined };
      expect(await manager.getLaunch('job')).toMatchObject({ state: 'running', ...placed });
      expect(await manager.changeLaunch(idOf('b'), { from: LAUNCH_STATES })).toBe(false);
      expect(await manager.changeLaunch(idOf('a'), { from: ['paused'], place: null })).toBe(false);
      expect(await manager.getLaunch('job')).toMatchObject({ state: 'running', ...placed });
      expect(await manager.changeLaunch(idOf('a'), { from: ['running'], place: null })).toBe(true);
      expect(await manager.getLaunch('job')).toMatchObject({ state: 'running', place: undefined, startedAt: 7000 });
    });

    it('end with an exit and the time of it, once, and only their place and what is known of the exit changes then', async () => {
      const { manager } = context;
      setClock(9000);
      await manager.putLaunch(launch('a', 'job'));
      const end = { from: ['starting'], to: 'exited' } as const;
      for (const change of [
        end,
        { from: ['starting'], finishedAt: 1 } as const,
        { from: ['starting'], exit: EXIT } as const,
        { from: ['starting'], to: 'running', exit: EXIT } as const,
        { from: LAUNCH_STATES, to: 'exited', exit: EXIT } as const,
        { from: ['exited'], to: 'running' } as const,
      ]) {
        const refused = manager.changeLaunch(idOf('a'), change);
        await expect(refused, JSON.stringify(change)).rejects.toMatchObject({ code: 'ERR_BAD_OPTION' });
      }
      expect(await stateOf('job')).toBe('starting');
      expect(await manager.changeLaunch(idOf('a'), { ...end, exit: EXIT })).toBe(true);
      expect(await manager.getLaunch('job')).toMatchObject({ state: 'exited', exit: EXIT, finishedAt: 9000 });
      expect(await manager.changeLaunch(idOf('a'), { ...end, exit: '{"code":1}' })).toBe(false);
      expect(await manager.changeLaunch(idOf('a'), { from: ['exited'], exit: '{"code":1}', place: null })).toBe(true);
      expect(await manager.getLaunch('job')).toMatchObject({ state: 'exited', exit: '{"code":1}', finishedAt: 9000 });
    });

    it('that are undead may have an exit already, and end with the time that is given', async () => {
      const { manager } = context;
      await manager.putLaunch(launch('a', 'job'));
      await manager.changeLaunch(idOf('a'), { from: ['starting'], to: 'undead', exit: EXIT });
      expect(await manager.getLaunch('job')).toMatchObject({ state: 'undead', exit: EXIT, finishedAt: undefined });
      await manager.changeLaunch(idOf('a'), { from: ['undead'], to: 'exited', exit: EXIT, finishedAt: 77 });
      expect(await manager.getLaunch('job')).toMatchObject({ state: 'exited', finishedAt: 77 });
    });

    it('are listed by the ids of their containers, of one owner and in some states if so wanted', async () => {
      const { manager } = context;
      const ids = ['b', 'a/side', 'a', 'a-b'];
      for (const [at, id] of ids.entries())
        await manager.putLaunch(launch(String(at), id, at === 0 ? { owner: 'other' } : {}));
      await leadTo('1', 'running');
      await leadTo('2', 'exited');
      const listed = async (wanted?: Parameters<typeof manager.listLaunches>[0]) =>
        (await manager.listLaunches(wanted)).map(({ containerId }) => containerId);
      expect(await listed()).toEqual(['a', 'a-b', 'a/side', 'b']);
      expect(await listed({ owner: 'other' })).toEqual(['b']);
      expect(await listed({ states: ['running', 'exited'] })).toEqual(['a', 'a/side']);
      expect(await listed({ states: ['running'], owner: 'other' })).toEqual([]);
      expect(await listed({ states: [] })).toEqual([]);
    });

    it('are all listed, however many', async () => {
      const { manager } = context;
      const count = 1201;
      const nth = (at: number) => String(at).padStart(32, '0');
      for (let at = 0; at < count; at++) await manager.putLaunch(launch('a', nth(at), { id: nth(at) }));
      expect((await manager.listLaunches()).map(({ id }) => id)).toEqual(
        Array.from({ length: count }, (_, at) => nth(at)),
      );
    });

    it('that have not ended are found in a container and all below it, children before parents', async () => {
      const { manager } = context;
      const ids = ['pod', 'pod/a', 'pod/b', 'pod/b/c', 'pod-2', 'pod0'];
      for (const [at, id] of ids.entries()) await manager.putLaunch(launch(String(at), id));
      await leadTo('1', 'exited');
      await leadTo('2', 'undead');
      expect(await manager.unendedLaunches('pod')).toEqual([
        { id: idOf('3'), containerId: 'pod/b/c', state: 'starting' },
        { id: idOf('2'), containerId: 'pod/b', state: 'undead' },
        { id: idOf('0'), containerId: 'pod', state: 'starting' },
      ]);
      expect(await manager.unendedLaunches('pod/a')).toEqual([]);
      expect(await manager.unendedLaunches('po')).toEqual([]);
    });

    it('are forgotten one by one, and only the one that is meant', async () => {
      const { manager } = context;
      await manager.putLaunch(launch('a', 'job'));
      await manager.putLaunch(launch('b', 'job/side'));
      expect(await manager.forgetLaunches('job', idOf('b'))).toBe(false);
      expect(await manager.forgetLaunches('job', idOf('a'))).toBe(true);
      expect(await manager.forgetLaunches('job')).toBe(false);
      expect(await manager.forgetLaunches('job/side')).toBe(true);
      expect(await manager.listLaunches()).toEqual([]);
    });

    it('go with the last rootfs of their container when they have ended, and stay when they have not', async () => {
      const { manager } = context;
      await provision('ended', 'running', 'ended/side');
      await manager.putRootfs(rootfs('second', 'ended'));
      for (const [letter, id] of Object.entries({ a: 'ended', b: 'running', c: 'ended/side' }))
        await manager.putLaunch(launch(letter, id));
      await leadTo('a', 'exited');
      await leadTo('b', 'running');
      await leadTo('c', 'exited');
      const left = async () => (await manager.listLaunches()).map(({ containerId }) => containerId);
      await manager.forgetRootfses([{ containerId: 'ended', id: 'of ended' }]);
      expect(await left()).toEqual(['ended', 'ended/side', 'running']);
      const last = ['ended', 'running'].map((id) => ({ containerId: id, id: id === 'ended' ? 'second' : `of ${id}` }));
      expect(await manager.forgetRootfses(last)).toBe(2);
      expect(await left()).toEqual(['ended/side', 'running']);
    });
  });

  describe('events of launches', () => {
    const note = (kind: string, containerId = 'job') =>
      context.manager.noteLaunchEvent({ kind, containerId, owner: 'agent' });
    const kinds = async (wanted: { since?: number; after?: number } = {}) =>
      (await context.manager.launchEvents({ ...wanted, limit: 100 })).map(({ kind }) => kind);

    it('are told with the launch they are about, in their order', async () => {
      const { manager } = context;
      setClock(1000);
      await manager.putLaunch(launch('a', 'job', { event: { kind: 'create', details: '{"image":"app"}' } }));
      await manager.changeLaunch(idOf('a'), { from: ['starting'], to: 'running', event: { kind: 'start' } });
      await manager.noteLaunchEvent({ kind: 'kill', containerId: 'job', launchId: idOf('a'), owner: 'me' });
      const ofLaunch = { at: 1000, containerId: 'job', launchId: idOf('a'), owner: 'agent', details: undefined };
      const events = await manager.launchEvents({ limit: 9 });
      expect(events).toEqual([
        { ...ofLaunch, sequence: 1, kind: 'create', details: '{"image":"app"}' },
        { ...ofLaunch, sequence: 2, kind: 'start' },
        { ...ofLaunch, sequence: 3, kind: 'kill', owner: 'me' },
      ]);
      await note('tick', 'other');
      expect((await manager.launchEvents({ after: 3, limit: 9 }))[0]).toMatchObject({ launchId: undefined });
    });

    it('tell what led to a change before the change, and neither where there was none', async () => {
      const { manager } = context;
      await manager.putLaunch(launch('a', 'job'));
      const end = { from: UNENDED_STATES, to: 'exited', exit: EXIT, cause: { kind: 'oom' } } as const;
      expect(await manager.changeLaunch(idOf('a'), { ...end, event: { kind: 'exit' } })).toBe(true);
      expect(await manager.changeLaunch(idOf('a'), { ...end, event: { kind: 'exit' } })).toBe(false);
      expect(await kinds()).toEqual(['oom', 'exit']);
    });

    it('tell once of each launch that it was forgotten: by itself, or with its container, and not when another takes its place', async () => {
      const { manager } = context;
      await manager.putLaunch(launch('a', 'job'));
      await leadTo('a', 'exited');
      await manager.putLaunch(launch('b', 'job'));
      expect(await manager.forgetLaunches('job', idOf('a'))).toBe(false);
      expect(await kinds()).toEqual([]);
      expect(await manager.forgetLaunches('job')).toBe(true);
      expect(await manager.forgetLaunches('job')).toBe(false);
      await provision('ended', 'running');
      await manager.putLaunch(launch('c', 'ended', { owner: 'agent' }));
      await manager.putLaunch(launch('d', 'running'));
      await leadTo('c', 'exited');
      await manager.forgetRootfses(['ended', 'running'].map((id) => ({ containerId: id, id: `of ${id}` })));
      const told = (letter: string, containerId: string) => ({ launchId: idOf(letter), containerId, owner: 'agent' });
      expect(await manager.launchEvents({ limit: 9 })).toMatchObject([
        { kind: 'destroy', ...told('b', 'job') },
        { kind: 'destroy', ...told('c', 'ended') },
      ]);
    });

    it('have a newest one, by whose number what comes later is told', async () => {
      const { manager } = context;
      expect(await manager.newestLaunchEvent()).toBe(0);
      await note('first');
      await note('second');
      expect(await manager.newestLaunchEvent()).toBe(2);
    });

    it('are told from a time on, the millisecond itself too, after one, and so many at most', async () => {
      for (const at of [1000, 2000, 3000]) {
        setClock(at);
        await note(`at-${at}`);
      }
      expect(await kinds({ since: 2000 })).toEqual(['at-2000', 'at-3000']);
      expect(await kinds({ since: 2001 })).toEqual(['at-3000']);
      expect(await kinds({ after: 1 })).toEqual(['at-2000', 'at-3000']);
      expect(await kinds({ after: 2, since: 1000 })).toEqual(['at-3000']);
      expect((await context.manager.launchEvents({ limit: 2 })).map(({ kind }) => kind)).toEqual([
        'at-1000',
        'at-2000',
      ]);
    });

    it('stay in their order when the clock is set back', async () => {
      setClock(2000);
      await note('first');
      setClock(1000);
      await note('second');
      expect(await kinds()).toEqual(['first', 'second']);
      expect(await kinds({ since: 1500 })).toEqual(['first']);
    });

    it('are bounded: the newest are kept, and no number comes twice', async () => {
      const { manager } = context;
      const all = EVENTS_KEPT + 2 * EVENTS_PRUNED_EVERY + 1;
      for (let count = 0; count < all; count++) await note('tick');
      const events = await manager.launchEvents({ limit: 2 * all });
      expect(events.length).toBeGreaterThanOrEqual(EVENTS_KEPT);
      expect(events.length).toBeLessThan(EVENTS_KEPT + EVENTS_PRUNED_EVERY);
      expect(events.at(-1)?.sequence).toBe(all);
      expect(events.map(({ sequence }) => sequence)).toEqual(events.map((_, at) => all - events.length + 1 + at));
    }, 60_000);
  });
}
