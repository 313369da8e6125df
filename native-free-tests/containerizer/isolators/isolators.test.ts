import { describe, expect, it } from 'vitest';
import type { IsolatedSpec, Isolator } from '#src/containerizer/isolators/isolator.js';
import { Isolators } from '#src/containerizer/isolators/isolators.js';
import { runtimeConfig } from '#src/image/image-config.js';

const ROOT: IsolatedSpec['root'] = {
  ...{ id: 'r', path: '/r', isReadOnly: false, image: `sha256:${'0'.repeat(64)}` },
  runtime: runtimeConfig({ rootfs: { diff_ids: [] } } as never),
};
const LAUNCH = { id: 'a'.repeat(32), containerId: 'job' };

/** Notes what it is asked for. */
function isolator(name: string, notes: string[], own: Partial<Isolator> = {}): Isolator {
  return {
    prepare: async (_launch, { spec, ...rest }) => {
      notes.push(`${name} prepares`);
      return { ...rest, spec: { ...spec, user: `${spec.user ?? ''}${name}` } };
    },
    cleanUp: async () => void notes.push(`${name} cleans up`),
    recover: async () => [`${name} swept`],
    close: async () => void notes.push(`${name} closes`),
    ...own,
  };
}

describe('several isolators', () => {
  it('prepare one after the other, each with what the one before has left', async () => {
    const notes: string[] = [];
    const all = new Isolators([isolator('a', notes), isolator('b', notes)]);
    expect(await all.prepare(LAUNCH, { spec: {}, root: ROOT }, undefined)).toMatchObject({ spec: { user: 'ab' } });
    expect(notes).toEqual(['a prepares', 'b prepares']);
    expect(await all.recover(async () => new Set())).toEqual(['a swept', 'b swept']);
  });

  it('hear of the bundle one after the other, those that want to', async () => {
    const notes: string[] = [];
    const hearing = (name: string): Partial<Isolator> => ({
      bundled: async ({ id }, { root }) => void notes.push(`${name} ${id === LAUNCH.id} ${root.path}`),
    });
    const all = new Isolators([isolator('a', [], hearing('a')), isolator('b', []), isolator('c', [], hearing('c'))]);
    await all.bundled(LAUNCH, { spec: {}, root: ROOT });
    expect(notes).toEqual(['a true /r', 'c true /r']);
  });

  it('stand around a change of limits, the first outermost; one that has nothing to do with it is passed over', async () => {
    const notes: string[] = [];
    const around = (name: string): Partial<Isolator> => ({
      update: async (_launch, { pids }, change) => {
        notes.push(`${name} before ${pids}`);
        await change();
        notes.push(`${name} after`);
      },
    });
    const all = new Isolators([
      isolator('a', notes, around('a')),
      isolator('b', notes),
      isolator('c', notes, around('c')),
    ]);
    await all.update(LAUNCH, { pids: 5 }, async () => void notes.push('changed'));
    expect(notes).toEqual(['a before 5', 'c before 5', 'changed', 'c after', 'a after']);
  });

  it('keep a change from being made, and tell that it was not', async () => {
    let changes = 0;
    const change = async () => void changes++;
    const refuses = isolator('a', [], { update: () => Promise.reject(new Error('no')) });
    await expect(new Isolators([refuses]).update(LAUNCH, {}, change)).rejects.toThrow('no');
    expect(changes).toBe(0);
    await new Isolators([]).update(LAUNCH, {}, change);
    expect(changes).toBe(1);
  });

  it('clean up all, also where one fails, which is told', async () => {
    const notes: string[] = [];
    const fails = isolator('a', notes, { cleanUp: () => Promise.reject(new Error('busy')) });
    await expect(new Isolators([fails, isolator('b', notes)]).cleanUp(LAUNCH)).rejects.toThrow('busy');
    expect(notes).toEqual(['b cleans up']);
  });
});
