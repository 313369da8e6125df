import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, describe, expect, it, vi } from 'vitest';
import type { LaunchEvent, LaunchState, NewOwnLaunch, Provisioner } from '#src/index.js';
import { EVENTS_KEPT, EVENTS_PRUNED_EVERY, UNENDED_STATES } from '#src/metadata/launches/launch-records.js';
import { SectionedMetadataManager } from '#src/metadata/sectioned-metadata-manager.js';
import { buildImage, buildLayer } from '../../helpers/image-builder.js';
import { layoutOf, openMemoryStore } from '../../helpers/memory-store.js';

const idOf = (letter: string) => letter.repeat(32);
const launchOf = (containerId: string, letter = 'a'): NewOwnLaunch => ({
  id: idOf(letter),
  containerId,
  bootId: 'boot',
  spec: '{}',
  removal: 'keep',
});

/** A store with containers. */
async function storeWith(...containerIds: string[]): Promise<Provisioner> {
  const p = await openMemoryStore({ owner: 'agent' });
  const image = buildImage([buildLayer([{ path: 'app', content: 'v1' }])]);
  await p.images.pull(await layoutOf(image), { name: 'app' });
  for (const id of containerIds) await p.provision(id, 'app');
  return p;
}

async function leadTo(p: Provisioner, letter: string, state: LaunchState): Promise<void> {
  const exit = state === 'exited' ? { exit: '{"code":0}' } : {};
  expect(await p.launches.change(idOf(letter), { from: UNENDED_STATES, to: state, ...exit })).toBe(true);
}

const containerIds = async (p: Provisioner) => (await p.containers.list()).map(({ id }) => id);

/** Keeps every destroy from going on once it has seen that nothing has been launched. */
function holdDestroys(): { readonly looked: Promise<void>; readonly letGo: () => void } {
  let letGo = () => {};
  let seen = () => {};
  const gate = new Promise<void>((resolve) => {
    letGo = resolve;
  });
  const looked = new Promise<void>((resolve) => {
    seen = resolve;
  });
  const original = SectionedMetadataManager.prototype.unendedLaunches;
  vi.spyOn(SectionedMetadataManager.prototype, 'unendedLaunches').mockImplementation(async function (
    this: SectionedMetadataManager,
    containerId,
  ) {
    const answer = await original.call(this, containerId);
    seen();
    await gate;
    return answer;
  });
  return { looked, letGo };
}

afterEach(() => vi.restoreAllMocks());

describe('a container in which something has been launched', () => {
  it.each(UNENDED_STATES)('is not destroyed, nor what it is nested in, while that is %s', async (state) => {
    const p = await storeWith('job', 'job/side', 'job/other');
    await p.launches.put(launchOf('job/side'));
    await leadTo(p, 'a', state);
    for (const id of ['job/side', 'job']) {
      for (const running of ['refuse', 'kill'] as const) {
        await expect(p.destroy(id, { running }), id).rejects.toMatchObject({
          code: 'ERR_CONTAINER_RUNNING',
          details: { containerId: 'job/side', launch: idOf('a'), state },
        });
      }
    }
    expect(await containerIds(p)).toEqual(['job', 'job/other', 'job/side']);
    expect(await p.destroy('job/other')).toBe(true);
  });

  it('is destroyed when that has ended, and nothing is left of the launch', async () => {
    const p = await storeWith('job');
    await p.launches.put(launchOf('job'));
    await leadTo(p, 'a', 'exited');
    expect(await p.destroy('job')).toBe(true);
    expect(await p.launches.list()).toEqual([]);
  });

  it('is destroyed when whoever runs it ends it for that', async () => {
    const p = await storeWith('job');
    await p.launches.put(launchOf('job'));
    p.containers.addHolder({
      running: async (id) => ((await p.launches.get(id))?.state === 'starting' ? 'a launch runs in it' : undefined),
      end: () => leadTo(p, 'a', 'exited'),
      held: () => [],
    });
    await expect(p.destroy('job')).rejects.toMatchObject({ message: expect.stringContaining('a launch runs in it') });
    expect(await p.destroy('job', { running: 'kill' })).toBe(true);
  });

  it('is not taken for one that is not there while its rootfs is still to be made', async () => {
    const p = await storeWith();
    await p.launches.put(launchOf('job'));
    await expect(p.destroy('job')).rejects.toMatchObject({ code: 'ERR_CONTAINER_RUNNING' });
    await p.provision('job', 'app');
    expect(await p.launches.get('job')).toMatchObject({ state: 'starting', owner: 'agent' });
    await leadTo(p, 'a', 'exited');
    expect(await p.destroy('job')).toBe(true);
  });

  it('lives on through a recovery that does not know it, with those above it, until the launch has ended', async () => {
    const p = await storeWith('pod', 'pod/side', 'ended', 'other');
    await p.launches.put(launchOf('pod/side'));
    await leadTo(p, 'a', 'running');
    await p.launches.put(launchOf('ended', 'b'));
    await leadTo(p, 'b', 'exited');
    const report = await p.recover({ knownContainerIds: [] });
    expect(report).toMatchObject({ destroyed: ['other', 'ended'], untrusted: [], failed: [] });
    expect(await containerIds(p)).toEqual(['pod', 'pod/side']);
    await leadTo(p, 'a', 'exited');
    expect((await p.recover({ knownContainerIds: [] })).destroyed).toEqual(['pod/side', 'pod']);
    expect(await p.launches.list()).toEqual([]);
  });

  it('is left alone by a recovery that had looked before it was launched', async () => {
    const p = await storeWith('job');
    const original = SectionedMetadataManager.prototype.listLaunches;
    vi.spyOn(SectionedMetadataManager.prototype, 'listLaunches').mockImplementationOnce(async function (
      this: SectionedMetadataManager,
      wanted,
    ) {
      const answer = await original.call(this, wanted);
      await p.launches.put(launchOf('job'));
      return answer;
    });
    const { destroyed, untrusted } = await p.recover({ knownContainerIds: [] });
    expect(destroyed).toEqual([]);
    expect(untrusted).toEqual([{ containerId: 'job', reason: expect.stringContaining(idOf('a')) }]);
  });

  it('keeps its launch when a rootfs of it cannot be made', async () => {
    const p = await storeWith();
    await p.launches.put(launchOf('job'));
    const ending = { signal: AbortSignal.abort() };
    await expect(p.provision('job', 'app', ending)).rejects.toMatchObject({ code: 'ERR_ABORTED' });
    expect(await p.launches.get('job')).toMatchObject({ state: 'starting' });
  });
});

describe('a launch in a rootfs that is there', () => {
  it('begins after every destroy that had not seen it, and so finds what that has left', async () => {
    const p = await storeWith('job');
    const { looked, letGo } = holdDestroys();
    const destroyed = p.destroy('job');
    await looked;
    let found: unknown = 'not asked yet';
    const launched = p.launches.put(launchOf('job')).then(async () => {
      found = await p.containers.get('job');
    });
    await sleep(50);
    expect(found).toBe('not asked yet');
    letGo();
    expect(await destroyed).toBe(true);
    await launched;
    expect(found).toBeUndefined();
    expect(await p.launches.get('job')).toMatchObject({ state: 'starting' });
  });

  it('is not recorded when its caller does not wait for that', async () => {
    const p = await storeWith('job', 'other');
    const { looked, letGo } = holdDestroys();
    const destroyed = p.destroy('other');
    await looked;
    const giving = new AbortController();
    const put = p.launches.put(launchOf('job'), { signal: giving.signal });
    await sleep(20);
    giving.abort();
    await expect(put).rejects.toMatchObject({ code: 'ERR_ABORTED' });
    expect(await p.launches.list()).toEqual([]);
    letGo();
    await destroyed;
    expect(await p.destroy('job')).toBe(true);
  });

  it('waits for nobody where the container has no rootfs yet', async () => {
    const p = await storeWith('other');
    const { looked, letGo } = holdDestroys();
    const destroyed = p.destroy('other');
    await looked;
    expect(await p.launches.put(launchOf('job'))).toMatchObject({ replaced: undefined });
    letGo();
    await destroyed;
  });
});

describe('the calls for launches', () => {
  it('record what is launched as the provisioner’s owner’s, and refuse what is another’s', async () => {
    const p = await storeWith();
    const recorded = await p.launches.put({ ...launchOf('job'), event: { kind: 'create' } });
    expect(recorded).toEqual({ launch: expect.objectContaining({ owner: 'agent' }), replaced: undefined });
    await leadTo(p, 'a', 'exited');
    expect(await p.launches.put(launchOf('job', 'b'))).toMatchObject({ replaced: idOf('a') });
    await p.launches.note({ kind: 'oom', containerId: 'job', launchId: idOf('b'), owner: 'agent', details: '{}' });
    expect((await p.launches.events()).map(({ kind }) => kind)).toEqual(['create', 'oom']);
    expect((await p.launches.events({ after: 1 })).map(({ kind }) => kind)).toEqual(['oom']);
    expect(await p.launches.list({ owner: 'other' })).toEqual([]);
    expect(await p.launches.list({ states: ['starting'] })).toHaveLength(1);
    expect(await p.launches.forget('job', idOf('a'))).toBe(false);
    expect(await p.launches.forget('job')).toBe(true);
  });

  it('turn down what is no launch, no change and no event', async () => {
    const p = await storeWith();
    const put = (changes: object) => p.launches.put({ ...launchOf('job'), ...changes });
    const change = (changes: object) => p.launches.change(idOf('a'), { from: ['running'], ...changes });
    const note = (changes: object) => p.launches.note({ kind: 'oom', containerId: 'job', owner: 'me', ...changes });
    const calls: readonly (readonly [string, () => Promise<unknown>])[] = [
      ['id', () => put({ id: '../../etc' })],
      ['id', () => put({ id: idOf('A') })],
      ['spec', () => put({ spec: '{' })],
      ['spec', () => put({ spec: JSON.stringify('x'.repeat(2 ** 20)) })],
      ['spec', () => put({ spec: undefined })],
      ['removal', () => put({ removal: 'perhaps' })],
      ['bootId', () => put({ bootId: '' })],
      ['event', () => put({ event: { kind: 'Two Words' } })],
      ['owner', () => put({ owner: 'me' })],
      ['from', () => change({ from: [] })],
      ['from', () => change({ from: ['gone'] })],
      ['to', () => change({ to: 'gone' })],
      ['startedAt', () => change({ startedAt: -1 })],
      ['place', () => change({ place: 'no JSON' })],
      ['details', () => change({ event: { kind: 'oom', details: JSON.stringify('x'.repeat(2 ** 12)) } })],
      ['kind', () => note({ kind: '' })],
      ['launchId', () => note({ launchId: 'a' })],
      ['id', () => p.launches.forget('job', 'a')],
    ];
    for (const [name, call] of calls) {
      await expect(call(), name).rejects.toMatchObject({
        code: 'ERR_BAD_OPTION',
        message: expect.stringContaining(name),
      });
    }
    for (const call of [() => put({ containerId: '../a' }), () => p.launches.get('/'), () => p.launches.forget('')])
      await expect(call()).rejects.toMatchObject({ code: 'ERR_BAD_CONTAINER_ID' });
    expect(await p.launches.list()).toEqual([]);
    expect(await p.launches.events()).toEqual([]);
    expect(() => p.launches.directory('../../etc')).toThrow(expect.objectContaining({ code: 'ERR_BAD_OPTION' }));
  });
});

describe('events that are followed', () => {
  const note = (p: Provisioner, kind: string) => p.launches.note({ kind, containerId: 'job', owner: 'agent' });
  const taken = async (events: AsyncIterable<LaunchEvent>, count = Number.POSITIVE_INFINITY) => {
    const kinds: string[] = [];
    for await (const { kind } of events) if (kinds.push(kind) === count) break;
    return kinds;
  };

  it('are those from the call on, though the first is taken later, or all after one, each once', async () => {
    const p = await storeWith();
    await note(p, 'before');
    const fromNow = p.launches.follow();
    const fromBegin = p.launches.follow({ after: 0 });
    const afterFirst = p.launches.follow({ after: 1 });
    await note(p, 'second');
    const all = [taken(fromNow, 3), taken(fromBegin, 4), taken(afterFirst, 3)];
    await sleep(20);
    await note(p, 'third');
    await note(p, 'fourth');
    const later = ['second', 'third', 'fourth'];
    expect(await Promise.all(all)).toEqual([later, ['before', ...later], later]);
  });

  it('are many, and none is lost or comes twice', async () => {
    const p = await storeWith();
    const count = 2500;
    const all = taken(p.launches.follow(), count);
    for (let at = 0; at < count; at++) await note(p, `e${at}`);
    expect(await all).toEqual(Array.from({ length: count }, (_, at) => `e${at}`));
  });

  it('end with the time that is given, at once when it is past, and tell nothing that is later', async () => {
    const p = await storeWith();
    await note(p, 'first');
    const until = Date.now();
    await sleep(2);
    await note(p, 'late');
    expect(await taken(p.launches.follow({ after: 0, until }))).toEqual(['first']);
    const soon = taken(p.launches.follow({ until: Date.now() + 100 }));
    await note(p, 'third');
    expect(await soon).toEqual(['third']);
  });

  it('end with the signal, and with the provisioner', async () => {
    const p = await storeWith();
    const enough = new AbortController();
    const given = taken(p.launches.follow({ signal: enough.signal }));
    const others = taken(p.launches.follow());
    others.catch(() => undefined);
    enough.abort();
    await expect(given).rejects.toMatchObject({ code: 'ERR_ABORTED' });
    await p.close();
    await expect(others).rejects.toMatchObject({ code: 'ERR_CLOSED' });
  });

  it('are an error for who is so slow that what comes next is kept no more', async () => {
    const p = await storeWith();
    await note(p, 'first');
    const events = p.launches.follow({ after: 0 });
    expect((await events.next()).value?.kind).toBe('first');
    for (let at = 0; at < EVENTS_KEPT + 2 * EVENTS_PRUNED_EVERY; at++) await note(p, 'more');
    await expect(events.next()).rejects.toMatchObject({
      code: 'ERR_EVENTS_LOST',
      details: { count: expect.any(Number) },
    });
  });
});

describe('the directories of launches', () => {
  it('are the store’s: check tells only of those that no record names, and df has a row for all of them', async () => {
    const p = await storeWith('job');
    await p.launches.put(launchOf('job'));
    const before = await p.store.usage();
    expect(before.launches).toEqual({ count: 0, bytes: 0 });
    const [recorded, left] = ['a', 'b'].map((letter) => p.launches.directory(idOf(letter))) as [string, string];
    for (const directory of [recorded, left]) mkdirSync(directory, { recursive: true });
    writeFileSync(join(recorded, 'log'), 'x'.repeat(100_000));
    writeFileSync(join(p.root, 'launches/notes.txt'), '');
    writeFileSync(join(p.root, 'launches', idOf('c')), 'a file of that name');
    const usage = await p.store.usage();
    expect(usage.launches.count).toBe(4);
    expect(usage.launches.bytes).toBeGreaterThanOrEqual(100_000);
    expect(usage.total - before.total).toBe(usage.launches.bytes);
    expect(usage.unaccounted.count).toBe(0);
    const { findings, sound } = await p.store.check();
    expect(sound).toBe(true);
    const told = findings.map(({ severity, code, subject }) => [severity, code, subject]);
    expect(told.sort()).toEqual([
      ['leak', 'FOREIGN_FILE', join(p.root, 'launches', idOf('c'))],
      ['leak', 'FOREIGN_FILE', join(p.root, 'launches/notes.txt')],
      ['note', 'LAUNCH_LEFT', left],
    ]);
  });

  it('are taken away neither by a recovery nor by a destroy', async () => {
    const p = await storeWith('job');
    await p.launches.put(launchOf('job'));
    const directory = p.launches.directory(idOf('a'));
    mkdirSync(directory, { recursive: true });
    await leadTo(p, 'a', 'exited');
    await p.destroy('job');
    expect((await p.recover()).retired).toEqual([]);
    await p.store.swept();
    expect((await p.store.check()).findings.map(({ code, subject }) => [code, subject])).toEqual([
      ['LAUNCH_LEFT', directory],
    ]);
  });
});
